"""Asking an nvcc what it is. What it answers outranks every table."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from cudawheel import process
from cudawheel.errors import ToolchainError
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.version import CudaVersion
from cudawheel.toolchain.toolchain import Toolchain, ToolchainKind

# An nvcc takes flags from NVCC_PREPEND_FLAGS and the like; these questions are asked without any of it.
_BARE_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}
_RELEASE = re.compile(r"release (?P<version>\d+\.\d+), V(?P<release>\d+(?:\.\d+)+)")
_GPU_CODE = re.compile(r"^sm_\d{2,3}[af]?$", re.MULTILINE)
_TOP = re.compile(r"^#\$ TOP=(?P<top>/.+?)\s*$", re.MULTILINE)
_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NvccAnswer:
    """What an nvcc says about itself.

    Attributes:
        version: the CUDA release it belongs to.
        release: its own release, such as `13.0.88`.
        gpu_codes: the capabilities it makes machine code for, lowest first.
    """

    version: CudaVersion
    release: str
    gpu_codes: tuple[ComputeCapability, ...]


def ask(nvcc: Path) -> NvccAnswer:
    """Ask `nvcc` for its version and for the capabilities it knows.

    Raises:
        ToolchainError: it is missing, is not executable, fails, or answers something else.
    """
    match = _RELEASE.search(_run(nvcc, "--version"))
    if match is None:
        raise _broken(nvcc, "its --version names no CUDA release")
    codes = _GPU_CODE.findall(_run(nvcc, "--list-gpu-code"))
    if not codes:
        raise _broken(nvcc, "its --list-gpu-code names no GPU")
    return NvccAnswer(
        version=CudaVersion.parse(match["version"]),
        release=match["release"],
        gpu_codes=tuple(sorted({ComputeCapability.parse(code) for code in codes})),
    )


def toolchain_at(home: Path, kind: ToolchainKind) -> Toolchain:
    """Describe the toolkit at `home` by what its nvcc answers; raises as `ask` does."""
    nvcc = home / "bin" / "nvcc"
    answer = ask(nvcc)
    return Toolchain(
        kind=kind,
        home=home,
        nvcc=nvcc,
        version=answer.version,
        release=answer.release,
        gpu_codes=answer.gpu_codes,
    )


def home_of(nvcc: Path) -> Path:
    """Give the toolkit that `nvcc` takes its headers from.

    An nvcc on PATH may be a script that calls the real one somewhere else, so its folder says nothing; the `TOP`
    that it prints in verbose mode is what CMake goes by too.
    """
    # The input does not exist and need not: TOP is printed before it is opened, and the exit status is of no interest.
    said = process.capture([nvcc, "-v", "__cudawheel_no_input"], env=_BARE_ENVIRONMENT, timeout=_SECONDS)
    match = _TOP.search(said.output)
    return Path(os.path.normpath(match["top"])) if match else nvcc.resolve().parent.parent


def _run(nvcc: Path, question: str) -> str:
    if not nvcc.is_file():
        raise _broken(nvcc, "there is no such file")
    if not os.access(nvcc, os.X_OK):
        raise _broken(nvcc, "it is not executable")
    answer = process.capture([nvcc, question], env=_BARE_ENVIRONMENT, timeout=_SECONDS)
    if not answer.ok:
        last = answer.output.strip().splitlines()[-1:] or ["it said nothing"]
        raise _broken(nvcc, f"{question} ended with exit status {answer.code}: {last[0]}")
    return answer.output


def _broken(nvcc: Path, why: str) -> ToolchainError:
    return ToolchainError(
        f"{nvcc} is not a working nvcc",
        why=why,
        remedy="Reinstall that toolkit, or choose another one with --toolchain package, system or redist.",
    )
