"""`cudawheel report`."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import click
from rich.markup import escape

from cudawheel.cli.console import out
from cudawheel.cli.options import keys_folder
from cudawheel.errors import UsageError
from cudawheel.files import disk_errors, write_atomically
from cudawheel.model.counting import count
from cudawheel.provenance.keys import PUBLIC, trusted_keys
from cudawheel.report.page import render
from cudawheel.report.survey import survey


@click.command("report")
@click.argument("wheelhouse", type=click.Path(path_type=Path), default="wheelhouse")
@click.option(
    "-o",
    "--output",
    "--out",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    default="report.html",
    show_default=True,
    help="The page.",
)
@click.option(
    "--trust",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PUBKEY",
    help="A public key to check signatures with, instead of your own ones.",
)
def command(wheelhouse: Path, page: Path, trust: tuple[Path, ...]) -> None:
    """Write all that is known of the wheels in WHEELHOUSE onto one HTML page.

    Which wheel runs on which GPU, what its build cost, what the audit and the verification found, and where it comes
    from. The page needs nothing besides itself.
    """
    if not wheelhouse.is_dir():
        raise UsageError(
            f"there is no folder {wheelhouse}", remedy="Name the wheelhouse: cudawheel report path/to/wheelhouse."
        )
    own = keys_folder()
    trusted = trusted_keys(trust, own) if trust or any(own.glob(f"*{PUBLIC}")) else ()
    found = survey(wheelhouse, trusted=trusted, leave_out=[page])
    text = render(found, written=datetime.now(tz=timezone.utc))
    with disk_errors(page.parent):
        page.parent.mkdir(parents=True, exist_ok=True)
        # Names that are not UTF-8 have been replaced before; this is for whatever is overlooked.
        write_atomically(page, text.encode("utf-8", "replace"))
    notes = [count(len(found.wheels), "wheel")]
    notes += [f"{len(found.refused)} not offered"] * bool(found.refused)
    notes += [f"{count(len(found.strays), 'other file')}"] * bool(found.strays)
    out.print(f"[bold green]✓[/] [bold]{escape(str(page))}[/]  {', '.join(notes)}")
