"""The symbols that are there for an object: those of the libraries it needs, as far as they can be found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cudawheel.audit.linkage import Linkage, read_linkage
from cudawheel.audit.shared_object import open_elf


@dataclass(frozen=True, slots=True, kw_only=True)
class Exports:
    """What the libraries that an object needs, and those that they need in turn, give to it.

    Attributes:
        tables: the symbols of each library that was found.
        unseen: the libraries that were not.
    """

    tables: tuple[frozenset[str], ...]
    unseen: frozenset[str]

    def __contains__(self, symbol: str) -> bool:
        return any(symbol in table for table in self.tables)


def gather_exports(needed: Iterable[str], *, own: Mapping[str, Linkage], folders: tuple[Path, ...]) -> Exports:
    """Follow DT_NEEDED from library to library.

    Args:
        needed: where to begin.
        own: objects of the wheel itself, by file name.
        folders: where other libraries lie, by file name.

    Raises:
        WheelError: a library in one of the folders is damaged.
    """
    waiting, seen, unseen, tables = list(needed), set[str](), set[str](), []
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        linkage = own.get(name) or _find(name, folders)
        if linkage is None:
            unseen.add(name)
            continue
        tables.append(linkage.exported)
        waiting.extend(linkage.needed)
    return Exports(tables=tuple(tables), unseen=frozenset(unseen))


def _find(name: str, folders: tuple[Path, ...]) -> Linkage | None:
    path = next((path for folder in folders if (path := folder / name).is_file()), None)
    if path is None:
        return None
    state = path.stat()
    return _read(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=64)
def _read(path: Path, _modified: int, _size: int) -> Linkage:
    """Read a library once a process: torch's own are asked for again with every wheel."""
    with open_elf(path, str(path)) as (_, elf):
        return read_linkage(elf)
