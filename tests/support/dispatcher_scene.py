"""A dispatcher with one build, in words as short as a test needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from schedule_values import make_key, make_report

from cudawheel.schedule.budget import Budget
from cudawheel.schedule.demand import Kind
from cudawheel.schedule.dispatcher import Build, Dispatcher
from cudawheel.schedule.guard import Look
from cudawheel.schedule.history import History
from cudawheel.schedule.limits import GIB, MemoryLimit
from cudawheel.schedule.recovery import Report

FOLDER = Path("/home/you/demo")
KEY = make_key(memory=2 * GIB)
# What nothing was measured for is taken to need by the recipe, so many find room at once.
MEMORY, SLOTS = 8 * GIB, 8


@dataclass
class Scene:
    """A dispatcher with one build, and what was said of it."""

    history: History
    force: bool = False
    memory: int = MEMORY
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        budget = Budget(memory=self.memory, reserve=GIB, cores=SLOTS, slots=SLOTS, limited_by="a test")
        self.dispatcher = Dispatcher(budget, self.history, force=self.force)
        self.build = Build(name="demo", key=KEY, folder=FOLDER, note=self.notes.append)
        self.dispatcher.enter(self.build)

    def ask(
        self, client: str, *, now: float = 0.0, passes: int = 1, kind: Kind | None = None, source: str = ""
    ) -> None:
        # What has one pass can use one thread, as a test that counts them wants it.
        path, likely = FOLDER / (source or f"{client}.cu"), "host" if passes == 1 else "device"
        self.dispatcher.ask(client, build="demo", kind=kind or likely, passes=passes, source=path, now=now)

    def grants(self, now: float = 0.0) -> dict[object, int]:
        return dict(self.dispatcher.grants(now))

    def ended(self, client: str, report: Report | None = None, *, kills: int = 0, now: float = 1.0) -> bool:
        once_more = self.dispatcher.ended(client, report or make_report(), kills, now)
        self.dispatcher.write_history()
        return once_more

    def looked(self, room: int, *, now: float, stalled: float = 0.0, used: int = GIB, ours: bool = False) -> object:
        limit = MemoryLimit(name="the machine", limit=64 * GIB, available=room + GIB, reserve=GIB, ours=ours)
        resident = {int(client): GIB for client in "123"}
        look = Look(used=used, limit=limit, stalled=stalled, resident=resident)
        return self.dispatcher.looked(look, lambda client: int(str(client)) if str(client).isdigit() else 0, now)

    def events(self) -> list[tuple[str, float, float | None]]:
        return [(event.kind, event.at, event.until) for event in self.dispatcher.timeline.events]
