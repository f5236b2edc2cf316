"""As much of torch as the worker of a verification touches, with a GPU where FAKE_GPU is set; imported in no time."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

__version__ = "0.0+fake"
version = SimpleNamespace(cuda=None)
backends = SimpleNamespace(
    cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=True)), cudnn=SimpleNamespace(allow_tf32=True)
)
GPU = {"broken": False}


def get_num_threads() -> int:
    return 1


def synchronize() -> None:
    if GPU["broken"]:
        raise RuntimeError("an illegal memory access was encountered\nand more")


class _Number:
    def add_(self, _: int) -> _Number:
        return self

    def item(self) -> float:
        return 1.0


def zeros(_: int, *, device: str) -> Any:
    assert device == "cuda"
    return _Number()


cuda = SimpleNamespace(
    is_available=lambda: "FAKE_GPU" in os.environ,
    device_count=lambda: 1,
    get_device_capability=lambda _: (9, 0),
    get_device_properties=lambda _: SimpleNamespace(total_memory=80 * 2**30),
    get_device_name=lambda _: "Fake GPU",
    synchronize=synchronize,
    empty_cache=lambda: None,
)
