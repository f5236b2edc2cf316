"""`cudawheel explain`."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from cudawheel.cli import suggestions
from cudawheel.cli.console import out
from cudawheel.errors import NothingKnownError, UsageError
from cudawheel.explain.scanner import Explanation, explain_stream

_FILE_ENDINGS = (".log", ".txt", ".out", ".err")


@click.command("explain", context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, metavar="[LOG|LINE|-]", type=click.UNPROCESSED, shell_complete=suggestions.any_file)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.pass_context
def command(context: click.Context, words: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Name the cause of a failure, the lines that show it, and the remedy.

    It reads the file LOG of any size, an error message given as LINE, or standard input. Of several causes the root
    comes first. Nothing of a log is shown but the lines that matter, with credentials masked. Exit code 0: something
    was found; 65: nothing that is known.
    """
    found = _explain(words)
    if as_json:
        click.echo(json.dumps({"causes": [_as_json(one) for one in found]}, indent=2))
    else:
        show_explanations(found, out)
    if not found:
        if not as_json:
            out.print(
                "Nothing in it is known to cudawheel: look at the first line with `error` in it, not at the last."
            )
        context.exit(NothingKnownError.exit_code)


def show_explanations(found: Sequence[Explanation], console: Console) -> None:
    """Print causes: the root first and whole, the others after it."""
    for number, one in enumerate(found):
        heading = "[bold red]cause[/]" if number == 0 else "[yellow]also found[/]"
        console.print(f"{heading}: [bold]{escape(one.pattern.title)}[/]  [dim]({one.pattern.id})[/]")
        for line in one.evidence:
            console.print(f"  [dim]line {line.line}:[/] {escape(line.text)}")
        console.print(f"  {escape(one.cause)}")
        console.print(f"  [green]→[/] {escape(one.remedy)}")
        if one.recipe and one.recipe != one.remedy:
            console.print(f"  [green]→[/] with cudawheel: {escape(one.recipe)}")
        console.print(f"  [dim]{one.pattern.source}[/]")


def _explain(words: tuple[str, ...]) -> tuple[Explanation, ...]:
    if words in {(), ("-",)}:
        if not words and sys.stdin.isatty():
            raise UsageError(
                "explain was given nothing to read",
                remedy="Name a log file, quote an error message, or pipe something in: pip install … 2>&1 | "
                "cudawheel explain",
            )
        return explain_stream(sys.stdin.buffer)
    if len(words) > 1 or not _means_a_file(words[0]):
        return explain_stream(io.BytesIO(" ".join(words).encode("utf-8", "surrogateescape")))
    try:
        with Path(words[0]).open("rb") as stream:
            return explain_stream(stream)
    except OSError as error:
        raise UsageError(
            f"{words[0]} cannot be read",
            why=error.strerror or str(error),
            remedy="Name a log file, or quote a message.",
        ) from error


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
    }
