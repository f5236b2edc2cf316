from __future__ import annotations

import contextlib
import io
import struct

import pytest
from fatbin_files import EMPTY, KERNEL, LZ4, ZSTD, Piece, make_code, make_container, make_cubin
from hypothesis import given, settings
from hypothesis import strategies as st

from cudawheel.audit.fatbin import EntryKind, FatbinContainer, read_fatbin
from cudawheel.errors import WheelError
from cudawheel.model.capability import ComputeCapability


def read(section: bytes) -> tuple[FatbinContainer, ...]:
    return read_fatbin(io.BytesIO(section), size=len(section))


pieces = st.builds(
    Piece,
    number=st.integers(10, 999),
    suffix=st.sampled_from(["", "a", "f"]),
    kind=st.sampled_from([1, 2, 8]),
    header_bytes=st.integers(8, 40).map(lambda words: words * 8),
    payload=st.binary(max_size=64),
    compression=st.sampled_from([0, ZSTD, LZ4]),
    unpacked_bytes=st.integers(0, 1 << 40),
)
containers = st.tuples(st.lists(pieces, max_size=5), st.integers(2, 8).map(lambda words: words * 8), st.integers(0, 20))


@given(st.lists(containers, max_size=4))
def test_what_is_written_is_read_back(written: list[tuple[list[Piece], int, int]]) -> None:
    section = b"".join(make_container(group, size) + bytes(8 * padding) for group, size, padding in written)
    found = read(section)
    assert len(found) == len(written)
    for container, (group, _, _) in zip(found, written, strict=True):
        for entry, piece in zip(container.entries, group, strict=True):
            assert entry.kind is {1: EntryKind.PTX, 2: EntryKind.CUBIN}.get(piece.kind, EntryKind.OTHER)
            assert entry.capability == ComputeCapability(*divmod(piece.number, 10), piece.suffix)
            assert entry.compression == {0: "", ZSTD: "zstd", LZ4: "lz4"}[piece.compression]
            assert entry.stored_bytes == len(piece.payload) + -len(piece.payload) % 8
            assert entry.unpacked_bytes == (piece.unpacked_bytes if piece.compression else entry.stored_bytes)
            assert section[entry.offset : entry.offset + len(piece.payload)] == piece.payload


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_garbage_raises_nothing_but_our_error(section: bytes) -> None:
    with contextlib.suppress(WheelError):
        read(section)


