"""How a shared object binds to others: the libraries it needs, where it looks, the symbols it takes and gives.

pyelftools finds the sections; symbol tables are then read as a whole with `struct`, because libtorch_cpu.so alone has
80,000 dynamic symbols and pyelftools builds an object for each.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from elftools.elf.elffile import ELFFile

_BIND_LOCAL = 0
_BIND_WEAK = 2
_HIDDEN = frozenset({1, 2})  # st_other: STV_INTERNAL, STV_HIDDEN
_VERSION_BITS = 0x7FFF  # the highest bit of a version index only says "not the default"


@dataclass(frozen=True, slots=True, kw_only=True)
class UndefinedSymbol:
    """A symbol that another library has to bring.

    Attributes:
        name: as the linker knows it, C++ names mangled.
        version: `GLIBC_2.34`, or empty.
        library: the library that the version was taken from, or empty.
        weak: whether the object loads without it.
    """

    name: str
    version: str = ""
    library: str = ""
    weak: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Linkage:
    """The dynamic part of a shared object.

    Attributes:
        soname: its own name to others, or empty.
        needed: the libraries it asks for (DT_NEEDED), in order.
        rpaths: the folders of its RPATH and RUNPATH, in order.
        undefined: symbols it takes from others.
        exported: symbols it gives to others.
    """

    soname: str = ""
    needed: tuple[str, ...] = ()
    rpaths: tuple[str, ...] = ()
    undefined: tuple[UndefinedSymbol, ...] = field(default=(), repr=False)
    exported: frozenset[str] = field(default=frozenset(), repr=False)


def read_linkage(elf: ELFFile) -> Linkage:
    """Read the dynamic section and symbols; an object without them, a static one, has an empty linkage."""
    soname, needed, rpaths = "", [], []
    segments: Any = elf.iter_segments("PT_DYNAMIC")
    for segment in segments:
        for tag in segment.iter_tags():
            if tag.entry.d_tag == "DT_NEEDED":
                needed.append(str(tag.needed))
            elif tag.entry.d_tag == "DT_SONAME":
                soname = str(tag.soname)
            elif tag.entry.d_tag in {"DT_RPATH", "DT_RUNPATH"}:
                text = tag.rpath if tag.entry.d_tag == "DT_RPATH" else tag.runpath
                rpaths.extend(str(text).split(":"))
    undefined, exported = _read_symbols(elf)
    return Linkage(soname=soname, needed=tuple(needed), rpaths=tuple(rpaths), undefined=undefined, exported=exported)


def _read_symbols(elf: ELFFile) -> tuple[tuple[UndefinedSymbol, ...], frozenset[str]]:
    table = next(iter(elf.iter_sections("SHT_DYNSYM")), None)
    if table is None:
        return (), frozenset()
    names = elf.get_section(table["sh_link"]).data()
    versions = _Versions.read(elf)
    undefined, exported = [], set()
    for index, (name_at, info, other, section) in enumerate(_rows(elf, table.data())):
        if name_at == 0 or info >> 4 == _BIND_LOCAL:
            continue
        name = _string(names, name_at)
        if section == 0:
            version, library = versions.get(index)
            weak = info >> 4 == _BIND_WEAK
            undefined.append(UndefinedSymbol(name=name, version=version, library=library, weak=weak))
        elif other & 3 not in _HIDDEN:
            exported.add(name)
    return tuple(undefined), frozenset(exported)


def _rows(elf: ELFFile, data: bytes) -> list[tuple[int, int, int, int]]:
    """Give st_name, st_info, st_other and st_shndx of every symbol; their order differs between 32 and 64 bits."""
    order = "<" if elf.little_endian else ">"
    layout = struct.Struct(order + ("IBBH16x" if elf.elfclass == 64 else "I8xBBH"))  # noqa: PLR2004 - 64 bits
    return list(layout.iter_unpack(data[: len(data) - len(data) % layout.size]))


@dataclass(frozen=True, slots=True)
class _Versions:
    """Symbol versions: an index for each symbol, and what the indices of needed versions mean."""

    indices: tuple[int, ...] = ()
    meaning: dict[int, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, elf: ELFFile) -> _Versions:
        indices = next(iter(elf.iter_sections("SHT_GNU_versym")), None)
        needs = next(iter(elf.iter_sections("SHT_GNU_verneed")), None)
        if indices is None or needs is None:
            return cls()
        order = "<" if elf.little_endian else ">"
        names = elf.get_section(needs["sh_link"]).data()
        data = indices.data()
        return cls(
            struct.unpack_from(f"{order}{len(data) // 2}H", data),
            {
                index: (_string(names, version), _string(names, library))
                for library, index, version in _needed_versions(needs.data(), order)
            },
        )

    def get(self, symbol: int) -> tuple[str, str]:
        index = self.indices[symbol] & _VERSION_BITS if symbol < len(self.indices) else 0
        return self.meaning.get(index, ("", ""))


def _needed_versions(data: bytes, order: str) -> Iterator[tuple[int, int, int]]:
    """Give library, index and version of each needed version, library and version as offsets of their names.

    pyelftools reads these, too, but trusts the counts in them: a single damaged byte can keep it busy for minutes.
    """
    for at, (_, _, library, items, _) in _chain(data, struct.Struct(order + "HHIII"), 0):
        for _, (_, _, index, version, _) in _chain(data, struct.Struct(order + "IHHII"), at + items):
            yield library, index, version


def _chain(data: bytes, layout: struct.Struct, at: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Follow records whose last field is the distance to the next one, 0 for the last; never backwards."""
    while True:
        record = layout.unpack_from(data, at)
        yield at, record
        step = record[-1]
        if step == 0:
            return
        if step < layout.size:
            raise ValueError(f"version records overlap at {at:#x}")
        at += step


def _string(names: bytes, at: int) -> str:
    return names[at : names.index(b"\0", at)].decode("utf-8", "replace")
