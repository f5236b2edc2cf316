"""A machine made of files: what /proc and /sys say of memory and cores."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from cudawheel.schedule.limits import GIB

V2 = "sys/fs/cgroup"
V1 = "sys/fs/cgroup/memory"
V1_CPU = "sys/fs/cgroup/cpu"


def write(root: Path, files: Mapping[str, object]) -> None:
    """Write files of one value each below `root`."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{content}\n", encoding="utf-8")


def set_memory(root: Path, *, total: int = 128 * GIB, available: int = 64 * GIB, swap: int = 0) -> None:
    """Say how much memory the machine has; nearly nothing is free, nearly all that is available is cached files."""
    fields = {
        "MemTotal": total, "MemFree": GIB // 4, "MemAvailable": available, "Buffers": 0, "Cached": available,
        "Shmem": 0, "Active": 0, "Inactive": 0, "SwapTotal": swap, "SwapFree": swap,
    }  # fmt: skip
    write(root, {"proc/meminfo": "\n".join(f"{name}: {value // 1024} kB" for name, value in fields.items())})


def set_up_machine(root: Path, monkeypatch: pytest.MonkeyPatch, *, cores: int = 16) -> Path:
    """Make a machine without cgroups below `root`, with 64 of 128 GiB free, and have psutil look at it."""
    set_memory(root)
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(root / "proc"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(cores)))
    return root
