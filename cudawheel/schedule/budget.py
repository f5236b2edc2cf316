"""The budget of all builds together: how much memory and how many compilers at once, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cudawheel.errors import MemoryBudgetError
from cudawheel.model.counting import count
from cudawheel.schedule.limits import GIB, MemoryLimit, memory_limits, usable_cores

_FEW_CORES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What all compilers together may take.

    Attributes:
        memory: bytes.
        reserve: bytes that were left alone besides, to keep everything else alive.
        cores: cores that they may keep busy.
        slots: compilers, or threads of one, that may run at once.
        spare: more of them for the last that waits.
        limited_by: what holds the memory down, in words.
        slots_by: what holds the number of compilers down, in a word.
    """

    memory: int
    reserve: int
    cores: int
    slots: int
    limited_by: str
    slots_by: str = "cores"
    spare: int = 0

    def to_json(self) -> dict[str, Any]:
        """Give the budget as plain values; memory in bytes."""
        return {
            "memory": self.memory,
            "reserve": self.reserve,
            "cores": self.cores,
            "slots": self.slots,
            "spare": self.spare,
            "limited_by": self.limited_by,
        }

    def __str__(self) -> str:
        return (
            f"{self.memory / GIB:.1f} GiB of memory ({self.limited_by}, {self.reserve / GIB:.1f} GiB kept in reserve), "
            f"{count(self.cores, 'core')}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRequest:
    """What a person allows: None is as much as there is.

    Attributes:
        memory: bytes for all compilers together.
        jobs: compilers at once.
        force: try even where one compiler does not fit.
        jobs_by: where `jobs` comes from, in words.
    """

    memory: int | None = None
    jobs: int | None = None
    force: bool = False
    jobs_by: str = "--jobs"


def measure_budget(request: BudgetRequest, root: Path = Path("/")) -> Budget:
    """Look at the machine and its cgroups, and say what may be used of them now.

    Args:
        request: what the person allows of it.
        root: where /proc and /sys are found.
    """
    tightest = tightest_limit(request.memory, root=root)
    cores = usable_cores(root)
    by_jobs = request.jobs is not None and request.jobs < slots_for(cores)
    return Budget(
        memory=max(0, tightest.room),
        reserve=tightest.reserve,
        cores=cores,
        slots=min(request.jobs or slots_for(cores), slots_for(cores)),
        slots_by=request.jobs_by if by_jobs else "cores",
        spare=1 if cores <= _FEW_CORES and not by_jobs else 0,
        limited_by=f"{tightest.available / GIB:.1f} GiB free within {tightest.name}",
    )


def slots_for(cores: int) -> int:
    """Give the number of compilers that keep `cores` busy: two more where there are many; some wait for disk.

    On few cores every compiler more takes caches and processor time from the others: on two, a third costs 4 to 6 %.
    """
    return cores if cores <= _FEW_CORES else cores + 2


def tightest_limit(allowed: int | None, *, held: int = 0, root: Path = Path("/")) -> MemoryLimit:
    """Give the limit that leaves the least room.

    Args:
        allowed: bytes that a person allows, if they do; no reserve is taken from it.
        held: bytes of it that the builds hold already.
        root: where /proc and /sys are found.
    """
    limits = memory_limits(root)
    if allowed is not None:
        limits += (MemoryLimit(name="--memory", limit=allowed, available=allowed - held, reserve=0, ours=True),)
    return min(limits, key=lambda limit: limit.room)


def require_room(budget: Budget, needed: int, *, force: bool, measured: bool = False) -> None:
    """Let pass a budget in which the largest compiler finds room.

    Args:
        budget: what there is.
        needed: bytes of the largest compiler process of the build.
        force: let any budget pass.
        measured: whether `needed` is what it took before, not what the recipe says.

    Raises:
        MemoryBudgetError: it does not fit.
    """
    if budget.memory < needed and not force:
        raise MemoryBudgetError(
            f"one compiler of this build needs {needed / GIB:.1f} GiB, and {budget.memory / GIB:.1f} GiB may be used",
            why=f"{budget.limited_by}; {budget.reserve / GIB:.1f} GiB of it stay in reserve, and swap does not count.",
            remedy="Raise --memory, free some, or try all the same with --force."
            if measured
            else "Free some memory, raise the limit, or try all the same with --force. If the figure is too high for "
            "this package, set `memory-per-job` in its recipe.",
        )
