"""A PATH on which no CUDA compiler lies.

A build script that calls `nvcc`, or a CMake that looks for one, must meet the toolkit of the plan and no other. A
folder such as `/usr/local/bin` or `/usr/bin` may hold an nvcc beside git and gcc, so it cannot just be left out: it is
replaced by a folder of links to everything else in it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from cudawheel.toolchain.folders import locked, staged

# The programs of the CUDA compiler, as `bin` and `nvvm/bin` of nvcc 13.0 hold them.
COMPILER_TOOLS = frozenset(
    {"__nvcc_device_query", "bin2c", "cicc", "cudafe++", "fatbinary", "nvcc", "nvlink", "ptxas"},
)


def without_cuda(path: str, folder: Path) -> tuple[Path, ...]:
    """Give the folders of `path` in their order, with shadows in place of those that hold a CUDA compiler.

    Args:
        path: a PATH. Relative and empty entries mean the current folder of whatever runs, and are dropped.
        folder: where shadows are made, each named by the folder it stands for and made anew when that has changed.

    Raises:
        StoreError: a shadow cannot be written.
    """
    entries = dict.fromkeys(Path(entry) for entry in path.split(":") if entry.startswith("/"))
    return tuple(_clean(entry, folder) for entry in entries if entry.is_dir())


def _clean(entry: Path, folder: Path) -> Path:
    try:
        names = {program.name for program in entry.iterdir()}
    except PermissionError:
        return entry  # programs in it may still be run by name, and whether there is an nvcc cannot be seen
    return _shadow(entry, names, folder) if names & COMPILER_TOOLS else entry


def _shadow(entry: Path, names: set[str], folder: Path) -> Path:
    """Make the shadow of `entry`, whose name says what is in it, so that one that exists is right."""
    kept = sorted(names - COMPILER_TOOLS)
    digest = hashlib.sha256("\0".join([str(entry), *kept]).encode(errors="surrogateescape")).hexdigest()
    shadow = folder / digest[:16]
    with locked(shadow):
        if not shadow.is_dir():
            with staged(shadow) as fresh:
                for name in kept:
                    (fresh / name).symlink_to(entry / name)
    return shadow
