"""The one place that prints: errors, progress, and tables."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text
from typing_extensions import Self

from cudawheel.errors import CudawheelError
from cudawheel.schedule.limits import GIB

# Steps are ninja's edges or bytes of a download; no build has as many edges as an archive has bytes.
_MOST_EDGES = 10_000
_HEARTBEAT_SECONDS = 60.0

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def show_error(error: CudawheelError) -> None:
    """Print an error: what happened, why, what to do."""
    err.print(f"[bold red]error[/]: {escape(error.what)}  [dim]({error.title}, exit {error.exit_code})[/]")
    for line in error.why.splitlines():
        err.print(f"  {escape(line)}")
    for line in error.remedy.splitlines():
        err.print(f"[green]→[/] {escape(line)}")


class BuildProgress:
    """Shows a build as it runs: one live line on a terminal, one line a phase elsewhere."""

    def __init__(self, console: Console = err) -> None:
        self._console = console
        self._start = self._said = time.monotonic()
        self._phase = "starting"
        self._detail = ""
        self._steps = ""
        self._memory = ""
        self._live = Live(
            console=console, get_renderable=self._line, transient=True, refresh_per_second=4, auto_refresh=True
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def phase(self, name: str, detail: str = "") -> None:
        """Begin a phase."""
        self._phase, self._detail, self._steps, self._memory = name, detail, "", ""
        if not self._console.is_terminal:
            self.note(f"{name} {detail}")

    def steps(self, done: int, total: int) -> None:
        """Show how much is done."""
        bytes_ = total == 0 or total > _MOST_EDGES
        self._steps = f"{done / 1e6:.0f} MB" if bytes_ else f"[{done}/{total}]"
        if not self._console.is_terminal and not bytes_:
            self.note(f"{self._phase} {self._steps} {self._memory}")

    def compilers(self, used: int, budget: int, running: int, waiting: int) -> None:
        """Show what the builds hold, and how many compilers run and wait."""
        self._memory = f"{used / GIB:.1f} of {budget / GIB:.1f} GiB, {running} compiling"
        self._memory += f", {waiting} waiting" if waiting else ""
        # Where nothing moves on a screen, a line now and then says that it still goes on.
        if not self._console.is_terminal and time.monotonic() - self._said > _HEARTBEAT_SECONDS:
            self.note(f"{self._phase} {self._steps} {self._memory}")

    def note(self, text: str) -> None:
        """Print a line that stays."""
        self._said = time.monotonic()
        self._console.print(f"[{self._elapsed()}] {text.rstrip()}", markup=False)

    def _elapsed(self) -> str:
        seconds = int(time.monotonic() - self._start)
        return f"{seconds // 60}:{seconds % 60:02d}"

    def _line(self) -> Table:
        line = Table.grid(padding=(0, 1))
        parts = (self._phase, self._detail, self._steps, self._elapsed(), self._memory)
        line.add_row(
            Spinner("dots"), Text("  ".join(part for part in parts if part), overflow="ellipsis", no_wrap=True)
        )
        return line
