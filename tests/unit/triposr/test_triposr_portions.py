from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch", reason="needs the extra triposr")

from hypothesis import given
from hypothesis import strategies as st

from cudawheel.errors import DeviceError, DeviceMemoryError
from cudawheel.triposr import portions
from cudawheel.triposr.device import find_device
from cudawheel.triposr.portions import SMALLEST, Portions

LIKE = torch.empty(0)


def work_that_fits(limit: int, done: list[tuple[int, int]]) -> Callable[[int, int], None]:
    def work(start: int, stop: int) -> None:
        if stop - start > limit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")
        done.append((start, stop))

    return work


def test_portions_are_halved_until_they_fit_and_it_is_told() -> None:
    done: list[tuple[int, int]] = []
    told: list[str] = []
    steps: list[tuple[int, int]] = []
    Portions(
        like=LIKE, values_each=1, chunk_size=40_000, tell=told.append, progress=lambda *step: steps.append(step)
    ).run(100_000, work_that_fits(12_000, done))
    assert done == [(start, min(start + 10_000, 100_000)) for start in range(0, 100_000, 10_000)]
    assert [sentence.rpartition(" ")[2] for sentence in told] == ["20000", "10000"]
    assert steps[-1] == (100_000, 100_000)
    assert len(steps) == 10


def test_the_smallest_portion_is_the_last_that_is_tried() -> None:
    tried: list[int] = []

    def work(start: int, stop: int) -> None:
        tried.append(stop - start)
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(DeviceMemoryError, match=f"no memory for {SMALLEST} points") as caught:
        Portions(like=LIKE, values_each=1, chunk_size=10_000).run(100_000, work)
    assert tried == [10_000, 5000, SMALLEST]
    assert "lower resolution" in caught.value.remedy


def test_memory_that_runs_out_later_loses_nothing() -> None:
    done: list[tuple[int, int]] = []
    limits = iter([20_000, 20_000, 5_000, 5_000])
    limit = 20_000

    def work(start: int, stop: int) -> None:
        nonlocal limit
        limit = next(limits, limit)
        work_that_fits(limit, done)(start, stop)

    Portions(like=LIKE, values_each=1, chunk_size=20_000).run(50_000, work)
    assert done[0] == (0, 20_000)
    assert [start for start, _ in done[1:]] == [stop for _, stop in done[:-1]]
    assert done[-1][1] == 50_000


def test_other_errors_pass() -> None:
    def work(_start: int, _stop: int) -> None:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        Portions(like=LIKE, values_each=1).run(10, work)


@given(
    total_rows=st.integers(1, 60), row=st.integers(1, 20), rows_in_block=st.integers(1, 8), size=st.integers(1, 2000)
)
def test_portions_cover_all_and_respect_rows_and_blocks(
    total_rows: int, row: int, rows_in_block: int, size: int
) -> None:
    done: list[tuple[int, int]] = []
    total, block = total_rows * row * rows_in_block, row * rows_in_block
    Portions(like=LIKE, values_each=1, chunk_size=size).run(
        total, lambda *span: done.append(span), multiple=row, block=block
    )
    assert done[0][0] == 0
    assert done[-1][1] == total
    assert [start for start, _ in done[1:]] == [stop for _, stop in done[:-1]]
    for start, stop in done:
        assert start % row == stop % row == 0
        assert (start % block == stop % block == 0) or start // block == (stop - 1) // block
        assert stop - start <= max(size, row)


@pytest.mark.parametrize(
    ("free", "expected"), [(0, SMALLEST), (4 * 100 * 2 * 30_000, 30_000), (1 << 45, portions._MOST_ON_GPU)]
)
def test_on_a_gpu_portions_take_a_share_of_what_is_free(monkeypatch, free: int, expected: int) -> None:
    class OnGpu:
        device = torch.device("cuda", 0)

        @staticmethod
        def element_size() -> int:
            return 4

    monkeypatch.setattr(portions, "free_memory", lambda _device: free)
    assert Portions(like=OnGpu(), values_each=100).fitting() == expected


def test_unused_memory_that_pytorch_holds_is_free(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (1000, 5000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _device: 300)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _device: 100)
    assert portions.free_memory(torch.device("cuda", 0)) == 1200


def test_the_cpu_is_found() -> None:
    assert find_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["nothing", "cuda:99", "xpu", ""])
def test_a_device_that_is_not_there_is_an_error_and_never_the_cpu(name: str, monkeypatch) -> None:
    if not name:
        # PyTorch thinks that there is a GPU, and nothing runs on it.
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch, "ones", lambda *_args, **_keywords: (_ for _ in ()).throw(RuntimeError("no driver")))
    with pytest.raises(DeviceError, match="cannot be used"):
        find_device(name or None)
