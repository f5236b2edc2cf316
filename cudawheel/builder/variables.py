"""The environment variables through which a build hears of its jobs and its torch."""

from __future__ import annotations

from pathlib import Path


def job_variables(jobs: int) -> dict[str, str]:
    """Tell torch's builder, CMake and make how many compilers may run at once."""
    return {"MAX_JOBS": str(jobs), "CMAKE_BUILD_PARALLEL_LEVEL": str(jobs)}


def torch_variables(site_packages: Path) -> dict[str, str]:
    """Tell CMake where `find_package(Torch)` is to look."""
    return {"CMAKE_PREFIX_PATH": str(site_packages / "torch" / "share" / "cmake")}
