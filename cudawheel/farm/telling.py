"""What the workers tell, brought together: each cell to its own listener, and their memory and compilers summed up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cudawheel.model.progress import Progress


@dataclass(slots=True)
class Telling:
    """The listener to a whole farm.

    Args:
        progress: told of all cells together.
        progress_of: gives the listener of one cell.
    """

    progress: Progress
    progress_of: Callable[[str], Progress]
    _workers: dict[str, str] = field(init=False, default_factory=dict)
    _labels: dict[str, str] = field(init=False, default_factory=dict)
    _looks: dict[str, tuple[int, int, int, int]] = field(init=False, default_factory=dict)

    def joined(self, worker: str, label: str) -> None:
        """Learn what a person knows a worker by."""
        self._labels[worker] = label or worker

    def label(self, worker: str) -> str:
        """Give what a person knows a worker by, of one that is gone as well."""
        return self._labels.get(worker, worker)

    def sent(self, cell: str, worker: str) -> None:
        """Say that a cell is on its way to a worker."""
        self._workers[cell] = worker
        self.progress_of(cell).phase("sent", f"to {self.label(worker)}")

    def over(self, cell: str) -> None:
        """Forget a cell that is done with."""
        self.progress_of(cell).phase("done")
        worker = self._workers.pop(cell, None)
        if worker is not None and worker not in self._workers.values():
            self._looks.pop(worker, None)

    def note(self, cell: str, text: str) -> None:
        """Say something about a cell that is to stay on the screen."""
        self.progress_of(cell).note(text)

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take in what a worker tells; what is late, or of a kind that is not known here, says nothing any more."""
        cell, worker, kind = message.get("cell", ""), message.get("worker", ""), message.get("kind", "")
        if self._workers.get(cell) != worker:
            return
        listener = self.progress_of(cell)
        if kind == "phase":
            listener.phase(str(message["name"]), f"{message['detail']} on {self.label(worker)}".strip())
        elif kind == "steps":
            listener.steps(int(message["done"]), int(message["total"]))
        elif kind == "note":
            listener.note(str(message["text"]))
        elif kind == "compilers":
            names = ("used", "budget", "running", "waiting")
            used, budget, running, waiting = (int(message[name]) for name in names)
            self._looks[worker] = (used, budget, running, waiting)
            self.progress.compilers(*map(sum, zip(*self._looks.values(), strict=True)))
