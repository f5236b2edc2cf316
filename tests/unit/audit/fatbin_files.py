"""Fatbin sections written by hand, as nvcc lays them out."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from cudawheel.audit.fatbin import MAGIC, EntryKind

FLAGS = {"": 0x1000011, "a": 0x1100011, "f": 0x1200011}
ZSTD, LZ4 = 0x8000, 0x2000


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One entry to write."""

    number: int = 86
    suffix: str = ""
    kind: int = EntryKind.CUBIN.value
    header_bytes: int = 64
    payload: bytes = b""
    compression: int = 0
    unpacked_bytes: int = 0

    def __bytes__(self) -> bytes:
        padded = self.payload + bytes(-len(self.payload) % 8)
        packed = len(self.payload) if self.compression else 0
        header = struct.pack(
            "<HHIQIIIIIIQQQ",
            self.kind,
            0x0101,
            self.header_bytes,
            len(padded),
            packed,
            0x40 if self.header_bytes > 64 else 0,
            0x10008,
            self.number,
            0,
            0,
            FLAGS[self.suffix] | self.compression,
            0,
            self.unpacked_bytes,
        )
        return header + b"\x55" * (self.header_bytes - 64) + padded


def make_container(pieces: Iterable[Piece], header_bytes: int = 16) -> bytes:
    entries = b"".join(bytes(piece) for piece in pieces)
    return struct.pack("<IHHQ", MAGIC, 1, header_bytes, len(entries)) + bytes(header_bytes - 16) + entries


def make_cubin(*sections: str) -> bytes:
    """Write the skeleton of a cubin: an ELF header, section names, and section headers."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in (".shstrtab", *sections))
    table = 64 + len(names)
    header = b"\x7fELF\x02\x01" + bytes(34) + struct.pack("<Q", table) + bytes(10) + struct.pack("<HHH", 64, 2, 1)
    row = struct.pack("<24xQQ24x", 64, len(names))
    return header + names + bytes(64) + row


KERNEL = make_cubin(".text._Z5scalePf", ".nv.info")
EMPTY = make_cubin(".note.nv.cuinfo")


def make_code(*numbers: str, ptx: Iterable[str] = ()) -> bytes:
    """Write one container with a kernel for each of some capabilities such as 86 or 90a, and PTX of others."""
    cubins = [
        Piece(number=int(text.rstrip("af")), suffix=text.lstrip("0123456789"), payload=KERNEL) for text in numbers
    ]
    text = [Piece(number=int(number), kind=EntryKind.PTX.value, payload=b".version 9.0 .entry f") for number in ptx]
    return make_container([*cubins, *text])
