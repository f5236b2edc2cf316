"""What a cell asks of a worker, out of the history of costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cudawheel.builder.costs import cost_key
from cudawheel.factory.job import Job
from cudawheel.farm.policy import Need
from cudawheel.schedule.budget import Budget
from cudawheel.schedule.forecast import forecast
from cudawheel.schedule.history import Compilation, CostKey, History

# A core more is asked for as long as it makes a cell so much faster; with many cells there is other work for it.
_WORTH_IT = 0.8
MOST_CORES = 32
# Here the number of compilers is looked for that the work itself can use; what a worker has is the policy's matter.
_NO_LIMIT = 1 << 62


class FarmHistory(History):
    """The history of costs of one machine, to which others add what they measured."""

    def measured(self, package: str, fingerprint: str) -> tuple[Compilation, ...]:
        """Give what the compilers of one build took, the last measurement of each unit."""
        rows = self._rows(
            "SELECT source, kind, passes, threads, peak, cpu_seconds, seconds FROM compilation "
            "WHERE package = ? AND fingerprint = ? GROUP BY source, kind HAVING at = MAX(at) ORDER BY source",
            (package, fingerprint),
        )
        names = ("source", "kind", "passes", "threads", "peak", "cpu_seconds", "seconds")
        return tuple(Compilation(**dict(zip(names, row, strict=True))) for row in rows)


def key_of(job: Job, fingerprint: str = "") -> CostKey:
    """Give what the costs of a job are remembered under."""
    return cost_key(job.loaded.recipe, job.settings, job.variant, fingerprint)


def need_of(name: str, job: Job, history: History, *, most_cores: int = MOST_CORES) -> Need:
    """Say what a cell asks for: as many cores as shorten it by a fair part, and memory for a compiler on each.

    The memory is that of the largest compiler process that earlier builds of the package had, or the recipe's figure
    where there was none. What was never measured asks for a core for each device pass, since that much nvcc can use.

    Args:
        name: of the cell.
        job: its build.
        history: what earlier builds cost.
        most_cores: so many at most, however large a worker is.
    """
    key, passes = key_of(job), job.variant.capabilities.device_passes
    cores, seconds = 1, _seconds(key, passes, 1, history)
    largest = forecast(key, passes, _budget(1), history).largest
    if seconds == math.inf:
        cores = max(1, min(passes, most_cores))
    for more in _doublings(most_cores) if seconds < math.inf else ():
        faster = _seconds(key, passes, more, history)
        # Twice the cores at half the time would be 0.5.
        if faster > seconds * _WORTH_IT:
            break
        cores, seconds = more, faster
    return Need(name=name, seconds=seconds, cores=cores, memory=largest, cuda=str(job.variant.cuda))


def plain(done: Sequence[Compilation]) -> list[list[object]]:
    """Write measurements as rows of plain values, for their way from a worker."""
    return [[c.source, c.kind, c.passes, c.threads, c.peak, c.cpu_seconds, c.seconds] for c in done]


def from_plain(rows: Sequence[Sequence[object]]) -> tuple[Compilation, ...]:
    """Read what `plain` wrote."""
    names = ("source", "kind", "passes", "threads", "peak", "cpu_seconds", "seconds")
    return tuple(Compilation(**dict(zip(names, row, strict=True))) for row in rows)  # type: ignore[arg-type]


def _doublings(most: int) -> list[int]:
    found = [1 << power for power in range(1, most.bit_length()) if 1 << power <= most]
    return [*found, *([most] if most > 1 and most not in found else [])]


def _seconds(key: CostKey, passes: int, cores: int, history: History) -> float:
    found = forecast(key, passes, _budget(cores), history).seconds
    return math.inf if found is None else found


def _budget(cores: int) -> Budget:
    return Budget(memory=_NO_LIMIT, reserve=0, cores=cores, slots=cores, limited_by="the farm")
