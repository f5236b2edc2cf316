"""The limits that this process lives under: the machine's memory, and every cgroup above it that has one.

Read anew each time, since a limit may change while a build runs. Files that cannot be read or hold nonsense count as
no limit: a build goes by what is known.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

GIB = 1 << 30
MIB = 1 << 20

# The reserves keep alive what is not the build. A machine has a desktop, a browser, or the whole of WSL2 in it, which
# goes down as one when memory runs out; a cgroup with a limit holds little else than the build.
_MACHINE_RESERVE = (1 * GIB, 0.05, 8 * GIB)
_CGROUP_RESERVE = (96 * MIB, 0.03, 1 * GIB)

# Of the cached files that are in use this much stays: the compilers' own programs, which would be read over and over.
_CACHE_KEPT = 128 * MIB

# cgroup v1 writes "no limit" as the largest multiple of a page; no machine has an exbibyte.
_NO_LIMIT = 1 << 60


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLimit:
    """One limit on memory, and what is left below it. All figures in bytes.

    Attributes:
        name: whose limit it is, in words.
        limit: how much there is at most.
        available: how much of it is not in use; cached files that can be given up count as free, swap does not.
        reserve: how much of that is to be left alone.
        ours: whether nobody but the builds can take any of it, or give it back.
    """

    name: str
    limit: int
    available: int
    reserve: int
    ours: bool = False

    @property
    def room(self) -> int:
        """What may still be taken; negative where the reserve is being eaten."""
        return self.available - self.reserve


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryController:
    """Where one generation of cgroups keeps what: its folder, and the names of its files.

    Attributes:
        limit: what the kernel kills for.
        brake: what it slows processes down for, which a build had better stay below as well; v1 has no such thing.
    """

    top: Path
    limit: str
    brake: str
    usage: str
    cache: tuple[str, ...]


def memory_limits(root: Path = Path("/")) -> tuple[MemoryLimit, ...]:
    """Give every limit on memory that holds for this process, the machine's own first.

    Args:
        root: where /proc and /sys are found.
    """
    machine = psutil.virtual_memory()
    return (machine_limit(machine.total, machine.available), *group_limits(root))


def machine_limit(total: int, available: int) -> MemoryLimit:
    """Give the limit that a machine's own memory is, in bytes."""
    reserve = _reserve(total, *_MACHINE_RESERVE)
    return MemoryLimit(name="the machine", limit=total, available=available, reserve=reserve)


def group_limits(root: Path = Path("/")) -> tuple[MemoryLimit, ...]:
    """Give the limits of every cgroup above this process that has one."""
    return tuple(limit for controller, group in memory_groups(root) for limit in _limits_above(controller, group))


def memory_groups(root: Path = Path("/")) -> Iterator[tuple[MemoryController, Path]]:
    """Give the cgroups of this process that count memory: v2's one, v1's of the memory controller, or none."""
    top = root / "sys/fs/cgroup"
    for names, path in _memberships(root):
        if names == {""}:
            yield _v2(top), top / path
        elif "memory" in names:
            yield _v1(top / "memory"), top / "memory" / path


def usable_cores(root: Path = Path("/")) -> int:
    """Give the number of cores that this process may keep busy: by affinity, and by the quota of its cgroups."""
    cores = [len(os.sched_getaffinity(0))]
    top = root / "sys/fs/cgroup"
    for names, path in _memberships(root):
        if names == {""}:
            cores += _quotas(top, top / path, _quota_v2)
        elif "cpu" in names:
            cores += _quotas(top / "cpu", top / "cpu" / path, _quota_v1)
    return max(1, min(cores))


def read_number(path: Path) -> int | None:
    """Read a whole number, or give None where there is none."""
    lines = read_lines(path)
    return int(lines[0]) if lines and lines[0].strip().isdigit() else None


def read_statistic(path: Path, name: str) -> int:
    """Read one line of a file such as memory.stat; 0 where it has none of that name."""
    fields = (line.split() for line in read_lines(path))
    return next((int(f[1]) for f in fields if len(f) == 2 and f[0] == name and f[1].isdigit()), 0)  # noqa: PLR2004


def read_lines(path: Path) -> list[str]:
    """Read the lines of a file of the kernel's; none where it cannot be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []


def _v2(top: Path) -> MemoryController:
    return MemoryController(
        top=top, limit="memory.max", brake="memory.high", usage="memory.current", cache=("inactive_file", "active_file")
    )


def _v1(top: Path) -> MemoryController:
    return MemoryController(
        top=top,
        limit="memory.limit_in_bytes",
        brake="",
        usage="memory.usage_in_bytes",
        cache=("total_inactive_file", "total_active_file"),
    )


def _reserve(total: int, least: int, share: float, most: int) -> int:
    return min(least + int(total * share), most)


def _limits_above(controller: MemoryController, group: Path) -> Iterator[MemoryLimit]:
    """Give the limits of a cgroup and its ancestors, less what each of them holds already."""
    for here in _ancestors(controller.top, group):
        limits = [read_number(here / name) for name in (controller.limit, controller.brake)]
        limit, usage = min((limit for limit in limits if limit), default=0), read_number(here / controller.usage)
        if usage is not None and 0 < limit < _NO_LIMIT:
            cached = sum(read_statistic(here / "memory.stat", name) for name in controller.cache)
            # Cached files count as used, and are given up as soon as memory runs short: gigabytes after a download.
            used = max(0, usage - max(0, cached - _CACHE_KEPT))
            yield MemoryLimit(
                name=f"the cgroup {here.relative_to(controller.top) if here != controller.top else '/'}",
                limit=limit,
                available=max(0, limit - used),
                reserve=_reserve(limit, *_CGROUP_RESERVE),
            )


def _quotas(top: Path, group: Path, read: Callable[[Path], tuple[str, str]]) -> Iterator[int]:
    """Give how many cores' worth of time a cgroup and its ancestors get, rounded up, for those that have a quota."""
    for here in _ancestors(top, group):
        quota, period = read(here)
        if quota.isdigit() and period.isdigit() and int(quota) and int(period):
            yield math.ceil(int(quota) / int(period))


def _quota_v1(group: Path) -> tuple[str, str]:
    quota, period = (read_lines(group / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    return (quota or [""])[0], (period or [""])[0]


def _quota_v2(group: Path) -> tuple[str, str]:
    quota, _, period = (read_lines(group / "cpu.max") or [""])[0].partition(" ")
    return quota, period


def _ancestors(top: Path, group: Path) -> Iterator[Path]:
    yield group
    while group != top and top in group.parents:
        group = group.parent
        yield group


def _memberships(root: Path) -> Iterator[tuple[set[str], str]]:
    for line in read_lines(root / "proc/self/cgroup"):
        if line.count(":") >= 2:  # noqa: PLR2004 - hierarchy, controllers, path
            _, controllers, path = line.split(":", 2)
            yield set(controllers.split(",")), path.lstrip("/")
