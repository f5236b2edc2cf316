"""The one place that prints: errors, progress, and tables."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.measure import Measurement
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text
from typing_extensions import Self

from cudawheel.errors import CudawheelError
from cudawheel.model.progress import DONE, FAILED
from cudawheel.schedule.limits import GIB

# Steps are ninja's edges or bytes of a download; no build has as many edges as an archive has bytes.
_MOST_EDGES = 10_000
_HEARTBEAT_SECONDS = 60.0
_ANY_WIDTH = 10_000

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def show_error(error: CudawheelError) -> None:
    """Print an error: what happened, why, what to do."""
    err.print(f"[bold red]error[/]: {escape(error.what)}  [dim]({error.title}, exit {error.exit_code})[/]")
    for line in error.why.splitlines():
        err.print(f"  {escape(line)}")
    for line in error.remedy.splitlines():
        err.print(f"[green]→[/] {escape(line)}")


def print_block(console: Console, block: RenderableType, *, width: int | None = None) -> None:
    """Print a table or a wrapped text; onto what is no terminal without the blanks that lines are filled up with."""
    if console.is_terminal:
        console.print(block, soft_wrap=False, width=width)
        return
    with console.capture() as captured:
        console.print(block, soft_wrap=False, width=width)
    console.out("\n".join(line.rstrip() for line in captured.get().splitlines()), highlight=False)


def print_table(table: Table, console: Console = out) -> None:
    """Print a table: within the width of a terminal, and elsewhere as wide as its longest cells.

    A file, a pipe and a log have no width, and a name that is broken into pieces cannot be searched for there.
    """
    if console.is_terminal:
        print_block(console, table)
        return
    width = console.width
    try:
        console.width = _ANY_WIDTH
        console.width = max(width, Measurement.get(console, console.options, table).maximum)
        print_block(console, table)
    finally:
        console.width = width


class BuildProgress:
    """Shows builds as they run: live lines on a terminal, one line a phase elsewhere.

    It listens to one build by itself; `of_variant` gives listeners for several, a line each.
    """

    def __init__(self, console: Console = err) -> None:
        self._console = console
        self._start = self._said = time.monotonic()
        self._lines: dict[str, _Line] = {"": _Line(phase="starting")}
        self._machine = ""
        self._live = Live(
            console=console, get_renderable=self._render, transient=True, refresh_per_second=4, auto_refresh=True
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def of_variant(self, identifier: str) -> VariantProgress:
        """Give the listener of one of several builds."""
        self._lines.pop("", None)
        return VariantProgress(self, identifier)

    def phase(self, name: str, detail: str = "", *, of: str = "") -> None:
        """Begin a phase; what is at its end gets a line that stays and leaves the others."""
        if name in {DONE, FAILED}:
            self._lines.pop(of, None)
            self.note(f"{name}: {detail}", of=of)
            return
        self._lines[of] = _Line(phase=name, detail=detail)
        if not self._console.is_terminal:
            self.note(f"{name} {detail}", of=of)

    def steps(self, done: int, total: int, *, of: str = "") -> None:
        """Show how much is done."""
        bytes_ = total == 0 or total > _MOST_EDGES
        line = self._lines[of]
        line.steps = f"{done / 1e6:.0f} MB" if bytes_ else f"[{done}/{total}]"
        if not self._console.is_terminal and not bytes_:
            self.note(f"{line.phase} {line.steps}  {self._machine}", of=of)

    def compilers(self, used: int, budget: int, running: int, waiting: int) -> None:
        """Show what the builds hold, and how many compilers run and wait."""
        self._machine = f"{used / GIB:.1f} of {budget / GIB:.1f} GiB, {running} compiling" if running or waiting else ""
        self._machine += f", {waiting} waiting" if waiting else ""
        # Where nothing moves on a screen, a line now and then says that it still goes on.
        if not self._console.is_terminal and time.monotonic() - self._said > _HEARTBEAT_SECONDS:
            lines = [": ".join(filter(None, (label, str(line)))) for label, line in list(self._lines.items())]
            self.note(f"{'; '.join(lines)}  {self._machine}")

    def note(self, text: str, *, of: str = "") -> None:
        """Print a line that stays."""
        self._said = time.monotonic()
        label = f"{of}: " if of else ""
        self._console.print(f"[{self._elapsed()}] {label}{text.rstrip()}", markup=False)

    def _elapsed(self) -> str:
        seconds = int(time.monotonic() - self._start)
        return f"{seconds // 60}:{seconds % 60:02d}"

    def _render(self) -> Table:
        grid = Table.grid(padding=(0, 1))
        lines = list(self._lines.items())
        for number, (label, line) in enumerate(lines):
            # Of several lines the last one has what they share.
            shared = (self._elapsed(), self._machine) if number == len(lines) - 1 else ()
            text = "  ".join(part for part in (label, str(line), *shared) if part)
            grid.add_row(self._spinner, Text(text, overflow="ellipsis", no_wrap=True))
        return grid

    @cached_property
    def _spinner(self) -> Spinner:
        return Spinner("dots")


@dataclass(slots=True, kw_only=True)
class _Line:
    """What one build is doing."""

    phase: str
    detail: str = ""
    steps: str = ""

    def __str__(self) -> str:
        return "  ".join(part for part in (self.phase, self.detail, self.steps) if part)


class VariantProgress:
    """The listener of one of several builds: says everything with the name of its variant."""

    def __init__(self, display: BuildProgress, identifier: str) -> None:
        self._display = display
        self._identifier = identifier

    def phase(self, name: str, detail: str = "") -> None:
        """Begin a phase."""
        self._display.phase(name, detail, of=self._identifier)

    def steps(self, done: int, total: int) -> None:
        """Show how much is done."""
        self._display.steps(done, total, of=self._identifier)

    def compilers(self, used: int, budget: int, running: int, waiting: int) -> None:
        """Show what all builds hold."""
        self._display.compilers(used, budget, running, waiting)

    def note(self, text: str) -> None:
        """Print a line that stays."""
        self._display.note(text, of=self._identifier)
