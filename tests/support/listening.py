"""A progress listener that remembers what it was told, and can interrupt like a person at the keyboard."""

from __future__ import annotations


class Heard:
    """What a build said.

    Attributes:
        phases: names of the phases, in order.
        details: what was said with each of them.
        edges: steps that were reported.
        looks: bytes used and allowed, compilers running and waiting, at each look; how often one comes, time says.
        notes: lines that were to stay.
        interrupt_at: number of the phase at which Ctrl-C is pressed, counted from 0; None for never.
    """

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.phases: list[str] = []
        self.details: list[str] = []
        self.edges: list[tuple[int, int]] = []
        self.looks: list[tuple[int, int, int, int]] = []
        self.notes: list[str] = []
        self.interrupt_at = interrupt_at

    def phase(self, name: str, detail: str = "") -> None:
        self.phases.append(name)
        self.details.append(detail)
        if self.interrupt_at is not None and len(self.phases) > self.interrupt_at:
            raise KeyboardInterrupt

    def steps(self, done: int, total: int) -> None:
        self.edges.append((done, total))

    def compilers(self, used: int, budget: int, running: int, waiting: int) -> None:
        self.looks.append((used, budget, running, waiting))

    def note(self, text: str) -> None:
        self.notes.append(text)
