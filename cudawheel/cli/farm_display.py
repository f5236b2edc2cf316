"""What a farm looks like while it builds: one line for each cell that is on a worker, and one for all."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text
from typing_extensions import Self

from cudawheel.cli.console import err
from cudawheel.schedule.limits import GIB

# More lines than that no screen has; what is beyond them is counted.
_MOST_LINES = 30
_HEARTBEAT_SECONDS = 60.0


@dataclass(slots=True)
class _Line:
    """What one cell is doing."""

    phase: str
    since: float
    steps: str = ""


@dataclass(slots=True)
class FarmView:
    """Shows all cells of a farm: live lines on a terminal, one line an event elsewhere.

    It is the listener of the whole; `of_variant` gives those of the cells.
    """

    console: Console = field(default_factory=lambda: err)
    _lines: dict[str, _Line] = field(init=False, default_factory=dict)
    _whole: str = field(init=False, default="starting")
    _machines: str = field(init=False, default="")
    _start: float = field(init=False, default_factory=time.monotonic)
    _said: float = field(init=False, default_factory=time.monotonic)
    _live: Live = field(init=False)

    def __post_init__(self) -> None:
        self._live = Live(console=self.console, get_renderable=self.render, transient=True, refresh_per_second=2)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def of_variant(self, identifier: str) -> CellView:
        """Give the listener of one cell."""
        return CellView(self, identifier)

    def phase(self, name: str, detail: str = "") -> None:
        """Say how far the whole is."""
        self._whole = detail or name
        if not self.console.is_terminal:
            self.note(self._whole)

    def steps(self, done: int, total: int) -> None:
        """Ignore steps: those of the cells are shown."""

    def compilers(self, used: int, budget: int, running: int, waiting: int) -> None:
        """Show what all workers together hold and compile."""
        self._machines = (
            f"{used / GIB:.0f} of {budget / GIB:.0f} GiB, {running} compiling, {waiting} waiting for memory"
        )
        if not self.console.is_terminal and time.monotonic() - self._said > _HEARTBEAT_SECONDS:
            self.note(f"{self._whole}; {self._machines}")

    def note(self, text: str) -> None:
        """Print a line that stays."""
        self._said = time.monotonic()
        self.console.print(f"[{_clock(self._said - self._start)}] {text.rstrip()}", markup=False)

    def show(self, cell: str, phase: str) -> None:
        """Show what a cell is doing."""
        self._lines[cell] = _Line(phase=phase, since=time.monotonic())
        if not self.console.is_terminal:
            self.note(f"{cell}: {phase}")

    def count(self, cell: str, steps: str) -> None:
        """Show how far a cell is with what it is doing."""
        if cell in self._lines:
            self._lines[cell].steps = steps

    def forget(self, cell: str) -> None:
        """Take the line of a cell away that is done."""
        self._lines.pop(cell, None)

    def render(self) -> Table:
        """Draw it: the cells that have been at the same thing for longest first, and the whole at the end."""
        grid, now = Table.grid(padding=(0, 2)), time.monotonic()
        lines = sorted(self._lines.items(), key=lambda item: item[1].since)
        for cell, line in lines[:_MOST_LINES]:
            rest = "  ".join(part for part in (line.phase, line.steps) if part)
            grid.add_row(
                Text(cell, no_wrap=True), Text(rest, no_wrap=True, overflow="ellipsis"), _clock(now - line.since)
            )
        if len(lines) > _MOST_LINES:
            grid.add_row(Text(f"and {len(lines) - _MOST_LINES} more"), "", "")
        whole = "  ".join(part for part in (self._whole, self._machines) if part)
        grid.add_row(Text("farm", style="bold"), Text(whole, overflow="ellipsis"), _clock(now - self._start))
        return grid


@dataclass(frozen=True, slots=True)
class CellView:
    """The listener of one cell: says everything with its name."""

    view: FarmView
    cell: str

    def phase(self, name: str, detail: str = "") -> None:
        """Begin a phase; `done` is the last."""
        if name == "done":
            self.view.forget(self.cell)
        else:
            self.view.show(self.cell, f"{name} {detail}".strip())

    def steps(self, done: int, total: int) -> None:
        """Show how much is done; without a total it is bytes."""
        self.view.count(self.cell, f"[{done}/{total}]" if total else f"{done / 1e6:.0f} MB")

    def compilers(self, used: int, budget: int, running: int, waiting: int) -> None:
        """Show what the workers hold."""
        self.view.compilers(used, budget, running, waiting)

    def note(self, text: str) -> None:
        """Print a line that stays."""
        self.view.note(f"{self.cell}: {text}")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
