"""The device code of a shared object, found without reading anything else of it.

`cudawheel.audit` reads a shared object whole: its symbols, its libraries. A library of torch has a hundred thousand
symbols, and only one section is of interest here; so the section is looked up by the ELF header alone, and audit's
reader of fatbins does the rest.
"""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path
from typing import BinaryIO

from cudawheel.audit.fatbin import SECTION, FatbinContainer, read_fatbin
from cudawheel.errors import WheelError
from cudawheel.model.capability_set import CapabilitySet

# ELF, 64 bits, little-endian (System V ABI, "ELF Header" and "Section Header"): offset of the section table, size of a
# row, rows, and the row that holds the names.
_HEADER = struct.Struct("<4sBB34xQ10xHHH")
_ROW = struct.Struct("<II16xQQ24x")
_64_BITS, _LITTLE_ENDIAN = 2, 1
_NO_BITS = 8
_MOST_NAMES_BYTES = 1 << 24


def read_device_code(path: Path) -> tuple[FatbinContainer, ...]:
    """Read the containers with code in them; none where the file holds no device code, or is no ELF file.

    Raises:
        WheelError: it holds some, which cannot be read.
        OSError: the file cannot be opened.
    """
    with path.open("rb", buffering=0) as stream:
        try:
            place = _find_section(stream)
        except struct.error:
            return ()
        if place is None:
            return ()
        start, size = place
        try:
            containers = read_fatbin(stream, start=start, size=size, where=f"{SECTION} of {path.name}")
        except (ValueError, OverflowError) as damage:
            raise WheelError(f"{path.name} is damaged", why=str(damage)) from damage
    return tuple(container for container in containers if container.has_code)


def _find_section(stream: BinaryIO) -> tuple[int, int] | None:
    """Give offset and size of the section with the fatbins; raises struct.error where the file ends too soon."""
    magic, bits, order, table, row_bytes, count, names = _HEADER.unpack(stream.read(_HEADER.size))
    if (magic, bits, order) != (b"\x7fELF", _64_BITS, _LITTLE_ENDIAN) or row_bytes < _ROW.size or names >= count:
        return None
    stream.seek(table)
    rows = stream.read(row_bytes * count)
    sections = [_ROW.unpack_from(rows, row_bytes * number) for number in range(count)]
    _, _, start, size = sections[names]
    if size > _MOST_NAMES_BYTES:
        return None
    stream.seek(start)
    text = stream.read(size)
    wanted = SECTION.encode() + b"\0"
    for name, kind, offset, length in sections:
        if text[name : name + len(wanted)] == wanted:
            # Of a file with debugging alone the section is there without its content (SHT_NOBITS).
            return None if kind == _NO_BITS else (offset, length)
    return None


def common_capabilities(containers: tuple[FatbinContainer, ...]) -> CapabilitySet:
    """Give what at least half of the containers carry: what the library as a whole was compiled for.

    Some kernels are compiled for one chip alone, beside others for all; they say nothing about the library.
    """
    cubins = Counter(capability for container in containers for capability in container.capabilities.cubins)
    ptx = Counter(capability for container in containers for capability in container.capabilities.ptx)
    half = len(containers) / 2
    return CapabilitySet.of(
        (capability for capability, count in cubins.items() if count >= half),
        (capability for capability, count in ptx.items() if count >= half),
    )
