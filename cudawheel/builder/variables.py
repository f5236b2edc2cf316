"""The environment variables through which a build hears of its jobs, its flags and its torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def job_variables(jobs: int) -> dict[str, str]:
    """Tell torch's builder, CMake and make how many compilers they may start at once.

    How many of them run, and on how many threads, is the jobserver's to say.
    """
    return {"MAX_JOBS": str(jobs), "CMAKE_BUILD_PARALLEL_LEVEL": str(jobs)}


def torch_variables(site_packages: Path) -> dict[str, str]:
    """Tell CMake where `find_package(Torch)` is to look."""
    return {"CMAKE_PREFIX_PATH": str(site_packages / "torch" / "share" / "cmake")}


def flag_variables(wanted: Mapping[str, str]) -> dict[str, str]:
    """Give the compiler flags of a build: the recipe's own behind ours, so that they have the last word.

    CPython itself is mostly compiled with -g, and setuptools compiles extensions with whatever CPython was: without
    this, debug information would make up most of a wheel and name the folders of the machine.
    """
    return {name: f"-g0 {wanted.get(name, '')}".strip() for name in ("CFLAGS", "CXXFLAGS")}
