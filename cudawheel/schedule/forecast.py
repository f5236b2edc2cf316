"""What a build is expected to do with its budget, before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cudawheel.errors import MemoryBudgetError
from cudawheel.model.counting import count
from cudawheel.schedule.allocation import choose_threads, expected_seconds, longest_first
from cudawheel.schedule.budget import Budget
from cudawheel.schedule.demand import Demand
from cudawheel.schedule.history import CostKey, History, unmeasured
from cudawheel.schedule.limits import GIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """An expectation.

    Attributes:
        largest: bytes of its largest compiler process.
        seconds: how long compiling takes, or None where nothing of the package was ever measured.
        decision: what is going to run side by side and what limits it, in words.
    """

    largest: int
    seconds: float | None
    decision: str

    def to_json(self) -> dict[str, Any]:
        """Give the forecast as plain values."""
        return {"largest": self.largest, "seconds": self.seconds, "decision": self.decision}


def forecast(key: CostKey, passes: int, budget: Budget, history: History) -> Forecast:
    """Work out what a build will do.

    Args:
        key: whose costs to look for.
        passes: device passes of each CUDA source: one for each capability.
        budget: what there is.
        history: what earlier builds cost.
    """
    demands = longest_first(
        [
            Demand(build="", source=source, kind=kind, passes=passes if kind == "device" else 1, cost=cost)
            for source, kind, cost in history.units_of(key)
        ]
    )
    if not demands:
        cost = unmeasured(key, "device")
        how = f"{_gib(cost.memory)} each, never measured here"
        return Forecast(largest=cost.memory, seconds=None, decision=_decision(cost.memory, how, budget))
    threads = choose_threads(demands, (), slots=budget.slots, memory=budget.memory)
    seconds = expected_seconds(demands, threads, slots=budget.slots, memory=budget.memory)
    largest = max(demand.cost.memory for demand in demands)
    widest = max(demands, key=lambda demand: threads[demand])
    wide = f", nvcc on {threads[widest]} threads for {widest.source}" if threads[widest] > 1 else ""
    how = f"{_gib(largest)} at most each as measured{wide}, about {seconds:.0f} s"
    return Forecast(largest=largest, seconds=seconds, decision=_decision(largest, how, budget))


def _decision(memory: int, how: str, budget: Budget) -> str:
    affordable = budget.memory // max(1, memory)
    if affordable < 1:
        return f"no compiler fits ({how}); a build ends with exit code {MemoryBudgetError.exit_code} without --force"
    at_once = max(1, min(budget.slots, affordable))
    limit = budget.slots_by if budget.slots <= affordable else "memory"
    # What is shown while it runs has to be what was promised.
    spare = min(budget.spare, affordable - at_once)
    last = f", and {at_once + spare} with the last one that waits" if spare > 0 else ""
    return f"up to {count(at_once, 'compiler')} at once{last} ({how}), limited by {limit}"


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
