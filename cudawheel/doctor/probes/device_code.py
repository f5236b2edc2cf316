"""The device code of a shared object, found without reading anything else of it.

`cudawheel.audit` reads a shared object whole: its symbols, its libraries. A library of torch has a hundred thousand
symbols, and only one section is of interest here; so the section is looked up by the ELF header alone, and audit's
reader of fatbins does the rest.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from pathlib import Path
from typing import BinaryIO

from cudawheel.audit.fatbin import SECTION, FatbinContainer, read_fatbin
from cudawheel.errors import WheelError
from cudawheel.model.capability_set import CapabilitySet

# ELF, 64 bits, little-endian (System V ABI, "ELF Header" and "Section Header"): offset of the section table, size of a
# row, rows, and the row that holds the names.
_HEADER = struct.Struct("<40xQ10xHHH")
_ROW = struct.Struct("<II16xQQ24x")
_64_BITS_LITTLE_ENDIAN = b"\x7fELF\x02\x01"
_NO_BITS = 8
_MOST_NAMES_BYTES = 1 << 24


def read_device_code(path: Path) -> tuple[FatbinContainer, ...]:
    """Read the containers with code in them; none where the file holds no device code, or is no ELF file.

    Raises:
        WheelError: it holds some, which cannot be read.
        OSError: the file cannot be opened.
    """
    with path.open("rb", buffering=0) as stream:
        # Headers lie scattered over a gigabyte: reading ahead of each would read most of it.
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        head = stream.read(_HEADER.size)
        if len(head) < _HEADER.size or not head.startswith(_64_BITS_LITTLE_ENDIAN):
            return ()
        try:
            place = _find_section(stream, head)
            containers = () if place is None else read_fatbin(stream, start=place[0], size=place[1], where=SECTION)
        except (struct.error, ValueError, OverflowError, OSError) as damage:
            raise WheelError(f"{path.name} is damaged", why=str(damage), remedy="Install it again.") from damage
    return tuple(container for container in containers if container.has_code)


def _find_section(stream: BinaryIO, head: bytes) -> tuple[int, int] | None:
    """Give offset and size of the section with the fatbins, or None where there is none.

    Raises:
        ValueError: the table of sections, or that of their names, is not where the header says.
        struct.error: the same.
    """
    table, row_bytes, count, names = _HEADER.unpack(head)
    if count == 0:
        return None
    if row_bytes < _ROW.size or names >= count:
        raise ValueError("its table of sections makes no sense")
    stream.seek(table)
    rows = stream.read(row_bytes * count)
    sections = [_ROW.unpack_from(rows, row_bytes * number) for number in range(count)]
    _, _, start, size = sections[names]
    if size > _MOST_NAMES_BYTES:
        raise ValueError(f"the names of its sections cannot take {size} bytes")
    stream.seek(start)
    text = stream.read(size)
    wanted = SECTION.encode() + b"\0"
    for name, kind, offset, length in sections:
        if text[name : name + len(wanted)] == wanted:
            # In a file that holds debugging information alone the section has no content (SHT_NOBITS).
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
