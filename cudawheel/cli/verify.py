"""`cudawheel verify`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from cudawheel.cli import suggestions
from cudawheel.cli.console import BuildProgress, out
from cudawheel.errors import InterruptedBuildError
from cudawheel.toolchain.gpus import visible_gpus
from cudawheel.verify.candidate import find_candidates
from cudawheel.verify.page import answer_of, write_page
from cudawheel.verify.verdict import Finding, Verdict
from cudawheel.verify.verification import StoppedError, VerifyRequest, require_proven, verify

_COLOURS = {"proven": "green", "failed": "red", "known defect": "yellow", "unproven": "dim"}
_MARKS = {"proven": "✓", "failed": "✗", "known defect": "!", "unproven": "·"}
_ANSWERS = {"good": "green", "bad": "red", "known": "yellow", "dim": "yellow"}


@click.command("verify")
@click.argument("subject", metavar="WHEEL|NAME", shell_complete=suggestions.wheels)
@click.option("--recipe", type=click.Path(path_type=Path), help="The recipe that chooses the suite.")
@click.option(
    "--wheelhouse",
    type=click.Path(path_type=Path),
    default="wheelhouse",
    show_default=True,
    help="Where a wheel is looked for by its name.",
)
@click.option(
    "-o",
    "--output",
    "--out",
    "folder",
    type=click.Path(path_type=Path),
    help="Folder for the verdict; default: beside the wheel.",
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
    broken on purpose is not noticed, 24 where nothing could be tried. One that is interrupted ends with 130, and keeps
    and shows what it has found.
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
        try:
            verdict, stopped = verify(request, progress), False
        except StoppedError as interruption:
            verdict, stopped = interruption.verdict, True
    page = write_page(verdict, place)
    if as_json:
        click.echo(json.dumps(verdict.to_json(), indent=1))
    else:
        show(verdict, page)
    if stopped:
        raise InterruptedBuildError(
            "stopped before the end of the checks",
            why="\n".join(verdict.unproven),
            remedy=f"What was found until then is in {place}. The same command starts again.",
        )
    require_proven(verdict, require_gpu=require_gpu)


def show(verdict: Verdict, page: Path) -> None:
    """Print a verdict as a table, one row a check and one column a device, and what it leaves open."""
    devices = tuple(dict.fromkeys(finding.device for finding in verdict.findings))
    rows: dict[str, dict[str, Finding]] = {}
    for finding in verdict.findings:
        rows.setdefault(finding.name, {})[finding.device] = finding
    table = Table(show_edge=False)
    table.add_column("check", overflow="fold")
    for device in devices:
        table.add_column(device, no_wrap=True)
    table.add_column("found", overflow="fold", ratio=1)
    for name, found in rows.items():
        cells = (_cell(found.get(device)) for device in devices)
        table.add_row(escape(name), *cells, "\n".join(map(escape, _details(found))))
    out.print(table)
    caught = sum(control.caught for control in verdict.controls)
    out.print(f"\n{caught} of {len(verdict.controls)} kernels that were broken on purpose were caught")
    for sentence in verdict.unproven:
        out.print(f"[yellow]not proven[/]: {escape(sentence)}")
    sentence, kind = answer_of(verdict)
    out.print(f"[bold {_ANSWERS[kind]}]{escape(sentence)}[/]")
    out.print(f"[dim]page[/]  {escape(str(page))}")


def _cell(finding: Finding | None) -> str:
    """Say what became of a check on one device; nothing where it means nothing there."""
    if finding is None:
        return ""
    return f"[{_COLOURS[finding.status]}]{_MARKS[finding.status]} {finding.status}[/]"


def _details(found: Mapping[str, Finding]) -> Iterator[str]:
    """Give what was found, each sentence once; why a check did not run stands below the table."""
    told = [finding for finding in found.values() if finding.detail and finding.status != "unproven"]
    alike = len({finding.detail for finding in told}) == 1
    for finding in told[:1] if alike else told:
        yield finding.detail if alike else f"{finding.device}: {finding.detail}"
