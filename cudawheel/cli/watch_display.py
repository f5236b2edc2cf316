"""The live line of `cudawheel watch`, and the output of the command above it."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import BinaryIO

from rich.console import Console
from rich.live import Live
from rich.text import Text
from typing_extensions import Self

from cudawheel.cli.console import err
from cudawheel.schedule.limits import GIB


class WatchDisplay:
    """Passes a command's output on untouched, and shows one live line below it where standard error is a terminal."""

    def __init__(self, console: Console = err) -> None:
        self._console = console
        self._start = time.monotonic()
        self._machine = ""
        self._partial = {False: b"", True: b""}
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
        pending = {is_error: rest for is_error, rest in self._partial.items() if rest}
        self._partial.clear()
        for is_error, rest in pending.items():
            self._print(rest, is_error=is_error)
        self._live.stop()

    def output(self, piece: bytes, is_error: bool) -> None:  # noqa: FBT001 - as `follow` calls it
        """Pass on a piece of output; onto a terminal that shows the live line whole lines only."""
        stream = sys.stderr if is_error else sys.stdout
        if not (self._live.is_started and stream.isatty()):
            _write(stream.buffer, piece)
            return
        *lines, self._partial[is_error] = (self._partial[is_error] + piece).split(b"\n")
        for line in lines:
            self._print(line, is_error=is_error)

    def look(self, used: int, budget: int, running: int, waiting: int) -> None:
        """Show what is held, and how many compilers run and wait."""
        compilers = f", {running} compiling" if running else ""
        compilers += f", {waiting} waiting" if waiting else ""
        self._machine = f"{used / GIB:.1f} of {budget / GIB:.1f} GiB{compilers}"

    def note(self, text: str) -> None:
        """Print a line of our own that stays."""
        self._console.print(f"cudawheel: {text}", markup=False)

    def _print(self, line: bytes, *, is_error: bool) -> None:
        if self._live.is_started and (sys.stderr if is_error else sys.stdout).isatty():
            self._console.print(Text.from_ansi(_last_state(line)))
        else:
            _write((sys.stderr if is_error else sys.stdout).buffer, line)

    def _render(self) -> Text:
        seconds = int(time.monotonic() - self._start)
        # A question waits in its line for an answer, and a progress bar has no end: they stand above until they end.
        pending = [Text.from_ansi(_last_state(rest)) for rest in self._partial.values() if rest]
        status = Text(f"▸ {seconds // 60}:{seconds % 60:02d}  {self._machine}", style="dim", no_wrap=True)
        return Text("\n").join([*pending, status])


def _last_state(line: bytes) -> str:
    """Give what a line shows at last: a progress bar is redrawn by returns."""
    return line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]


def _write(stream: BinaryIO, piece: bytes) -> None:
    stream.write(piece)
    stream.flush()
