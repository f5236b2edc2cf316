"""The decisions of the jobserver, without its sockets and its clock: who starts, who is stopped, who tries again.

Every call says what happened and at what time; what is to be done about it comes back as the result. Clients are
whatever stands for a launcher; they are only told apart.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cudawheel.schedule.allocation import longest_first
from cudawheel.schedule.budget import Budget
from cudawheel.schedule.demand import Demand, Kind, Lease
from cudawheel.schedule.guard import Look
from cudawheel.schedule.history import Compilation, CostKey, History, trial
from cudawheel.schedule.limits import GIB
from cudawheel.schedule.pool import Pool
from cudawheel.schedule.recovery import Report, describe_end, describe_retry, smaller
from cudawheel.schedule.timeline import Event, EventKind, Sample, Timeline, Unit

Client = Hashable

# How long a compiler that finds no room though nothing of ours runs waits for others to free some, in seconds.
_PATIENCE = 20.0
# After a compiler was stopped its memory takes a moment to come back; the next one is not stopped before, in seconds.
_BETWEEN_STOPS = 2.0


@dataclass(slots=True, kw_only=True, eq=False)
class Build:
    """One build whose compilers are served.

    Attributes:
        name: tells it apart, and labels it for people.
        key: what its costs are remembered under.
        folder: what the names of its sources are relative to.
        note: told what people should know.
        remember: whether what its compilers take is worth remembering; with a compiler cache it is not.
        starved: sources that found too little memory even alone.
        measured: whether a compiler of it was worth remembering so far.
        finished: set by whoever runs it once it has compiled all that it has to.
    """

    name: str
    key: CostKey
    folder: Path
    note: Callable[[str], None]
    remember: bool = True
    starved: list[str] = field(default_factory=list)
    measured: bool = False
    finished: bool = False


class Dispatcher:
    """Decides, over one pool.

    Args:
        budget: what there is.
        history: what compilations cost before.
        force: start what finds no room at once.

    Attributes:
        timeline: what happened so far.
        pool: who holds what.
    """

    def __init__(self, budget: Budget, history: History, *, force: bool = False) -> None:
        self.timeline = Timeline(reserve=budget.reserve, cores=budget.cores)
        self.pool = Pool(slots=budget.slots, room=budget.memory, spare=budget.spare)
        self._history = history
        self._patience = 0.0 if force else _PATIENCE
        self._builds: dict[str, Build] = {}
        self._waiting: dict[Demand, Client] = {}
        self._held: dict[Client, Lease] = {}
        self._stopped_at = -_BETWEEN_STOPS
        self._withheld: Event | None = None
        self._stuck_since: float | None = None
        self._nobody_else = False
        self._measured: list[tuple[CostKey, Compilation]] = []

    def enter(self, build: Build) -> None:
        """Serve a build from now on.

        Raises:
            ValueError: one of this name is being served already.
        """
        if build.name in self._builds:
            raise ValueError(f"a build of the name {build.name} is being served already")
        self._builds[build.name] = build

    def leave(self, build: Build, now: float) -> None:
        """Serve a build no more."""
        self._builds.pop(build.name, None)
        self._mark_withheld(now)
        self.write_history()
        if build.measured and build.finished:
            self._history.add(build.key, (), finished=True)

    def ask(self, client: Client, *, build: str, kind: Kind, passes: int, source: Path, now: float) -> None:
        """Take a launcher's request for a lease.

        Raises:
            KeyError: there is no such build.
        """
        asking = self._builds[build]
        # What a link makes is named by itself: the folders that it goes to differ from variant to variant.
        inside = source.is_relative_to(asking.folder) and kind != "link"
        name = str(source.relative_to(asking.folder)) if inside else source.name
        cost = trial(asking.key) if _is_trial(name) else self._history.cost_of(asking.key, name, kind)
        demand = Demand(build=build, source=name, kind=kind, passes=passes, cost=cost)
        self._waiting[demand] = client
        self.pool.ask(demand, now)

    def grants(self, now: float) -> Iterator[tuple[Client, int]]:
        """Give the clients that may start now, each with its number of threads."""
        for lease in self.pool.grant(now):
            yield self._hand_over(lease)
        stuck = self.pool.stuck()
        if stuck is None:
            self._stuck_since = None
        else:
            self._stuck_since = now if self._stuck_since is None else self._stuck_since
            if stuck.alone or self._nobody_else or now - self._stuck_since >= self._patience:
                self._note(stuck.build, now, "alone", f"{_shortage(stuck, self.pool)}; starting it alone all the same")
                yield self._hand_over(self.pool.grant_regardless(stuck, now))
        self._mark_withheld(now)

    def ended(self, client: Client, report: Report, kills: int, now: float) -> bool:
        """Take a launcher's report; say whether it is to wait for another go.

        Args:
            kills: processes that the kernel has killed in the builds' cgroup since the last report.
        """
        lease = self._release(client)
        if lease is None:
            return False
        starved = not report.ok and (report.starved or kills > 0)
        self._record(lease, report, starved=starved, now=now)
        following = smaller(lease, report) if starved else None
        build = self._builds.get(lease.demand.build)
        if kills and starved:
            self._event("killed", now, f"the kernel killed a process of {lease.demand.source}")
        if following is not None:
            self._note(lease.demand.build, now, "again", describe_retry(lease, report, following))
            self._waiting[following] = client
            self.pool.ask(following, now)
            return True
        if starved and build is not None:
            build.starved.append(describe_end(lease, report))
            build.note(build.starved[-1])
        return False

    def gone(self, client: Client, now: float) -> None:
        """Take back what a client held or waited for whose connection ended without a report."""
        for demand in [demand for demand, waiting in self._waiting.items() if waiting == client]:
            del self._waiting[demand]
            self.pool.withdraw(demand)
        lease = self._release(client)
        if lease is not None:
            unsaid = Report(code=1, signal=0, peak=lease.resident, cpu_seconds=0.0, seconds=0.0, starved=False)
            self._record(lease, unsaid, starved=False, now=now)

    def write_history(self) -> None:
        """Write down what was measured since the last time; whoever compiled it need not wait for the disk."""
        measured, self._measured = self._measured, []
        for key in dict.fromkeys(key for key, _ in measured):
            self._history.add(key, [done for of, done in measured if of == key], finished=False)

    def looked(self, look: Look, process_of: Callable[[Client], int], now: float) -> Client | None:
        """Take what a look at the machine showed; give the client whose compiler is to be stopped, if one must be."""
        self.pool.room = look.limit.room
        self.pool.withheld = look.withheld
        # With nothing running there is nobody to wait for, if the limit is the builds' own.
        self._nobody_else = look.limit.ours
        for client, lease in self._held.items():
            lease.resident = look.resident.get(process_of(client), lease.resident)
        held = self.pool.held
        running, waiting = self.pool.claims.threads, len(self.pool.waiting)
        budget = max(0, look.used + look.limit.room)
        self.timeline.add(Sample(at=now, used=look.used, budget=budget, running=running, waiting=waiting))
        if not look.is_emergency or len(held) < 2 or now - self._stopped_at < _BETWEEN_STOPS:  # noqa: PLR2004
            return None
        self._stopped_at = now
        youngest = held[-1]
        self._note(youngest.demand.build, now, "stopped", f"{look.withheld}; stopping {youngest.demand.source}")
        return next(client for client, lease in self._held.items() if lease is youngest)

    def _hand_over(self, lease: Lease) -> tuple[Client, int]:
        client = self._waiting.pop(lease.demand)
        self._held[client] = lease
        return client, lease.threads

    def _release(self, client: Client) -> Lease | None:
        lease = self._held.pop(client, None)
        if lease is not None:
            self.pool.give_back(lease)
        return lease

    def _record(self, lease: Lease, report: Report, *, starved: bool, now: float) -> None:
        demand, outcome = lease.demand, "out of memory" if starved else "ok" if report.ok else "failed"
        self.timeline.units.append(
            Unit(
                build=demand.build,
                source=demand.source,
                kind=demand.kind,
                passes=demand.passes,
                threads=lease.threads,
                start=lease.started,
                end=now,
                peak=report.peak,
                outcome=outcome,
            )
        )
        build = self._builds.get(demand.build)
        if build is not None and build.remember and report.ok and not _is_trial(demand.source):
            done = Compilation(
                source=demand.source,
                kind=demand.kind,
                passes=demand.passes,
                threads=lease.threads,
                peak=report.peak,
                cpu_seconds=report.cpu_seconds,
                seconds=report.seconds,
            )
            self._measured.append((build.key, done))
            build.measured = True

    def _mark_withheld(self, now: float) -> None:
        """Keep one event for each span of time in which a compiler waited for memory while a slot was free."""
        waiting = self.pool.waiting
        short = bool(waiting) and self.pool.free_slots > 0
        if short and self._withheld is None:
            self._withheld = Event(kind="withheld", at=now, text=self.pool.withheld or _obstacle(self.pool))
        elif not short and self._withheld is not None:
            span = self._withheld
            self.timeline.events.append(Event(kind="withheld", at=span.at, until=now, text=span.text))
            self._withheld = None

    def _event(self, kind: EventKind, now: float, text: str) -> None:
        self.timeline.events.append(Event(kind=kind, at=now, text=text))

    def _note(self, build: str, now: float, kind: EventKind, text: str) -> None:
        self._event(kind, now, text)
        if build in self._builds:
            self._builds[build].note(text)


def _is_trial(source: str) -> bool:
    """Say whether a source is one of those with which CMake tries a compiler out."""
    return "CMakeFiles" in source or Path(source).name.startswith(("CMake", "cmTC_", "a.out", "a_dlink"))


def _obstacle(pool: Pool) -> str:
    """Say what the demand waits for whose turn it is: memory, or that nothing else runs."""
    alone = [lease.demand.source for lease in pool.held if lease.demand.alone]
    if alone:
        return f"{alone[0]} is compiled alone"
    first = longest_first(pool.waiting)[0]
    return f"{first.source} waits to be compiled alone" if first.alone else _shortage(first, pool)


def _shortage(demand: Demand, pool: Pool) -> str:
    needed, left = demand.cost.memory / GIB, max(0, pool.unclaimed) / GIB
    return f"{demand.source} needs {needed:.1f} GiB, and {left:.1f} GiB are left"
