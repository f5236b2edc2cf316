"""A toolkit out of the package index: no root, no download site, exactly the release that torch was built with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cudawheel.data import FIRST_PACKAGED_CUDA
from cudawheel.errors import ToolchainError
from cudawheel.model.version import CudaVersion
from cudawheel.toolchain.compose import compose
from cudawheel.toolchain.nvcc import toolchain_at
from cudawheel.toolchain.toolchain import Toolchain

# What a compiler needs. The libraries (cuBLAS and so on) come with torch, whose own requirement pins them.
EXTRAS = ("nvcc", "cccl", "crt", "nvvm", "cudart")


def requirements(cuda: CudaVersion, *, exact: str = "") -> tuple[str, ...]:
    """Say what a build environment must hold so that `provide` finds a toolkit in it.

    Args:
        cuda: the release that torch was built with.
        exact: a full version such as `13.0.2`. Without it any patch release of `cuda` does, and torch's own
            requirement on cuda-toolkit makes the resolver bring the equal one.

    Raises:
        ToolchainError: the package index has no nvcc for `cuda`.
    """
    require_packaged(cuda)
    return (f"cuda-toolkit[{','.join(EXTRAS)}]=={exact or f'{cuda}.*'}",)


def library_requirement(extras: Sequence[str], cuda: CudaVersion, *, exact: bool) -> str:
    """Write the requirement that brings libraries of CUDA, such as cuBLAS, where no torch does.

    Args:
        extras: of the package cuda-toolkit, at least one.
        cuda: the release that is compiled with.
        exact: whether only that release will do, as for a build; else any later one of its major version, which
            runs what an earlier one compiled (NVIDIA, "CUDA Minor Version Compatibility").
    """
    version = f"=={cuda}.*" if exact else f">={cuda},=={cuda.major}.*"
    return f"cuda-toolkit[{','.join(sorted(set(extras)))}]{version}"


def require_packaged(cuda: CudaVersion) -> None:
    """Let pass a release whose nvcc is on the package index.

    Raises:
        ToolchainError: it is older than the first one.
    """
    if cuda < FIRST_PACKAGED_CUDA:
        raise ToolchainError(
            f"the package index has no nvcc for CUDA {cuda}",
            why=f"Python packages of a whole toolkit begin with CUDA {FIRST_PACKAGED_CUDA}.",
            remedy="Use a toolkit that is installed with --toolchain system, or have NVIDIA's archives fetched with "
            "--toolchain redist, or choose a torch built with CUDA 13.0 or later.",
        )


def provide(cuda: CudaVersion, *, site_packages: Path, home: Path) -> Toolchain:
    """Compose a toolkit at `home` out of what is installed in a build environment.

    Args:
        cuda: the release the plan names; the installed nvcc must be of the same.
        site_packages: of the build environment, with `requirements(cuda)` installed.
        home: where the toolkit is to lie; it holds links only, and breaks when the environment goes.

    Raises:
        ToolchainError: nothing is installed there, parts are missing, or the release is another one.
    """
    require_packaged(cuda)
    tree = site_packages / "nvidia" / f"cu{cuda.major}"
    if not (tree / "bin" / "nvcc").exists():
        raise ToolchainError(
            "the build environment holds no nvcc",
            why=f"looked for {tree / 'bin' / 'nvcc'}",
            remedy=f"Install {requirements(cuda)[0]} into it.",
        )
    compose(tree, home)
    toolchain = toolchain_at(home, "package")
    if toolchain.version != cuda:
        raise ToolchainError(
            f"the build environment holds nvcc {toolchain.version}, and the plan says CUDA {cuda}",
            why=f"{tree / 'bin' / 'nvcc'} is release {toolchain.release}",
            remedy=f"Require {requirements(cuda)[0]}, or plan for CUDA {toolchain.version}.",
        )
    return toolchain
