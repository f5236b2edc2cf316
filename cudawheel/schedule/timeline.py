"""What happened during a build, in order of time: memory, compilers, and whatever held them up."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any, Literal

EventKind = Literal["withheld", "killed", "stopped", "again", "alone"]

# Enough for a plot; a record is not to grow with the hours of a build.
_MOST_SAMPLES = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look at the machine. Seconds since the timeline began; bytes.

    Attributes:
        used: what all builds hold.
        budget: what they might hold at that moment, the reserve already taken off.
        running: threads that compile.
        waiting: compilers that wait for their turn.
    """

    at: float
    used: int
    budget: int
    running: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that held a build up. `until` is None for what took no time.

    Attributes:
        kind: nothing new was started (`withheld`), the kernel killed a compiler (`killed`), cudawheel ended one to
            save memory (`stopped`), one starts once more (`again`), or though there is no room for it (`alone`).
        text: the reason, in words.
    """

    kind: EventKind
    at: float
    text: str
    until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One compiler run.

    Attributes:
        start: when it got its lease.
        end: when it gave it back.
        peak: bytes that its largest process held.
        outcome: `ok`, `failed`, or `out of memory`.
    """

    build: str
    source: str
    kind: str
    passes: int
    threads: int
    start: float
    end: float
    peak: int
    outcome: str


@dataclass(slots=True, kw_only=True)
class Timeline:
    """The whole story of one pool.

    Attributes:
        reserve: bytes that were left alone.
        cores: cores that the compilers might keep busy.
    """

    reserve: int
    cores: int
    samples: list[Sample] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)

    def add(self, sample: Sample) -> None:
        """Keep a sample; of two neighbours the one with more memory survives when there are too many."""
        self.samples.append(sample)
        if len(self.samples) >= 2 * _MOST_SAMPLES:
            pairs = zip(self.samples[::2], self.samples[1::2], strict=False)
            self.samples[:] = [max(pair, key=lambda one: one.used) for pair in pairs]

    @property
    def peak(self) -> int:
        """The most bytes that were seen to be held, or that a single process held."""
        return max((0, *(s.used for s in self.samples), *(u.peak for u in self.units)))

    @property
    def most_running(self) -> int:
        """The most threads that compiled at once."""
        changes = sorted([(u.start, u.threads) for u in self.units] + [(u.end, -u.threads) for u in self.units])
        return max((0, *itertools.accumulate(change for _, change in changes)))

    def between(self, start: float, end: float) -> Timeline:
        """Give what happened in a span of time, counted from its start."""
        return Timeline(
            reserve=self.reserve,
            cores=self.cores,
            samples=[replace(s, at=s.at - start) for s in self.samples if start <= s.at <= end],
            events=[
                replace(e, at=max(e.at, start) - start, until=None if e.until is None else min(e.until, end) - start)
                for e in self.events
                if (e.until if e.until is not None else e.at) >= start and e.at <= end
            ],
            units=[
                replace(u, start=u.start - start, end=u.end - start)
                for u in self.units
                if u.end >= start and u.start <= end
            ],
        )

    def to_json(self) -> dict[str, Any]:
        """Give the timeline as plain values, samples as rows of (at, used, budget, running, waiting)."""
        return {
            "reserve": self.reserve,
            "cores": self.cores,
            "samples": [[round(s.at, 2), s.used, s.budget, s.running, s.waiting] for s in self.samples],
            "events": [
                {"kind": e.kind, "at": round(e.at, 2), "until": e.until and round(e.until, 2), "text": e.text}
                for e in self.events
            ],
            "units": [
                {
                    "build": u.build, "source": u.source, "kind": u.kind, "passes": u.passes, "threads": u.threads,
                    "start": round(u.start, 2), "end": round(u.end, 2), "peak": u.peak, "outcome": u.outcome,
                }
                for u in self.units
            ],
        }  # fmt: skip

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Timeline:
        """Read what `to_json` wrote."""
        names = ("at", "used", "budget", "running", "waiting")
        return cls(
            reserve=plain["reserve"],
            cores=plain["cores"],
            samples=[Sample(**dict(zip(names, row, strict=True))) for row in plain["samples"]],
            events=[Event(**event) for event in plain["events"]],
            units=[Unit(**unit) for unit in plain["units"]],
        )
