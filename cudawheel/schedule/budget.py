"""How many compilers may run at once without taking the machine down."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

GIB = 1 << 30

# A build never plans with more than this share of what is available: desktops, browsers and WSL2 live on the rest.
_SHARE = 0.6
_CGROUP_V1_NO_LIMIT = 1 << 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """What a build gets.

    Attributes:
        jobs: compiler processes at once.
        available: bytes that were available when it was decided.
        reason: what limits it, in words.
    """

    jobs: int
    available: int
    reason: str


def allocate(memory_per_job: float, *, cores: int, available: int) -> Allocation:
    """Choose the number of jobs.

    Args:
        memory_per_job: gibibytes that one compiler takes at its peak.
        cores: cores that this process may run on.
        available: bytes that are free to use.
    """
    affordable = int(available * _SHARE / (memory_per_job * GIB))
    jobs = max(1, min(cores, affordable))
    limit = "cores" if cores <= affordable else "memory"
    counts = f"{cores} cores, {available / GIB:.1f} GiB available, {memory_per_job:g} GiB a job"
    return Allocation(jobs=jobs, available=available, reason=f"{jobs} jobs, limited by {limit}: {counts}")


def usable_cores() -> int:
    """Give the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def available_memory(root: Path = Path("/")) -> int:
    """Give the bytes that this process may still take: free memory, or less where a cgroup limits it.

    Args:
        root: where /proc and /sys are found.
    """
    free = [psutil.virtual_memory().available]
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        here = root / "sys/fs/cgroup" / path.lstrip("/")
        if controllers == "":
            free += _room(here, root / "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top = root / "sys/fs/cgroup/memory"
            here = top / path.lstrip("/")
            free += _room(here, top, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    return max(0, min(free))


def _room(group: Path, top: Path, limit_name: str, usage_name: str, cache_name: str) -> list[int]:
    """Give what is left in a cgroup and in each of its ancestors, for those that have a limit.

    Cached files count as used, and are given up as soon as memory runs short: gigabytes of them after a download.
    """
    rooms = []
    while True:
        limit, usage = _number(group / limit_name), _number(group / usage_name)
        if limit is not None and usage is not None and limit < _CGROUP_V1_NO_LIMIT:
            rooms.append(min(limit, limit - usage + _statistic(group / "memory.stat", cache_name)))
        if group == top or top not in group.parents:
            return rooms
        group = group.parent


def _statistic(path: Path, name: str) -> int:
    return next((int(line.split()[1]) for line in _lines(path) if line.startswith(f"{name} ")), 0)


def _number(path: Path) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
