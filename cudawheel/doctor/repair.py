"""What can be written without harm: cudawheel's own folders, below the user's home, where they are missing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cudawheel.errors import StoreError
from cudawheel.files import disk_errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """A folder to be made; `mode` is what others may do with it."""

    path: Path
    what: str
    mode: int = 0o755


def repairs(folders: Mapping[str, Path], home: Path) -> tuple[Repair, ...]:
    """Say what is missing and may be made.

    Args:
        folders: cudawheel's own, by what each is for.
        home: the user's home; nothing outside of it is ever among the repairs, links followed.
    """
    return tuple(
        Repair(path=path, what=what, mode=0o700 if what == "keys" else 0o755)
        for what, path in folders.items()
        if not path.exists() and _within(path, home)
    )


def apply(wanted: Iterable[Repair], home: Path) -> tuple[Path, ...]:
    """Make the folders; gives what was made.

    Raises:
        StoreError: one lies outside the user's home by now, or cannot be made.
    """
    made = []
    for repair in wanted:
        if not _within(repair.path, home):
            raise StoreError(f"{repair.path} lies outside {home}", remedy="Nothing outside the home is ever written.")
        with disk_errors(repair.path):
            repair.path.mkdir(parents=True, exist_ok=True, mode=repair.mode)
        made.append(repair.path)
    return tuple(made)


def _within(path: Path, home: Path) -> bool:
    real = Path(os.path.realpath(path))
    return Path(os.path.realpath(home)) in real.parents
