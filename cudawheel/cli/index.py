"""`cudawheel index`: an index as static files, and withdrawing wheels."""

from __future__ import annotations

from pathlib import Path

import click

from cudawheel.cli.console import err, out
from cudawheel.index import yanking
from cudawheel.index.export import export
from cudawheel.index.scan import Scanner


@click.group("index")
def command() -> None:
    """Export the index of a wheelhouse as static files; withdraw wheels from it."""


@command.command("export")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--wheelhouse", type=click.Path(path_type=Path), default="wheelhouse", show_default=True, help="What to export."
)
def export_command(folder: Path, wheelhouse: Path) -> None:
    """Make DIR show the wheelhouse, for any web server or bucket; only what differs is written."""
    survey = Scanner(wheelhouse.absolute()).scan()
    for finding in survey.findings:
        err.print(f"not offered: {finding}", markup=False)
    done = export(survey.index, folder.absolute(), wheelhouse=wheelhouse.absolute())
    out.print(
        f"{folder}/simple/  {done.wheels} wheels, {done.added} of them new; {done.pages} pages written, "
        f"{done.removed} files removed",
        markup=False,
    )


@command.command("yank")
@click.argument("wheel", type=click.Path(path_type=Path))
@click.option("--reason", default="", help="What installers show to those who ask for exactly this version.")
def yank_command(wheel: Path, reason: str) -> None:
    """Withdraw WHEEL: installers pass over it unless its version is asked for exactly."""
    yanking.yank(wheel, reason)
    out.print(f"yanked {wheel.name}", markup=False)


@command.command("unyank")
@click.argument("wheel", type=click.Path(path_type=Path))
def unyank_command(wheel: Path) -> None:
    """Offer WHEEL again."""
    yanking.unyank(wheel)
    out.print(f"offered again: {wheel.name}", markup=False)
