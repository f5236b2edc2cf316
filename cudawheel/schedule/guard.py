"""Looks at the machine while a build runs: what the builds hold, what is left, and whether the kernel is struggling."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from cudawheel.schedule.budget import tightest_limit
from cudawheel.schedule.confinement import Confinement
from cudawheel.schedule.limits import GIB, MemoryLimit, read_lines

# With this share of time in which every process waited for memory, one more compiler makes all of them slower.
_MOST_STALLED = 0.1
_MICROSECONDS = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look showed. Bytes.

    Attributes:
        used: what all builds hold.
        limit: the limit that leaves the least room.
        stalled: share of the time since the last look in which all processes waited for memory.
        resident: what the processes below each launcher hold, by its process id.
    """

    used: int
    limit: MemoryLimit
    stalled: float
    resident: Mapping[int, int] = field(default_factory=dict)

    @property
    def withheld(self) -> str:
        """Why nothing new should start; empty when it may."""
        if self.limit.room < 0:
            left = f"{self.limit.available / GIB:.1f} GiB are left within {self.limit.name}"
            return f"{left}, of which {self.limit.reserve / GIB:.1f} are the reserve"
        if self.stalled > _MOST_STALLED:
            return f"the kernel waited for memory {self.stalled:.0%} of the time"
        return ""

    @property
    def is_emergency(self) -> bool:
        """Whether half of the reserve is gone: the next step may be the kernel's killer, or the end of WSL2."""
        return self.limit.room < -self.limit.reserve // 2


class Guard:
    """Takes the looks.

    Args:
        allowed: bytes that the person allows, or None.
        confinement: the cgroup of the builds, if they have one.
        root: where /proc and /sys are found.
    """

    def __init__(self, allowed: int | None, confinement: Confinement, root: Path = Path("/")) -> None:
        self._allowed = allowed
        self._confinement = confinement
        self._root = root
        self._stalled = self._stall_counter()

    def look(self, launchers: Iterable[int]) -> Look:
        """Look at the machine once.

        Args:
            launchers: process ids of the launchers that hold a lease.
        """
        sizes, parents = _family()
        resident = dict.fromkeys(launchers, 0)
        for process, size in sizes.items():
            ancestor: int | None = process
            while ancestor is not None and ancestor not in resident:
                ancestor = parents.get(ancestor)
            if ancestor is not None:
                resident[ancestor] += size
        # A cgroup that holds nothing is one that the builds were not allowed to enter.
        used = self._confinement.usage() or sum(sizes.values())
        return Look(
            used=used,
            limit=min(self._limits(used), key=lambda limit: limit.room),
            stalled=self._share_stalled(),
            resident=resident,
        )

    def _limits(self, used: int) -> Iterator[MemoryLimit]:
        yield tightest_limit(self._allowed, held=used, root=self._root)
        own = self._confinement.limit()
        if own is not None:
            yield MemoryLimit(name="the builds' own cgroup", limit=own, available=own - used, reserve=0, ours=True)

    def _share_stalled(self) -> float:
        before, now = self._stalled, self._stall_counter()
        self._stalled = now
        return (now[1] - before[1]) / _MICROSECONDS / max(now[0] - before[0], 1e-3)

    def _stall_counter(self) -> tuple[float, int]:
        """Read how many microseconds everything has waited for memory since the machine started, and the time."""
        for line in read_lines(self._root / "proc/pressure/memory"):
            kind, _, rest = line.partition(" ")
            total = rest.rpartition("total=")[2]
            if kind == "full" and total.isdigit():
                return time.monotonic(), int(total)
        return time.monotonic(), 0


def _family() -> tuple[dict[int, int], dict[int, int]]:
    """Give the resident bytes and the parent of every process below this one."""
    sizes, parents = {}, {}
    for process in psutil.Process(os.getpid()).children(recursive=True):
        # It may end between being listed and being asked.
        with contextlib.suppress(psutil.Error), process.oneshot():
            sizes[process.pid], parents[process.pid] = process.memory_info().rss, process.ppid()
    return sizes, parents