@settings(max_examples=500)
@given(st.data())
def test_damage_anywhere_raises_nothing_but_our_error(data: st.DataObject) -> None:
    section = bytearray(make_code("75", "90a", ptx=["120"]) + bytes(16) + make_code("120"))
    for _ in range(data.draw(st.integers(1, 4))):
        section[data.draw(st.integers(0, len(section) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WheelError):
        read(bytes(section))


@given(st.data())
def test_a_section_cut_short_is_an_error_that_names_an_offset(data: st.DataObject) -> None:
    section = make_code("75", "90a", ptx=["120"])
    with pytest.raises(WheelError, match="at offset 0x"):
        read(section[: data.draw(st.integers(1, len(section) - 1))])


def test_padding_of_any_length_lies_between_containers() -> None:
    section = make_code("75") + bytes(200_000) + make_code("120") + bytes(70_000)
    assert [str(container.capabilities) for container in read(section)] == ["7.5", "12.0"]
    assert read(b"") == read(bytes(4096)) == ()


GOOD = make_code("86")
BAD = {
    "magic": b"\x01" + GOOD[1:],
    "a container's header cannot have 8": GOOD[:6] + b"\x08\0" + GOOD[8:],
    "beyond the section": GOOD[:8] + struct.pack("<Q", 1 << 60) + GOOD[16:],
    "an entry's header cannot have 48": GOOD[:20] + struct.pack("<I", 48) + GOOD[24:],
    "beyond its container": GOOD[:24] + struct.pack("<Q", 1 << 60) + GOOD[32:],
    "7 is not a compute capability": make_container([Piece(number=7)]),
    "cannot lie in a payload": make_container([Piece(compression=ZSTD, payload=b"x" * 8)]).replace(
        struct.pack("<QI", 8, 8), struct.pack("<QI", 8, 9)
    ),
    "too few for an entry": GOOD[:8] + struct.pack("<Q", 20) + GOOD[16:36],
}


@pytest.mark.parametrize("says", BAD)
def test_each_kind_of_corruption_is_told_apart_and_located(says: str) -> None:
    with pytest.raises(WheelError, match="not a valid fatbin at offset 0x") as caught:
        read(make_code("75") + BAD[says])
    assert says.casefold() in caught.value.why.casefold()
    assert caught.value.remedy


def test_a_file_that_ends_before_its_section_says_so() -> None:
    with pytest.raises(WheelError, match="offset 0x0") as caught:
        read_fatbin(io.BytesIO(GOOD[:10]), size=len(GOOD), where="section .nv_fatbin of a.so")
    assert "the file ends" in caught.value.why.casefold()
    assert "a.so" in caught.value.what


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        pytest.param([Piece(payload=EMPTY), Piece(payload=KERNEL)], True, id="one cubin with a kernel is enough"),
        pytest.param([Piece(payload=EMPTY), Piece(number=90, payload=EMPTY)], False, id="device link"),
        pytest.param(
            [Piece(payload=EMPTY), Piece(kind=1, payload=b".visible .entry f()")], False, id="cubins decide over PTX"
        ),
        pytest.param([Piece(compression=ZSTD, unpacked_bytes=1944)], False, id="compressed device link"),
        pytest.param([Piece(compression=ZSTD, unpacked_bytes=2856)], True, id="smallest compressed kernel"),
        pytest.param([Piece(payload=bytes(4096))], True, id="not ELF but large"),
        pytest.param([Piece(payload=b"\x7fELF")], False, id="not ELF and small"),
        pytest.param([Piece(payload=KERNEL[:40] + b"\xff" * 8 + KERNEL[48:])], False, id="ELF without section table"),
        pytest.param(
            [Piece(payload=KERNEL[:-40] + b"\xff" * 16 + KERNEL[-24:])], False, id="ELF without section names"
        ),
        pytest.param([Piece(payload=make_cubin(".text", ".nv.info"))], False, id="a bare .text is no function"),
        pytest.param([Piece(kind=1, payload=b".visible .entry f()")], True, id="PTX with a kernel"),
        pytest.param([Piece(kind=1, payload=b".version 9.0\n.target sm_90\n")], False, id="PTX preamble"),
        pytest.param([Piece(kind=1, payload=bytes((1 << 20) + 8))], True, id="PTX too long to be without"),
        pytest.param([Piece(kind=1, compression=ZSTD, unpacked_bytes=56)], False, id="compressed PTX preamble"),
        pytest.param([Piece(kind=1, compression=ZSTD, unpacked_bytes=93)], True, id="compressed PTX"),
        pytest.param([Piece(kind=8, payload=KERNEL)], False, id="link-time intermediate code"),
        pytest.param([], False, id="nothing"),
    ],
)
def test_only_containers_with_code_count(pieces: list[Piece], code: bool) -> None:
    (container,) = read(make_container(pieces))
    assert container.has_code is code


class CountingStream(io.RawIOBase):
    """A sparse file of any size that counts what is read of it."""

    def __init__(self, parts: dict[int, bytes], size: int) -> None:
        self.parts, self.size, self.at, self.taken = parts, size, 0, 0

    def seek(self, offset: int, whence: int = 0) -> int:
        assert whence == 0
        self.at = offset
        return offset

    def read(self, size: int = -1) -> bytes:
        assert size >= 0
        self.taken += size
        data = bytearray(size)
        for start, part in self.parts.items():
            low, high = max(start, self.at), min(start + len(part), self.at + size)
            if low < high:
                data[low - self.at : high - self.at] = part[low - start : high - start]
        self.at += size
        return bytes(data)


def test_payloads_are_not_read() -> None:
    payload_bytes, entries = 1 << 28, 50
    piece = bytes(Piece(compression=ZSTD, unpacked_bytes=1 << 30))
    piece = piece[:8] + struct.pack("<Q", payload_bytes) + piece[16:]
    step = len(piece) + payload_bytes
    head = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, entries * step)
    parts = {0: head} | {16 + step * index: piece for index in range(entries)}
    stream = CountingStream(parts, 16 + entries * step)
    (container,) = read_fatbin(stream, size=stream.size)  # type: ignore[arg-type]
    assert len(container.entries) == entries
    assert container.has_code
    assert stream.taken < 100 * entries
