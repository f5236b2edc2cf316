"""Logs of any size, shape and content."""

from __future__ import annotations

import io
import os
import random
import tracemalloc
from collections.abc import Iterator

import pytest

from cudawheel.explain.scanner import Scanner, explain_stream, explain_text

LINE = b"[137/240] nvcc -DTORCH -gencode=arch=compute_90,code=sm_90 -c /tmp/pip/error.cu -o error.o\n"
KILLED = b"c++: fatal error: Killed signal terminated program cc1plus\n"
NO_NVCC = "No CMAKE_CUDA_COMPILER could be found."
TOO_NEW = "#error -- unsupported GNU version! gcc versions later than 13 are not supported!"


class Endless(io.RawIOBase):
    """A stream that is made while it is read, so that no test needs a gigabyte of disk."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks

    def read(self, _size: int = -1) -> bytes:
        return next(self._blocks, b"")


def of_size(block: bytes, size: int, last: bytes = b"") -> Iterator[bytes]:
    for _ in range(size // len(block)):
        yield block
    if last:
        yield last


@pytest.mark.parametrize("log", [b"", b"\n", b"\0", b"\xff\xfe", b"\n" * 1000, bytes(range(256)) * 100])
def test_logs_with_nothing_in_them_show_nothing(log: bytes) -> None:
    assert explain_stream(io.BytesIO(log)) == ()


def test_binary_garbage_shows_nothing_and_hides_nothing() -> None:
    garbage = random.Random(7).randbytes(1 << 21)  # noqa: S311 - any bytes do
    assert explain_stream(io.BytesIO(garbage)) == ()
    [found] = explain_stream(io.BytesIO(garbage + b"\n" + KILLED + garbage))
    assert found.pattern.id == "out-of-memory"
    assert found.evidence[0].line == garbage.count(b"\n") + 2


@pytest.mark.parametrize(
    "block",
    [LINE * 8000, b"x" * (1 << 20), b"xKilled_ No module named \n" * 30000, os.urandom(1 << 16) * 12],
    ids=["lines", "one line", "words that mean nothing", "garbage"],
)
def test_a_large_log_takes_no_more_memory_than_a_small_one(block: bytes) -> None:
    explain_text("warm")
    tracemalloc.start()
    found = explain_stream(Endless(of_size(block, 8 << 20, b"\n" + KILLED)))  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [one.pattern.id for one in found] == ["out-of-memory"]
    assert peak < 4 << 20


def test_lines_are_numbered_across_the_pieces_of_a_large_log() -> None:
    lines = 30_000
    [found] = explain_stream(io.BytesIO(LINE * lines + KILLED + LINE * lines))
    assert [one.line for one in found.evidence] == [lines + 1]


def test_wherever_a_piece_ends_nothing_is_missed_or_found_twice() -> None:
    log = (LINE * 40 + KILLED + LINE * 40 + TOO_NEW.encode() + b"\n") * 2
    whole = explain_stream(io.BytesIO(log))
    draw = random.Random(5)  # noqa: S311 - any cuts do
    for _ in range(30):
        scanner, start = Scanner(), 0
        while start < len(log):
            end = start + draw.randrange(1, 900)
            scanner.feed(log[start:end])
            start = end
        assert scanner.explanations() == whole


def test_a_match_across_the_border_of_two_blocks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cudawheel.explain.scanner._BLOCK", 4096)
    for offset in range(4000, 4100):
        for fill in (b"x" * (offset - 1) + b" ", LINE * (offset // len(LINE)) + b"y" * (offset % len(LINE)) + b"\n"):
            log = fill + KILLED.strip() + b" z" * 4000
            assert [one.pattern.id for one in explain_stream(io.BytesIO(log))] == ["out-of-memory"], offset


def test_a_long_line_is_quoted_around_what_matched() -> None:
    [found] = explain_text(f"{'a ' * 5000}Unsupported gpu architecture 'compute_120'{' b' * 5000}")
    text = found.evidence[0].text
    assert len(text) <= 242
    assert "Unsupported gpu architecture 'compute_120'" in text
    assert text.startswith("…")
    assert text.endswith("…")


def test_a_progress_bar_is_not_quoted() -> None:
    [found] = explain_text("  10%\r  20%\rERROR: No matching distribution found for torch==9\r\n")
    assert found.evidence[0].text == "ERROR: No matching distribution found for torch==9"


def test_the_same_again_and_again_is_shown_a_few_times_and_counted() -> None:
    [found] = explain_stream(io.BytesIO(KILLED * 900))
    assert [one.line for one in found.evidence] == [1, 2, 3]
    assert found.more == 897
    [found] = explain_stream(io.BytesIO(KILLED * 3))
    assert found.more == 0
    [found] = explain_stream(io.BytesIO(KILLED * 100_000))
    assert found.more == 997, "a thousand are counted, and no more"


def test_the_root_comes_first_whatever_is_said_first() -> None:
    found = explain_text(f"{NO_NVCC}\nModuleNotFoundError: No module named 'x'\n{TOO_NEW}\n")
    assert [one.pattern.id for one in found] == ["host-compiler-too-new", "no-nvcc", "module-missing"]
    assert [one.evidence[0].line for one in found] == [3, 1, 2]


@pytest.mark.parametrize(("between", "known"), [(0, True), (20, True), (100, False)])
def test_signs_that_belong_together_stand_near_each_other(between: int, known: bool) -> None:
    frame, error = "  in _get_cuda_arch_flags\n", "IndexError: list index out of range\n"
    for first, second in ((frame, error), (error, frame)):
        found = explain_text(f"{first}{LINE.decode() * between}{second}")
        assert [one.pattern.id for one in found] == (["no-capability-list"] if known else [])


def test_of_many_places_those_that_are_near_each_other_are_shown() -> None:
    error = "IndexError: list index out of range\n"
    log = f"{error}{LINE.decode() * 100}  in _get_cuda_arch_flags\n    x\n{error}{LINE.decode() * 100}{error}"
    [found] = explain_text(log)
    assert [one.line for one in found.evidence] == [102, 104]


def test_names_and_numbers_of_the_log_are_in_the_cause() -> None:
    [found] = explain_text(
        "The detected CUDA version (12.4) mismatches the version that was used to compile\n"
        "PyTorch (13.0). Please make sure to use the same CUDA versions."
    )
    assert found.cause.startswith("nvcc is of CUDA 12.4, torch was built with 13.0;")
    assert [one.line for one in found.evidence] == [1, 2]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_log_of_powershell_is_read(encoding: str) -> None:
    mark = "" if encoding == "utf-16" else "\ufeff"
    log = f"{mark}{LINE.decode() * 20000}{TOO_NEW}\r\n".encode(encoding)
    [found] = explain_stream(io.BytesIO(log))
    assert found.evidence[0].line == 20001
    assert found.evidence[0].text == TOO_NEW
