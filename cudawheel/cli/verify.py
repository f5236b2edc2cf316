"""`cudawheel verify`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from cudawheel.cli.console import BuildProgress, out
from cudawheel.toolchain.gpus import visible_gpus
from cudawheel.verify.candidate import find_candidates
from cudawheel.verify.page import answer_of, write_page
from cudawheel.verify.verdict import Verdict
from cudawheel.verify.verification import VerifyRequest, require_proven, verify

_COLOURS = {"proven": "green", "failed": "red", "known defect": "yellow", "unproven": "dim"}
_MARKS = {"proven": "✓", "failed": "✗", "known defect": "!", "unproven": "·"}
_ANSWERS = {"good": "green", "bad": "red", "known": "yellow"}


@click.command("verify")
@click.argument("subject", metavar="WHEEL|NAME")
@click.option("--recipe", type=click.Path(path_type=Path), help="The recipe that chooses the suite.")
@click.option(
    "--wheelhouse",
    type=click.Path(path_type=Path),
    default="wheelhouse",
    show_default=True,
    help="Where a wheel is looked for by its name.",
)
@click.option(
    "--out", "folder", type=click.Path(path_type=Path), help="Folder for the verdict; default: beside the wheel."
)
@click.option("--require-gpu", is_flag=True, help="Fail where no GPU is visible.")
@click.option("--installed", is_flag=True, help="Use this Python's own torch instead of a clean environment.")
@click.option("--quick", is_flag=True, help="Leave the slow checks out.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
def command(  # noqa: PLR0917 - click passes options by name
    subject: str,
    recipe: Path | None,
    wheelhouse: Path,
    folder: Path | None,
    require_gpu: bool,  # noqa: FBT001 - click passes flags by name
    installed: bool,  # noqa: FBT001
    quick: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    """Prove what a wheel computes, in a clean environment, against references that are independent of it.

    Ends with exit code 0 only where all that was to be proven is: 22 where a check fails, 23 where a kernel that was
    broken on purpose is not noticed, 24 where nothing could be tried.
    """
    wheel, *older = find_candidates(subject, wheelhouse)
    place = folder or wheel.with_suffix(".verified")
    request = VerifyRequest(
        wheel=wheel,
        recipe=recipe,
        recipes=Path("recipes"),
        out=place,
        gpus=visible_gpus(),
        require_gpu=require_gpu,
        installed=installed,
        quick=quick,
        environ=dict(os.environ),
    )
    with BuildProgress() as progress:
        if older:
            progress.note(f"{wheel.name} is the newest of {1 + len(older)} wheels of that name")
        verdict = verify(request, progress)
    page = write_page(verdict, place)
    if as_json:
        click.echo(json.dumps(verdict.to_json(), indent=1))
    else:
        show(verdict, page)
    require_proven(verdict, require_gpu=require_gpu)


def show(verdict: Verdict, page: Path) -> None:
    """Print a verdict as a table, and what it leaves open."""
    table = Table(show_edge=False)
    table.add_column("check", overflow="fold")
    table.add_column("on", no_wrap=True)
    table.add_column("result", no_wrap=True)
    table.add_column("found", overflow="fold")
    for finding in verdict.findings:
        colour, mark = _COLOURS[finding.status], _MARKS[finding.status]
        result = f"[{colour}]{mark} {finding.status}[/]"
        table.add_row(escape(finding.name), finding.device, result, escape(finding.detail))
    out.print(table)
    caught = sum(control.caught for control in verdict.controls)
    out.print(f"\n{caught} of {len(verdict.controls)} kernels that were broken on purpose were caught")
    for sentence in verdict.unproven:
        out.print(f"[yellow]not proven[/]: {escape(sentence)}")
    sentence, kind = answer_of(verdict)
    out.print(f"[bold {_ANSWERS[kind]}]{escape(sentence)}[/]")
    out.print(f"[dim]page[/]  {escape(str(page))}")
