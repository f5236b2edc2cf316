"""`cudawheel watch`."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import click

from cudawheel.builder.costs import COSTS
from cudawheel.cli import suggestions
from cudawheel.cli.console import err
from cudawheel.cli.explain import show_explanations
from cudawheel.cli.options import cache_folder, cache_option, read_budget
from cudawheel.cli.streams import let_go
from cudawheel.cli.watch_display import WatchDisplay
from cudawheel.errors import StoreError, UsageError
from cudawheel.explain.masking import mask
from cudawheel.explain.scanner import Explanation, Scanner
from cudawheel.model.counting import count
from cudawheel.process import NOT_FOUND
from cudawheel.schedule.budget import BudgetRequest
from cudawheel.schedule.confinement import Confinement
from cudawheel.schedule.limits import GIB
from cudawheel.schedule.plot import plot
from cudawheel.schedule.watch import Listener, Watched, watch

_PLOTS_KEPT = 50
# As shells say it of a file that is no program.
_NOT_EXECUTABLE = 126
# The pattern that knows of the kernel's killer, and the confinement in which its kills are counted.
_OUT_OF_MEMORY = "out-of-memory"
_OWN_CGROUP = Confinement(group=Path("/"))
_LONGEST_TITLE = 100


@click.command("watch", context_settings={"allow_interspersed_args": False})
@click.option("--memory", "memory_text", metavar="SIZE", help="At most so much memory, such as 12G.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="At most so many compilers at once.")
@click.option(
    "--plot", "plot_file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Where the plot goes."
)
@cache_option
@click.argument(
    "words",
    nargs=-1,
    required=True,
    type=click.UNPROCESSED,
    metavar="-- COMMAND...",
    shell_complete=suggestions.command_lines,
)
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
    if (code := _cannot_be_run(words[0])) != 0:
        context.exit(code)
    _check_plot(places["plot_file"])
    scanner, folder = Scanner(), cache_folder(places["cache"]).absolute()
    try:
        done = _watch(words, request, folder / COSTS, scanner)
    except BrokenPipeError:
        let_go()
        context.exit(128 + signal.SIGPIPE)
    except KeyboardInterrupt:
        err.print("cudawheel: stopped; all that the command had started was ended", markup=False)
        context.exit(128 + signal.SIGINT)
    _show(done, words, memory_text, _write_plot(done, words, places["plot_file"], folder))
    if done.code:
        _explain(done, memory_text, scanner)
    context.exit(done.code if done.code >= 0 else 128 - done.code)


def _cannot_be_run(program: str) -> int:
    """Say that there is no such program, and give the exit status that a shell gives for it; 0 if it can be run."""
    if shutil.which(program) is not None:
        return 0
    there = os.sep in program and Path(program).exists()
    err.print(f"cudawheel: {mask(program)}: {'cannot be executed' if there else 'not found'}", markup=False)
    return _NOT_EXECUTABLE if there else NOT_FOUND


def _check_plot(chosen: Path | None) -> None:
    """See that the plot can be written, before a command that may take hours.

    Raises:
        UsageError: its folder is not there, or may not be written to.
    """
    folder = chosen.absolute().parent if chosen is not None else None
    if folder is None or (folder.is_dir() and os.access(folder, os.W_OK)):
        return
    raise UsageError(
        f"--plot {chosen} cannot be written: "
        + (f"{folder} may not be written to" if folder.is_dir() else f"there is no folder {folder}"),
        remedy="Make the folder, or name another one; without --plot it goes into the cache.",
    )


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


def _show(done: Watched, words: tuple[str, ...], memory_text: str | None, plotted: str) -> None:
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
            f"{count(len(timeline.units), 'compilation')}, {timeline.most_running} at once at most"
            + (f", {again} run again after they were killed" if again else "")
        )
    if done.kills:
        ended = "a process of it" if done.kills == 1 else f"{done.kills} processes of it"
        ended = f"the kernel ended {ended} for want of memory"
        parts.append(f"--memory {memory_text} was too small: {ended}" if memory_text and done.code else ended)
        if done.code:
            parts.append(f"→ {_more_memory(memory_text)}")
    for part in (*parts, *done.starved, plotted):
        err.print(f"cudawheel: {part}", markup=False)


def _more_memory(memory_text: str | None) -> str:
    if memory_text:
        return "Give it more, or leave --memory out: then it may take all that is free but for a reserve."
    return "It may take all that is free, and needs more: end other programs, or raise WSL's or the container's memory."


def _explain(done: Watched, memory_text: str | None, scanner: Scanner) -> None:
    killed = done.code in {-signal.SIGKILL, 128 + signal.SIGKILL} and done.confinement != str(_OWN_CGROUP)
    # The kernel's killer leaves no word in anybody's output. Where it took no compiler, the summary has said all of it.
    if killed or (done.kills and done.timeline.units and not done.starved):
        scanner.feed(b"\ncudawheel: a process was ended by signal 9 (Killed)\n")
    told = done.kills and not done.timeline.units
    causes = [one for one in scanner.explanations() if not (told and one.pattern.id == _OUT_OF_MEMORY)]
    show_explanations([_within_watch(one, memory_text) for one in causes], err)


def _within_watch(one: Explanation, memory_text: str | None) -> Explanation:
    """Give an explanation without the advice to do what is being done: to run it under the guard."""
    if one.pattern.id != _OUT_OF_MEMORY:
        return one
    return replace(one, remedy=_more_memory(memory_text), recipe="")


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
