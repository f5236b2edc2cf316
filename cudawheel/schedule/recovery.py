"""What to do with a compilation that failed: whether it was for want of memory, and what it is tried with next."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cudawheel.schedule.demand import Demand, Lease
from cudawheel.schedule.limits import GIB

# A compiler that was killed would have gone on growing; how far nobody knows.
_MORE_THAN_SEEN = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a launcher says of a compiler that ended.

    Attributes:
        code: exit status.
        signal: the signal that ended it, or 0.
        peak: bytes that its largest process held.
        cpu_seconds: processor time of all its processes.
        seconds: wall time.
        starved: whether its end or its words speak of a want of memory.
    """

    code: int
    signal: int
    peak: int
    cpu_seconds: float
    seconds: float
    starved: bool

    @classmethod
    def parse(cls, words: list[str]) -> Report:
        """Read the words of an `end` line; raises ValueError where they make no sense."""
        code, number, peak, cpu_seconds, seconds, starved = words
        return cls(
            code=int(code),
            signal=int(number),
            peak=int(peak),
            cpu_seconds=float(cpu_seconds),
            seconds=float(seconds),
            starved=starved == "1",
        )

    @property
    def ok(self) -> bool:
        """Whether it compiled."""
        return self.code == 0 and self.signal == 0


def smaller(lease: Lease, report: Report) -> Demand | None:
    """Give the demand to try next after a lease was not enough; None when there is nothing smaller.

    The ladder goes down by half the threads each time to one, then to one with nothing else running.
    """
    demand = lease.demand
    if demand.alone:
        return None
    seen = int(report.peak * _MORE_THAN_SEEN)
    # The largest process was seen, not the sum of the threads: where there were several, the pass may be as planned.
    memory = max(demand.cost.memory, seen if lease.threads == 1 else report.peak)
    return replace(
        demand,
        cost=replace(demand.cost, memory=memory),
        most_threads=max(1, lease.threads // 2),
        alone=lease.threads == 1,
    )


def describe_retry(lease: Lease, report: Report, following: Demand) -> str:
    """Say in words what happened to a compilation and how it goes on."""
    how = "alone, on one thread" if following.alone else f"on {_threads(following.useful)}"
    return (
        f"{lease.demand.source} ran out of memory on {_threads(lease.threads)} "
        f"({report.peak / GIB:.1f} GiB in its largest process); compiling it once more {how}"
    )


def describe_end(lease: Lease, report: Report) -> str:
    """Say in words that a compilation found too little memory though nothing else ran."""
    return (
        f"{lease.demand.source} ran out of memory on one thread with nothing else running, "
        f"when its largest process held {report.peak / GIB:.1f} GiB"
    )


def _threads(number: int) -> str:
    return "one thread" if number == 1 else f"{number} threads"
