"""A cluster that is none: it remembers what it is told to start, and says what a test lets it say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cudawheel.errors import SchedulerLostError
from cudawheel.farm.cell import Answer, Order
from cudawheel.farm.cluster import Answered, Gone, Heard, Message
from cudawheel.farm.probe import WorkerReport
from cudawheel.farm.work import build
from cudawheel.schedule.limits import GIB


@dataclass(frozen=True)
class Start:
    """A task that was started."""

    key: str
    function: str
    plain: Mapping[str, Any]
    worker: str
    resources: Mapping[str, float]


@dataclass
class FakeCluster:
    """A cluster.

    Attributes:
        there: its workers.
        lost: whether its scheduler is gone.
        on_start: what happens when a task is started.
        started: all tasks, in order.
        tasks: what workers have to do, by worker.
        stopped: keys of those whose answer is not wanted any more.
        post: where messages go, once somebody has connected.
    """

    there: set[str] = field(default_factory=set)
    lost: bool = False
    on_start: Callable[[Start], None] = lambda _start: None
    started: list[Start] = field(default_factory=list)
    tasks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    post: Callable[[Message], None] = lambda _message: None

    @property
    def address(self) -> str:
        return "tcp://nowhere:8786"

    def workers(self) -> frozenset[str]:
        if self.lost:
            raise SchedulerLostError("the scheduler at tcp://nowhere:8786 does not answer any more", why="it is gone")
        return frozenset(self.there)

    def start(
        self, key: str, function: str, plain: Mapping[str, Any], worker: str, resources: Mapping[str, float]
    ) -> None:
        start = Start(key, function, plain, worker, resources)
        self.started.append(start)
        self.on_start(start)

    def stop(self, key: str) -> None:
        self.stopped.append(key)

    def tasks_of(self, worker: str) -> tuple[str, ...]:
        return self.tasks.get(worker, ())

    @contextmanager
    def connect(self, _address: str, _run: str, post: Callable[[Message], None]) -> Iterator[FakeCluster]:
        self.post = post
        yield self


def report_of(worker: str, *, compiler: str = "gcc 14.2.0", **changes: Any) -> WorkerReport:
    """What a worker says of itself that lacks nothing."""
    facts: dict[str, Any] = {
        "address": worker,
        "host": f"host-of-{worker}",
        "cores": 2,
        "memory": 4 * GIB,
        "threads": 1,
        "compilers": {"13.0": compiler},
    }
    return WorkerReport(**{**facts, **changes})


@dataclass
class FakeFarm(FakeCluster):
    """A cluster whose workers build as soon as they are told to, in the process of the test.

    Attributes:
        folder: where their caches lie.
        instead: what happens instead of a build, by torch: told of the start, it gives an answer, or None for none.
        reports: what workers say of themselves, where it is not that they lack nothing.
        built: torch releases that were built, in order.
    """

    folder: Path = Path()
    instead: dict[str, Callable[[Start], Answer | None]] = field(default_factory=dict)
    reports: dict[str, WorkerReport] = field(default_factory=dict)
    built: list[str] = field(default_factory=list)

    def start(
        self, key: str, function: str, plain: Mapping[str, Any], worker: str, resources: Mapping[str, float]
    ) -> None:
        super().start(key, function, plain, worker, resources)
        start = self.started[-1]
        if function == "look_at_yourself":
            self.post(Answered(key=key, value=self.reports.get(worker, report_of(worker)).to_plain()))
            return
        order = Order.from_plain(plain)
        answer = self.instead[order.torch](start) if order.torch in self.instead else self.build(start)
        if answer is not None:
            self.post(Answered(key=key, value=answer.to_plain()))

    def build(self, start: Start) -> Answer:
        """Build a cell as a worker does."""
        order = Order.from_plain(start.plain)

        def tell(message: Mapping[str, Any]) -> None:
            self.post(Heard(message={"cell": order.cell, "worker": start.worker, **message}))

        answer = build(order, tell, cache=self.folder / f"cache-{start.worker}", environ={})
        if answer.built:
            self.built.append(order.torch)
        return answer

    def leave(self, worker: str, *, expected: bool = False) -> None:
        """Let a worker go, and another one come in its place."""
        self.there.discard(worker)
        self.there.add(f"{worker}'")
        self.post(Gone(worker=worker, expected=expected))
