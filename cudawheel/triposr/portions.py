"""Work in portions that fit into the memory of the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cudawheel.errors import DeviceMemoryError

Progress = Callable[[int, int], None]
Tell = Callable[[str], None]

# Portions are not made smaller than this when memory runs out: what does not fit then will not fit at all.
SMALLEST = 4096
# Of the memory that is free, what one portion may take.
_SHARE = 0.5
# The most points at a time. On a CPU the hidden layers of a portion should stay in the caches from one layer to the
# next. On a GPU that gains nothing, and larger portions mean fewer operations to ask for: all of 256^3 points took an
# H200 74.5 ms in portions of 2^17 points, 65.4 in 2^20, 63.7 in 2^22, and 63.3 in one, whose hidden layers fill 4 GiB
# each. benchmarks/density.py tries others.
_MOST_ON_GPU = 1 << 22
_MOST_ON_CPU = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Portions:
    """How work over many points is cut into portions.

    Attributes:
        like: a tensor on the device and of the type that is worked with.
        values_each: how many values of that type one point needs for the time of its portion.
        chunk_size: points a portion; by default as many as memory allows.
        progress: is called with the points done and all points.
        tell: is called with a sentence when memory ran out and portions become smaller.
    """

    like: Tensor
    values_each: int
    chunk_size: int | None = None
    progress: Progress | None = None
    tell: Tell | None = None

    def run(self, total: int, work: Callable[[int, int], None], *, multiple: int = 1, block: int | None = None) -> None:
        """Do work on `total` points, one portion after the other.

        A portion that does not fit into the GPU's memory is tried again at half its size, as are all after it.

        Args:
            total: how many points.
            work: does the points from a first one up to a last one, that one excluded; may be called again for points
                that it failed to do.
            multiple: portions begin and end at multiples of it.
            block: a multiple of `multiple`: portions are whole blocks, or lie within one.

        Raises:
            DeviceMemoryError: memory does not suffice for the smallest portion.
        """
        size = self._rounded(self.chunk_size or self.fitting(), multiple)
        start = 0
        while start < total:
            stop = min(_end(start, size, block or total), total)
            try:
                work(start, stop)
            except torch.cuda.OutOfMemoryError as error:
                size = self._smaller(min(size, stop - start), multiple, error)
                continue
            start = stop
            if self.progress:
                self.progress(start, total)

    def fitting(self) -> int:
        """Give the number of points for which the memory that is free now will do."""
        if self.like.device.type != "cuda":
            return _MOST_ON_CPU
        by_memory = int(_SHARE * free_memory(self.like.device)) // (self.values_each * self.like.element_size())
        return max(SMALLEST, min(by_memory, _MOST_ON_GPU))

    def _smaller(self, size: int, multiple: int, error: Exception) -> int:
        if size <= max(SMALLEST, multiple):
            raise DeviceMemoryError(
                f"{self.like.device} has no memory for {size} points at a time",
                why=str(error).partition("\n")[0],
                remedy="End what else runs there, ask for a lower resolution, or choose another device.",
            ) from error
        smaller = self._rounded(max(size // 2, SMALLEST), multiple)
        if self.tell:
            self.tell(f"{self.like.device} has no memory for {size} points at a time; going on with {smaller}")
        # What the failed portion held is free again, but in pieces; larger ones can be made of them.
        torch.cuda.empty_cache()
        return smaller

    @staticmethod
    def _rounded(size: int, multiple: int) -> int:
        return max(size - size % multiple, multiple)


def _end(start: int, size: int, block: int) -> int:
    """Say where a portion ends that begins at `start` and should have `size`."""
    if start % block == 0 and size >= block:
        return start + size - size % block
    return min(start + size, start - start % block + block)


def free_memory(device: torch.device) -> int:
    """Give the bytes of a GPU that this process could have: what is free, and what PyTorch holds of it unused."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
