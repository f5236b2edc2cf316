"""`cudawheel explain`."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import click
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from cudawheel.cli import suggestions
from cudawheel.cli.console import err, out
from cudawheel.errors import NothingKnownError, UsageError
from cudawheel.explain.scanner import Explanation, explain_stream
from cudawheel.model.counting import count

_FILE_ENDINGS = (".log", ".txt", ".out", ".err")
_SEVERAL = 2
# A log of so many bytes takes a second or more to read.
_LARGE = 16 << 20
_NOTHING = "Nothing in it is known to cudawheel: look at the first line with `error` in it, not at the last."
_NO_INPUT = "errors are written to standard error, which 2>&1 passes on as well."
_HOW = "Name a log file, quote an error message, or pipe something in: pip install … 2>&1 | cudawheel explain"


@click.command("explain", context_settings={"ignore_unknown_options": True})
@click.argument(
    "words", nargs=-1, metavar="[LOG...|LINE|-]", type=click.UNPROCESSED, shell_complete=suggestions.any_file
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.pass_context
def command(context: click.Context, words: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Name the cause of a failure, the lines that show it, and the remedy.

    It reads the file LOG of any size, or several, an error message given as LINE, or standard input. Of several causes
    the root comes first. Nothing of a log is shown but the lines that matter, with credentials masked. Exit code 0:
    something was found; 65: nothing that is known.
    """
    read = [_read(words)] if len(words) < _SEVERAL or not all(map(_means_a_file, words)) else [*map(_read_log, words)]
    if as_json:
        every = [{"log": one.name, "causes": [_as_json(cause) for cause in one.causes]} for one in read]
        click.echo(json.dumps({"causes": every[0]["causes"]} if len(words) < _SEVERAL else {"logs": every}, indent=2))
    else:
        for one in read:
            if len(read) > 1:
                out.print(f"[bold]{escape(one.name)}[/]")
            show_explanations(one.causes, out)
            if not one.causes:
                out.print(_NOTHING if one.size else f"{one.name} is empty: {_NO_INPUT}", markup=False)
    if not any(one.causes for one in read):
        context.exit(NothingKnownError.exit_code)


def show_explanations(found: Sequence[Explanation], console: Console) -> None:
    """Print causes: the root first and whole, the others after it."""
    for number, one in enumerate(found):
        heading = "[bold red]cause[/]" if number == 0 else "[yellow]also found[/]"
        console.print(f"{heading}: [bold]{escape(one.pattern.title)}[/]  [dim]({one.pattern.id})[/]")
        for line in one.evidence:
            console.print(f"  [dim]line {line.line}:[/] {escape(line.text)}")
        if one.more:
            console.print(f"  [dim]and {count(one.more, 'more line')} like these[/]")
        console.print(f"  {escape(one.cause)}")
        console.print(f"  [green]→[/] {escape(one.remedy)}")
        if one.recipe and one.recipe != one.remedy:
            console.print(f"  [green]→[/] with cudawheel: {escape(one.recipe)}")
        console.print(f"  [dim]{one.pattern.source}[/]")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What was read: its name, its size in bytes, and what it shows."""

    name: str
    size: int
    causes: tuple[Explanation, ...]


def _read(words: tuple[str, ...]) -> _Read:
    if words in {(), ("-",)}:
        if not words and sys.stdin.isatty():
            raise UsageError("explain was given nothing to read", remedy=_HOW)
        return _scan(sys.stdin.buffer, "standard input")
    if not any(word.strip() for word in words):
        raise UsageError("explain was given an empty line", remedy=_HOW)
    if len(words) == 1 and _means_a_file(words[0]):
        return _read_log(words[0])
    return _scan(io.BytesIO(" ".join(words).encode("utf-8", "surrogateescape")), "the line")


def _read_log(name: str) -> _Read:
    try:
        with Path(name).open("rb") as stream:
            return _scan(stream, name)
    except OSError as error:
        raise UsageError(
            f"{name} cannot be read",
            why=error.strerror or str(error),
            remedy="Name a log file, or quote a message.",
        ) from error


def _scan(stream: IO[bytes], name: str) -> _Read:
    """Search a log; on a terminal one line shows that a large one is being read."""
    size = 0
    with ExitStack() as stack:
        live: Live | None = None

        def on_read(piece: int) -> None:
            nonlocal size, live
            size += piece
            if size > _LARGE and err.is_terminal:
                line = Text(f"{name}: {size >> 20} MiB read", style="dim", no_wrap=True)
                live = live or stack.enter_context(Live(line, console=err, transient=True))
                live.update(line)

        causes = explain_stream(stream, on_read=on_read)
    return _Read(name=name, size=size, causes=causes)


def _means_a_file(word: str) -> bool:
    try:
        if Path(word).exists():
            return True
    except (OSError, ValueError):  # longer than a name may be, or with a zero byte
        return False
    # A misspelt file name should not be searched as if it were a message.
    return not any(blank in word for blank in " \n\t") and (
        word.endswith(_FILE_ENDINGS) or word.startswith(("/", "./", "~"))
    )


def _as_json(one: Explanation) -> dict[str, Any]:
    return {
        "id": one.pattern.id,
        "title": one.pattern.title,
        "stage": one.pattern.stage,
        "cause": one.cause,
        "remedy": one.remedy,
        "recipe": one.recipe,
        "source": one.pattern.source,
        "evidence": [{"line": line.line, "text": line.text} for line in one.evidence],
        "more": one.more,
    }
