"""What a compiler asks for before it starts, and what it gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["device", "host", "link"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one translation unit is expected to cost.

    Attributes:
        memory: bytes that one device pass, or the one host pass, holds at its peak.
        fixed: seconds that no second thread shortens.
        per_pass: seconds of one device pass.
        beside: seconds of the fixed part that run beside the passes, if there is a thread more than passes.
        measured: whether an earlier build measured it.
    """

    memory: int
    fixed: float
    per_pass: float
    beside: float = 0.0
    measured: bool = False

    def seconds(self, passes: int, threads: int) -> float:
        """Give the expected time of `passes` device passes on `threads` threads."""
        fixed = self.fixed - (self.beside if threads > passes else 0.0)
        return fixed + self.per_pass * -(-passes // threads)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Demand:
    """One translation unit, or one link, that wants to start; the same file asked for twice is two demands.

    Attributes:
        build: name of the build that it belongs to.
        source: what is compiled, relative to the build's folder; of a link, what comes out.
        kind: nvcc's work, a host compiler's, or a linker's.
        passes: device passes that nvcc can run side by side; 1 for everything else.
        cost: what it is expected to cost.
        most_threads: no more than this many threads, after it died of too many.
        alone: only when nothing else runs.
    """

    build: str
    source: str
    kind: Kind
    passes: int
    cost: Cost
    most_threads: int = 1 << 16
    alone: bool = False

    @property
    def useful(self) -> int:
        """How many threads it can make use of."""
        return min(self.passes + (self.cost.beside > 0), self.most_threads)

    def seconds(self, threads: int = 1) -> float:
        """Give the expected time on so many threads."""
        return self.cost.seconds(self.passes, threads)


@dataclass(slots=True, kw_only=True, eq=False)
class Lease:
    """Memory and slots that one compiler holds.

    Attributes:
        threads: how many threads nvcc runs.
        started: when it got them, on the pool's clock, in seconds.
        resident: bytes that it was last seen to hold.
    """

    demand: Demand
    threads: int
    started: float
    resident: int = 0

    @property
    def reserved(self) -> int:
        """Bytes that are set aside for it."""
        return self.demand.cost.memory * self.threads

    @property
    def growth(self) -> int:
        """Bytes that it may still take on top of what it holds."""
        return max(0, self.reserved - self.resident)
