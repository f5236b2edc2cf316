"""A cgroup of its own for a build, so that the kernel's killer takes a compiler and never the person's session.

Which way is open depends on the machine: a child of the cgroup that this process is in (v1, or v2 where the controller
is handed down), a scope that systemd makes for users, or none; then `oom_score_adj` alone says whom to take first.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cudawheel.process import capture
from cudawheel.schedule import leash
from cudawheel.schedule.limits import MemoryController, memory_groups, memory_limits, read_number, read_statistic

# Everything of a build goes before what the person runs; the compilers, at 1000, go before the rest of the build.
_BUILD_SCORE = "500"
_PREFIX = "cudawheel"
_numbers = itertools.count(1)
_REMOVAL_SECONDS = 2.0
_SCOPE_PROBE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """How a build is held.

    Attributes:
        group: folder of its cgroup, or None.
        scope: words to start a command with, so that systemd gives it a cgroup.
        controller: names of the files in `group`.
    """

    group: Path | None = None
    scope: tuple[str, ...] = ()
    controller: MemoryController | None = None

    def __str__(self) -> str:
        if self.group is not None:
            return "a cgroup of its own"
        return "a systemd scope" if self.scope else "oom_score_adj alone"

    def command(self, command: tuple[str, ...], lifeline: int) -> tuple[str, ...]:
        """Give the command that runs another one on the leash and within these bounds.

        Args:
            lifeline: descriptor to inherit; what runs ends when its other end is closed.
        """
        procs = str(self.group / "cgroup.procs") if self.group is not None else ""
        held = (sys.executable, "-IS", leash.__file__, str(lifeline), _BUILD_SCORE, procs)
        return (*self.scope, *held, *command)

    def kills(self) -> int:
        """Count the processes that the kernel has killed in this cgroup for want of memory."""
        if self.group is None:
            return 0
        return read_statistic(self.group / "memory.oom_control", "oom_kill") + read_statistic(
            self.group / "memory.events", "oom_kill"
        )

    def limit(self) -> int | None:
        """Give the bytes that the cgroup may hold; None where there is none."""
        if self.group is None or self.controller is None:
            return None
        return read_number(self.group / self.controller.limit)

    def usage(self) -> int | None:
        """Give the bytes that the cgroup holds, cached files left out; None where there is none."""
        if self.group is None or self.controller is None:
            return None
        usage = read_number(self.group / self.controller.usage)
        cached = sum(read_statistic(self.group / "memory.stat", name) for name in self.controller.cache)
        return None if usage is None else max(0, usage - cached)


@contextlib.contextmanager
def confine(limit: int, root: Path = Path("/")) -> Iterator[Confinement]:
    """Make the bounds of all builds of this process, and take them away afterwards.

    Args:
        limit: bytes that its cgroup may hold.
        root: where /proc and /sys are found.
    """
    made = _own_group(f"{_PREFIX}-{os.getpid()}-{next(_numbers)}", limit, root)
    if made is None:
        yield Confinement(scope=_systemd_scope(limit))
        return
    try:
        yield made
    finally:
        _remove(made.group)


def _own_group(name: str, limit: int, root: Path) -> Confinement | None:
    for controller, mine in memory_groups(root):
        # v2 lets no cgroup that holds processes hand memory down, so there the place is beside this process's own.
        # A container may be told the host's path of what it finds mounted at the top.
        for parent in (mine, mine.parent) if mine.is_dir() else (controller.top,):
            group = parent / name
            if controller.top not in (parent, *parent.parents) or not parent.is_dir():
                continue
            _sweep(parent)
            try:
                group.mkdir()
            except OSError:
                continue
            if parent != mine:
                # Beside this process's own cgroup its limits do not hold by themselves.
                limit = min(limit, *(one.available for one in memory_limits(root)))
            try:
                # Not to be made: a folder that is no cgroup, or one without memory, has no such file.
                with (group / controller.limit).open("r+", encoding="ascii") as file:
                    file.write(str(limit))
            except OSError:
                group.rmdir()
                continue
            return Confinement(group=group, controller=controller)
    return None


def _sweep(parent: Path) -> None:
    """Remove the cgroups of cudawheels that were killed; one in which something still runs cannot be removed."""
    for left_over in parent.glob(f"{_PREFIX}-*-*"):
        process = left_over.name.split("-")[1]
        if process.isdigit() and not Path("/proc", process).exists():
            with contextlib.suppress(OSError):
                left_over.rmdir()


def _systemd_scope(limit: int) -> tuple[str, ...]:
    """Give the words that run a command in a scope, if systemd makes scopes for this user."""
    if shutil.which("systemd-run") is None or not Path("/run/systemd/system").is_dir():
        return ()
    manager = () if os.getuid() == 0 else ("--user",)
    words = ("systemd-run", *manager, "--scope", "--quiet", "--collect", "-p", f"MemoryMax={limit}", "--")
    return words if capture([*words, "true"], timeout=_SCOPE_PROBE_SECONDS).ok else ()


def _remove(group: Path | None) -> None:
    """Remove a cgroup; what was killed in it takes a moment to leave."""
    deadline = time.monotonic() + _REMOVAL_SECONDS
    while group is not None and group.is_dir():
        try:
            group.rmdir()
        except OSError:  # noqa: PERF203 - a process may still be leaving
            if time.monotonic() > deadline:
                return
            time.sleep(0.02)
