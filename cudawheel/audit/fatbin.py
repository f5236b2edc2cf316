"""Fatbins: the device code that nvcc puts into section `.nv_fatbin`, read from its headers alone.

The layout is not documented by NVIDIA. What follows was found by comparing nvcc 13.0's output with cuobjdump's, and an
integration test does so again. Everything is little-endian.

A section holds containers, with zeros between them for alignment. A container is a header `<IHHQ` (magic, version,
header size, size of all entries) and entries. An entry is a header and a payload; the header holds

    +0   u16  kind: 1 PTX, 2 cubin, 8 intermediate code for link-time optimisation
    +4   u32  header size: 64, 80, 96, 112, 120, ...
    +8   u64  payload size, padding included
    +16  u32  payload size without padding, if compressed
    +28  u32  capability, 86 or 120
    +40  u64  flags
    +56  u64  payload size when unpacked, if compressed

Nothing is decompressed and only headers are read, so the cost follows the number of entries, not the size of the file.

**Containers without code.** nvcc's device link adds a container with a cubin for each capability and no kernel in any
of them, and a translation unit without kernels leaves one, too. Counting those would call a build with no device code
a good one. So a container counts only if one of its cubins holds code:
- a cubin that is not compressed tells by itself: it is an ELF file whose code lies in sections `.text.<function>`;
- of a compressed one only the size is known. nvcc 13.0's smallest possible kernel takes 2,856 bytes (7.5) to 5,016
  (12.0) unpacked, its device-link cubins 1,464 to 1,944. The limit is set below the smallest kernel, so code is never
  missed; a container without code can pass only if its cubins are inflated by debug information or large tables.
A container of PTX alone counts if the PTX defines an entry or a function, or, compressed, is longer than its preamble.
Section `__nv_relfatbin` is left out altogether: it is input for a later device link and no driver loads it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO

from cudawheel.errors import WheelError
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.capability_set import CapabilitySet

SECTION = ".nv_fatbin"
MAGIC = 0xBA55ED50

_CONTAINER = struct.Struct("<IHHQ")
_ENTRY = struct.Struct("<HHIQI8xI8xQ8xQ")
_CUBIN_HEADER = struct.Struct("<4s36xQ10xHHH")

_FLAG_SPECIFIC = 0x100000
_FLAG_FAMILY = 0x200000
_FLAG_LZ4 = 0x2000
_FLAG_ZSTD = 0x8000

_SMALLEST_KERNEL_BYTES = 2800
_PTX_PREAMBLE_BYTES = 90
_PTX_SEARCHED_BYTES = 1 << 20
_ZEROS_BYTES = 1 << 16
_LOWEST_CAPABILITY = 10


class EntryKind(Enum):
    """What an entry of a fatbin holds."""

    PTX = 1
    CUBIN = 2
    OTHER = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FatbinEntry:
    """One piece of device code.

    Attributes:
        kind: PTX, cubin, or something that no driver loads by itself.
        capability: what it was compiled for.
        compression: "zstd", "lz4" (older toolkits) or "".
        stored_bytes: size in the file, padding included.
        unpacked_bytes: size in use.
        offset: where the payload begins, in bytes from the start of the section.
    """

    kind: EntryKind
    capability: ComputeCapability
    compression: str
    stored_bytes: int
    unpacked_bytes: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FatbinContainer:
    """The entries of one translation unit, or of one device link.

    Attributes:
        offset: where it begins, in bytes from the start of the section.
        entries: in the order of the file.
        has_code: whether there is a kernel or function in it, as told in this file's introduction.
    """

    offset: int
    entries: tuple[FatbinEntry, ...]
    has_code: bool

    @property
    def capabilities(self) -> CapabilitySet:
        """What its entries were compiled for."""
        return capabilities_of(self.entries)


def capabilities_of(entries: Iterable[FatbinEntry]) -> CapabilitySet:
    """Gather what entries were compiled for."""
    cubins, ptx = set(), set()
    for entry in entries:
        if entry.kind is EntryKind.CUBIN:
            cubins.add(entry.capability)
        elif entry.kind is EntryKind.PTX:
            ptx.add(entry.capability)
    return CapabilitySet.of(cubins, ptx)


def read_fatbin(stream: BinaryIO, *, size: int, start: int = 0, where: str = SECTION) -> tuple[FatbinContainer, ...]:
    """Read every container of a section.

    Args:
        stream: a seekable file, best unbuffered.
        size: bytes in the section.
        start: where the section begins in the file.
        where: how error messages call it.

    Raises:
        WheelError: a container or entry is malformed or runs beyond what holds it; the offset is named.
    """
    section = _Section(stream, start, size, where)
    return tuple(_read_containers(section))


@dataclass(frozen=True, slots=True)
class _Section:
    stream: BinaryIO
    start: int
    size: int
    where: str

    def read(self, offset: int, length: int, what: str) -> bytes:
        if offset + length > self.size:
            raise self.fault(offset, f"{what} of {length} bytes runs beyond the section's {self.size}")
        self.stream.seek(self.start + offset)
        data = self.stream.read(length)
        if len(data) != length:
            raise self.fault(offset, f"the file ends {length - len(data)} bytes before the end of {what}")
        return data

    def fault(self, offset: int, why: str) -> WheelError:
        return WheelError(
            f"{self.where} is not a valid fatbin at offset {offset:#x}",
            why=f"{why[:1].upper()}{why[1:]}.",
            remedy="The file is damaged, or a newer nvcc writes another layout; build it again, or report it.",
        )


def _read_containers(section: _Section) -> Iterator[FatbinContainer]:
    offset = _skip_zeros(section, 0)
    while offset < section.size:
        magic, _, header_bytes, entries_bytes = _CONTAINER.unpack(
            section.read(offset, _CONTAINER.size, "a container's header")
        )
        if magic != MAGIC:
            raise section.fault(offset, f"expected magic {MAGIC:#x}, found {magic:#x}")
        if header_bytes < _CONTAINER.size:
            raise section.fault(offset, f"a container's header cannot have {header_bytes} bytes")
        first, end = offset + header_bytes, offset + header_bytes + entries_bytes
        if end > section.size:
            raise section.fault(offset, f"a container of {end - offset} bytes runs beyond the section's {section.size}")
        entries = tuple(_read_entries(section, first, end))
        yield FatbinContainer(offset=offset, entries=entries, has_code=_has_code(section, entries))
        offset = _skip_zeros(section, end)


def _skip_zeros(section: _Section, offset: int) -> int:
    """Find the next byte that is not padding; every container begins with one, that of its magic."""
    while offset < section.size:
        data = section.read(offset, min(_ZEROS_BYTES if offset else 16, section.size - offset), "padding")
        rest = data.lstrip(b"\0")
        if rest:
            return offset + len(data) - len(rest)
        offset += len(data)
    return offset


def _read_entries(section: _Section, offset: int, end: int) -> Iterator[FatbinEntry]:
    while offset < end:
        if offset + _ENTRY.size > end:
            raise section.fault(offset, f"{end - offset} bytes are left in the container, too few for an entry")
        fields = _ENTRY.unpack(section.read(offset, _ENTRY.size, "an entry's header"))
        kind, _, header_bytes, stored, compressed, number, flags, unpacked = fields
        if header_bytes < _ENTRY.size:
            raise section.fault(offset, f"an entry's header cannot have {header_bytes} bytes")
        if offset + header_bytes + stored > end:
            raise section.fault(offset, f"an entry of {header_bytes + stored} bytes runs beyond its container")
        compression = "zstd" if flags & _FLAG_ZSTD else "lz4" if flags & _FLAG_LZ4 else ""
        if compression and compressed > stored:
            raise section.fault(offset, f"{compressed} compressed bytes cannot lie in a payload of {stored}")
        if number < _LOWEST_CAPABILITY and kind in {EntryKind.PTX.value, EntryKind.CUBIN.value}:
            raise section.fault(offset, f"{number} is not a compute capability")
        yield FatbinEntry(
            kind=EntryKind(kind) if kind in {1, 2} else EntryKind.OTHER,
            capability=_capability(number, flags),
            compression=compression,
            stored_bytes=stored,
            unpacked_bytes=unpacked if compression else stored,
            offset=offset + header_bytes,
        )
        offset += header_bytes + stored


def _capability(number: int, flags: int) -> ComputeCapability:
    suffix = "a" if flags & _FLAG_SPECIFIC else "f" if flags & _FLAG_FAMILY else ""
    return ComputeCapability(*divmod(number, 10), suffix)


def _has_code(section: _Section, entries: tuple[FatbinEntry, ...]) -> bool:
    cubins = [entry for entry in entries if entry.kind is EntryKind.CUBIN]
    if cubins:
        return any(_cubin_has_code(section, entry) for entry in cubins)
    return any(_ptx_has_code(section, entry) for entry in entries if entry.kind is EntryKind.PTX)


def _cubin_has_code(section: _Section, entry: FatbinEntry) -> bool:
    names = None if entry.compression else _cubin_section_names(section, entry)
    if names is None:
        return entry.unpacked_bytes >= _SMALLEST_KERNEL_BYTES
    return any(name.startswith(b".text.") for name in names.split(b"\0"))


def _cubin_section_names(section: _Section, entry: FatbinEntry) -> bytes | None:
    """Give the table of section names of an unpacked cubin; None if it is not an ELF file as we know them."""
    if entry.stored_bytes < _CUBIN_HEADER.size:
        return None
    magic, table, header_bytes, count, index = _CUBIN_HEADER.unpack(
        section.read(entry.offset, _CUBIN_HEADER.size, "a cubin's header")
    )
    row = table + index * header_bytes
    if magic != b"\x7fELF" or index >= count or row + 64 > entry.stored_bytes:
        return None
    offset, size = struct.unpack("<24xQQ24x", section.read(entry.offset + row, 64, "a cubin's section header"))
    if offset + size > entry.stored_bytes:
        return None
    return section.read(entry.offset + offset, size, "a cubin's section names")


def _ptx_has_code(section: _Section, entry: FatbinEntry) -> bool:
    if entry.compression:
        return entry.unpacked_bytes > _PTX_PREAMBLE_BYTES
    if entry.stored_bytes > _PTX_SEARCHED_BYTES:
        return True
    text = section.read(entry.offset, entry.stored_bytes, "PTX")
    return b".entry" in text or b".func" in text
