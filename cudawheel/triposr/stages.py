"""Stages of a reconstruction: how long each takes, and which one ran out of memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from cudawheel.errors import DeviceMemoryError

# What PyTorch's allocator for the main memory says; it raises nothing more specific than a RuntimeError.
_NO_MAIN_MEMORY = ("not enough memory", "can't allocate memory")
_REMEDY = (
    "End what else uses that memory, ask for a lower --resolution or --texture-resolution, or a smaller --chunk-size."
)


class Stages:
    """Measures stages that run one after the other.

    A GPU works on while the program goes on; a stage ends when the GPU has done its work.

    Args:
        device: where the work is done.
        begin: is called with the name of each stage as it begins.
    """

    def __init__(self, device: torch.device, begin: Callable[[str], None] | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._device = device
        self._begin = begin

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Run a stage.

        Args:
            name: of the stage; what stages of the same name take is added up.

        Raises:
            DeviceMemoryError: the stage ran out of memory.
        """
        if self._begin:
            self._begin(name)
        start = time.perf_counter()
        try:
            yield
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
        except torch.cuda.OutOfMemoryError as error:
            raise _no_memory(str(self._device), name, error) from error
        except MemoryError as error:
            raise _no_memory("this machine", name, error) from error
        except RuntimeError as error:
            if not any(text in str(error) for text in _NO_MAIN_MEMORY):
                raise
            raise _no_memory("this machine", name, error) from error
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def _no_memory(place: str, stage: str, error: Exception) -> DeviceMemoryError:
    return DeviceMemoryError(
        f"{place} has no memory left for the stage {stage!r}", why=str(error).partition("\n")[0], remedy=_REMEDY
    )
