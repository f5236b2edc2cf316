"""What `cudawheel reconstruct` shows: how far it is, and at its end what was made and how long each stage took."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from typing_extensions import Self

from cudawheel.cli.console import err, out, show_error

if TYPE_CHECKING:
    from cudawheel.triposr.reconstruction import Failure, Reconstruction


# In a log a stage that takes long says how far it is so often, in seconds.
_EVERY_SECONDS = 10.0


class Display:
    """Shows stages as they run: bars on a terminal; in a log a line a stage, and some more where it takes long."""

    def __init__(self, console: Console = err, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._name, self._told = "", 0.0
        self._task: TaskID | None = None
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def stage(self, name: str) -> None:
        """Begin a stage: its bar takes the place of the one before it."""
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(name, total=None)
        self._name, self._told = name, self._clock()
        if self._bars.disable:
            self.tell(name)

    def progress(self, done: int, total: int) -> None:
        """Show how much of the stage is done."""
        if self._task is not None:
            self._bars.update(self._task, completed=done, total=total)
        if self._bars.disable and self._clock() - self._told >= _EVERY_SECONDS:
            self._told = self._clock()
            self.tell(f"{self._name} {done / total:.0%}")

    def tell(self, sentence: str) -> None:
        """Print a line that stays."""
        self._console.print(sentence, markup=False)


def show_reconstructions(
    made: Sequence[Reconstruction],
    failures: Sequence[Failure],
    loading: dict[str, float],
    *,
    device: str,
    as_json: bool,
) -> None:
    """Print what was made as a table for people, or all of it as JSON; what failed stands below the table.

    Args:
        made: what was made.
        failures: of which pictures nothing was.
        loading: seconds that came before all of them.
        device: on which it was made.
        as_json: whether programs read it.
    """
    if as_json:
        results = [*map(_made_as_json, made), *map(_failure_as_json, failures)]
        click.echo(json.dumps({"device": device, "loading": loading, "results": results}, indent=2))
        return
    if made:
        out.print(_times(made))
    loaded = ", ".join(f"{name} {_seconds(seconds)}" for name, seconds in loading.items())
    out.print(f"[dim]on {escape(device)}; loading: {escape(loaded)}[/]")
    for result in made:
        _show_made(result)
    # A single picture's error is what the command ends with.
    for failure in failures if made or len(failures) > 1 else ():
        err.print(f"[bold]{escape(failure.source)}[/]")
        show_error(failure.error)


def _times(made: Sequence[Reconstruction]) -> Table:
    """Give the table: a row for each stage, a column for each picture."""
    table = Table(show_edge=False)
    table.add_column("stage", no_wrap=True)
    for result in made:
        table.add_column(escape(result.source), justify="right", overflow="fold")
    for stage in dict.fromkeys(name for result in made for name in result.seconds):
        table.add_row(stage, *(_seconds(result.seconds[stage]) for result in made))
    table.add_section()
    table.add_row("all", *(_seconds(sum(result.seconds.values())) for result in made))
    return table


def _show_made(made: Reconstruction) -> None:
    size = f"{made.vertices:,} vertices, {made.faces:,} faces"
    out.print(f"[green]✓[/] [bold]{escape(str(made.folder / made.files[0]))}[/]  {size}")
    if made.files[1:]:
        out.print(f"  [dim]beside it:[/] {escape(', '.join(made.files[1:]))}")


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f} s"


def _made_as_json(made: Reconstruction) -> dict[str, Any]:
    return {
        "source": made.source,
        "folder": str(made.folder),
        "files": list(made.files),
        "vertices": made.vertices,
        "faces": made.faces,
        "seconds": made.seconds,
    }


def _failure_as_json(failure: Failure) -> dict[str, Any]:
    error = failure.error
    words = {"exit_code": error.exit_code, "what": error.what, "why": error.why, "remedy": error.remedy}
    return {"source": failure.source, "error": words}
