"""A toolkit that is installed on this machine, chosen in the open: each candidate is taken or turned down by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from cudawheel.errors import ToolchainError
from cudawheel.model.version import CudaVersion
from cudawheel.toolchain.candidates import Rejection, tried
from cudawheel.toolchain.layout import missing_parts
from cudawheel.toolchain.nvcc import home_of, toolchain_at
from cudawheel.toolchain.toolchain import Toolchain

# In the order in which torch's and CMake's own searches honour them.
VARIABLES = ("CUDA_HOME", "CUDA_PATH")
# NVIDIA's packages and run files install to the first, Arch Linux to the second.
_NVIDIA_FOLDER = "usr/local"
_ARCH_FOLDER = "opt/cuda"


class _Candidate(NamedTuple):
    origin: str
    home: Path


def provide(cuda: CudaVersion, *, environ: Mapping[str, str], root: Path = Path("/")) -> Toolchain:
    """Find an installed toolkit that fits a torch built with `cuda`.

    The first that fits is taken, in the order CUDA_HOME, CUDA_PATH, PATH, standard folders. The major version must be
    torch's; another minor version is accepted with a note, since CUDA promises compatibility within a major one
    (CUDA Compatibility, "Minor Version Compatibility").

    Args:
        cuda: what torch was built with.
        environ: the user's environment.
        root: the file system's root.

    Raises:
        ToolchainError: none fits; it lists every one that was looked at, with the reason.
    """
    rejections: list[Rejection] = []
    seen: set[Path] = set()
    for origin, home in _candidates(cuda, environ, root):
        if home.resolve() in seen:
            continue
        seen.add(home.resolve())
        found = _examine(home, cuda)
        if isinstance(found, Toolchain):
            return found
        rejections.append(Rejection(origin=origin, candidate=str(home), reason=found))
    raise ToolchainError(
        f"no CUDA toolkit on this machine fits a torch built with CUDA {cuda}",
        why=f"looked at:\n{tried(rejections)}",
        remedy=f"Install CUDA {cuda} and set CUDA_HOME to it, or let cudawheel bring one: --toolchain package "
        "(CUDA 13.0 and later) or --toolchain redist (CUDA 12.8 and 12.9).",
    )


def _candidates(cuda: CudaVersion, environ: Mapping[str, str], root: Path) -> Iterator[_Candidate]:
    for variable in VARIABLES:
        if environ.get(variable):
            yield _Candidate(variable, Path(environ[variable]))
    for folder in environ.get("PATH", "").split(":"):
        compiler = Path(folder) / "nvcc"
        if folder and compiler.is_file():
            yield _Candidate(f"PATH ({compiler})", home_of(compiler))
    for home in _standard_folders(cuda, root):
        yield _Candidate("standard folder", home)


def _standard_folders(cuda: CudaVersion, root: Path) -> Iterator[Path]:
    """Give the standard folders that exist; the one that bears the planned version goes first."""
    local = root / _NVIDIA_FOLDER
    versioned = sorted(local.glob("cuda-*.*"), key=_numbers, reverse=True)
    for home in (local / f"cuda-{cuda}", local / "cuda", *versioned, root / _ARCH_FOLDER):
        if home.is_dir():
            yield home


def _numbers(path: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", path.name))


def _examine(home: Path, cuda: CudaVersion) -> Toolchain | str:
    """Give the toolkit at `home`, or the reason why it does not do."""
    try:
        toolchain = toolchain_at(home, "system")
    except ToolchainError as error:
        return error.why
    version = toolchain.version
    if version.major != cuda.major:
        return f"it is CUDA {version}; torch was built with {cuda}, and the major version must be the same"
    missing = missing_parts(home)
    if missing:
        return f"it is not whole, missing {', '.join(missing)}"
    note = f"CUDA {version} at {home} stands in for {cuda}: another minor version of the same major one"
    return toolchain if version == cuda else replace(toolchain, notes=(note,))
