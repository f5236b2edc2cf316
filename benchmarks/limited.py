"""Running a command in a cgroup of a given size: what a container or a small machine would be."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from cudawheel.schedule.limits import GIB, memory_groups, read_statistic


@contextlib.contextmanager
def cgroup(gibibytes: float | None) -> Iterator[Path | None]:
    """Make a cgroup below this process's own with a limit, or none. Needs root and cgroup v1, or a delegated v2."""
    if gibibytes is None:
        yield None
        return
    controller, mine = next(iter(memory_groups()))
    group = mine / f"benchmark-{os.getpid()}"
    group.mkdir()
    try:
        (group / controller.limit).write_text(str(int(gibibytes * GIB)))
        yield group
    finally:
        for _ in range(100):
            with contextlib.suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.05)


def entering(group: Path | None) -> list[str]:
    """Give the words that start a command within a cgroup."""
    enter = f'echo $$ > "{group}/cgroup.procs"; ' if group else ""
    return ["/bin/sh", "-c", f'{enter}exec "$@"', "sh"]


def kills_in(group: Path | None) -> int:
    """Count the processes that the kernel has killed in a cgroup for want of memory, in v1 or v2."""
    if group is None:
        return 0
    files = ("memory.oom_control", "memory.events")
    return sum(read_statistic(group / name, "oom_kill") for name in files)
