"""`cudawheel watch`."""

from __future__ import annotations

import os
import shlex
import signal
import time
from pathlib import Path

import click

from cudawheel.builder.costs import COSTS
from cudawheel.cli.console import err
from cudawheel.cli.explain import show_explanations
from cudawheel.cli.options import cache_folder, cache_option, read_budget
from cudawheel.cli.watch_display import WatchDisplay
from cudawheel.errors import StoreError
from cudawheel.explain.masking import mask
from cudawheel.explain.scanner import Scanner
from cudawheel.schedule.budget import BudgetRequest
from cudawheel.schedule.limits import GIB
from cudawheel.schedule.plot import plot
from cudawheel.schedule.watch import Listener, Watched, watch

_PLOTS_KEPT = 50
_LONGEST_TITLE = 100


@click.command("watch", context_settings={"allow_interspersed_args": False})
@click.option("--memory", "memory_text", metavar="SIZE", help="At most so much memory, such as 12G.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="At most so many compilers at once.")
@click.option(
    "--plot", "plot_file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Where the plot goes."
)
@cache_option
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
@click.pass_context
def command(
    context: click.Context,
    /,
    memory_text: str | None,
    jobs: int | None,
    words: tuple[str, ...],
    **places: Path | None,
) -> None:
    """Run any COMMAND under the memory guard, a bare `pip install` included.

    Compilers that it calls wait until there is memory and a core for them, and one that was killed is run again alone.
    At the end stand what it took, a plot of memory and compilers, and if it failed the cause, where that is known.
    The exit code is the command's.
    """
    request = read_budget(memory_text=memory_text, jobs=jobs, force=False)
    scanner, folder = Scanner(), cache_folder(places["cache"]).absolute()
    try:
        done = _watch(words, request, folder / COSTS, scanner)
    except BrokenPipeError:
        context.exit(128 + signal.SIGPIPE)
    except KeyboardInterrupt:
        err.print("cudawheel: stopped; all that the command had started was ended", markup=False)
        context.exit(128 + signal.SIGINT)
    _show(done, words, _write_plot(done, words, places["plot_file"], folder))
    if done.code:
        _explain(done, scanner)
    context.exit(done.code if done.code >= 0 else 128 - done.code)


def _watch(words: tuple[str, ...], request: BudgetRequest, history: Path, scanner: Scanner) -> Watched:
    display = WatchDisplay()

    def output(piece: bytes, is_error: bool) -> None:  # noqa: FBT001 - as `follow` calls it
        scanner.feed(piece)
        display.output(piece, is_error)

    listener = Listener(output=output, look=display.look, note=display.note)
    try:
        with display:
            return watch(words, environ=dict(os.environ), request=request, history=history, listener=listener)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StoreError(
            "nothing can be written for the watched command's compilers",
            why=str(error),
            remedy="Set TMPDIR to a folder that can be written.",
        ) from error


def _show(done: Watched, words: tuple[str, ...], plotted: str) -> None:
    timeline = done.timeline
    again = sum(event.kind == "again" for event in timeline.events)
    parts = [
        f"{_title(words)}: exit status {done.code}"
        if done.code >= 0
        else f"{_title(words)}: ended by signal {-done.code}",
        f"{done.seconds:.0f} s, {timeline.peak / GIB:.1f} GiB at most of {done.budget}, in {done.confinement}",
    ]
    if timeline.units:
        parts.append(
            f"{len(timeline.units)} compilations, {timeline.most_running} at once at most"
            + (f", {again} run again after they were killed" if again else "")
        )
    if done.kills:
        parts.append(f"the kernel ended {done.kills} of its processes for want of memory")
    for part in (*parts, *done.starved, plotted):
        err.print(f"cudawheel: {part}", markup=False)


def _explain(done: Watched, scanner: Scanner) -> None:
    if done.code in {-signal.SIGKILL, 128 + signal.SIGKILL} or (done.kills and not done.starved):
        # The kernel's killer leaves no word in anybody's output.
        scanner.feed(b"\ncudawheel: a process was ended by signal 9 (Killed)\n")
    show_explanations(scanner.explanations(), err)


def _write_plot(done: Watched, words: tuple[str, ...], chosen: Path | None, cache: Path) -> str:
    """Write the plot and say where it is, or why it is not."""
    folder = cache / "watch"
    file = chosen or folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.svg"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(plot(done.timeline, title=_title(words)), encoding="utf-8")
        if chosen is None:
            for old in sorted(folder.glob("*.svg"))[:-_PLOTS_KEPT]:
                old.unlink(missing_ok=True)
    except OSError as error:
        return f"no plot: {error}"
    return f"plot: {file}"


def _title(words: tuple[str, ...]) -> str:
    text = mask(shlex.join(words))
    return text if len(text) <= _LONGEST_TITLE else f"{text[:_LONGEST_TITLE]}…"
