"""Folders as sources: what belongs to them, their hash, and a copy."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

# What building, testing and editing leave behind; none of it is source.
_LEFTOVERS = frozenset(
    {
        ".git",
        ".venv",
        ".nox",
        "__pycache__",
        ".pytest_cache",
        ".mypy_cache",
        ".ruff_cache",
        ".hypothesis",
        "build",
        "dist",
    }
)


def source_files(folder: Path) -> Iterator[Path]:
    """Give every file of a source folder, sorted, without leftovers of earlier builds.

    Links to folders are among them, and links that lead nowhere; neither is followed.
    """
    for here, folders, names in os.walk(folder):
        kept = sorted(name for name in folders if name not in _LEFTOVERS and not name.endswith(".egg-info"))
        links = [name for name in kept if Path(here, name).is_symlink()]
        folders[:] = [name for name in kept if name not in links]
        for name in sorted([*names, *links]):
            yield Path(here, name)


def tree_hash(folder: Path) -> str:
    """Hash names, contents and executable bits of a source folder; gives 64 hex digits."""
    digest = hashlib.sha256()
    for path in source_files(folder):
        content = hashlib.sha256(path.read_bytes() if path.is_file() else str(path.readlink()).encode()).hexdigest()
        executable = "l" if not path.is_file() else "x" if path.stat().st_mode & 0o100 else "-"
        digest.update(f"{path.relative_to(folder).as_posix()}\0{executable}{content}\n".encode())
    return digest.hexdigest()


def copy_tree(folder: Path, into: Path) -> None:
    """Copy a source folder without leftovers."""
    for path in source_files(folder):
        target = into / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target, follow_symlinks=path.is_file())
