"""`cudawheel farm`: workers for `cudawheel build --scheduler`, and a look at those that are there."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.markup import escape

from cudawheel.cli.console import out
from cudawheel.cli.farm_display import FarmView
from cudawheel.cli.options import cache_folder, cache_option, parse_size
from cudawheel.errors import UnfitWorkersError
from cudawheel.model.counting import count
from cudawheel.schedule.limits import GIB

if TYPE_CHECKING:
    from cudawheel.factory.attempt import Attempt
    from cudawheel.factory.fleet import FleetRequest

_Command = TypeVar("_Command", bound=Callable[..., Any])


def farm_options(command: _Command) -> _Command:
    """Add --scheduler and --wait to a command."""
    options = (
        click.option(
            "--scheduler",
            default="",
            envvar="CUDAWHEEL_SCHEDULER",
            metavar="ADDRESS",
            help="Build the variants on the workers of this Dask scheduler; means --all, needs --remote-cache.",
        ),
        click.option(
            "--wait",
            type=click.FloatRange(min=0),
            default=300.0,
            show_default=True,
            metavar="SECONDS",
            help="With --scheduler: wait so long for a first worker.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def build_on_farm(fleet: FleetRequest, scheduler: str, wait: float) -> tuple[Attempt, ...]:
    """Build the selected variants on a farm, and show it at work."""
    from cudawheel.farm.farm import FarmRequest, make_all_on_farm  # noqa: PLC0415 - no other build needs it

    with FarmView() as view:
        return make_all_on_farm(FarmRequest(fleet=fleet, scheduler=scheduler, patience=wait), view, view.of_variant)


@click.group("farm")
def command() -> None:
    """Start workers for `cudawheel build --scheduler`, and look at those that are there."""


@command.command("worker")
@click.argument("scheduler", metavar="ADDRESS")
@click.option("--memory", "memory_text", metavar="SIZE", help="Offer so much memory, instead of what is free now.")
@click.option("--cores", type=click.IntRange(min=1), metavar="N", help="Offer so many cores, instead of all.")
@click.option(
    "--cells", type=click.IntRange(min=1), metavar="N", help="Build so many cells at once at most; a cell a core."
)
@click.option("--name", default="", help="Name of this worker; its address where it has none.")
@cache_option
def worker(  # noqa: PLR0917 - click passes options by name
    scheduler: str, memory_text: str | None, cores: int | None, cells: int | None, name: str, cache: Path | None
) -> None:
    """Be a worker of the Dask scheduler at ADDRESS, which gets the memory and cores of this machine to give away.

    It is a plain Dask worker with the resources MEMORY and CORES, as `dask worker --resources` declares them too.
    """
    from cudawheel.farm.worker import Offer, serve  # noqa: PLC0415 - Dask is an extra

    os.environ["CUDAWHEEL_CACHE"] = str(cache_folder(cache).absolute())
    memory = parse_size(memory_text) if memory_text is not None else None
    offer = Offer.measure(memory=memory, cores=cores, cells=cells)
    out.print(
        f"offering {count(offer.cores, 'core')} and {offer.memory / GIB:.1f} GiB, "
        f"{count(offer.cells, 'cell')} at once, to {scheduler}"
    )
    serve(scheduler, offer, name=name)


@command.command("check")
@click.argument("scheduler", metavar="ADDRESS")
@click.option(
    "--remote-cache", required=True, envvar="CUDAWHEEL_REMOTE_CACHE", metavar="URL", help="The store that all share."
)
@click.option("--cuda", "cudas", multiple=True, metavar="X.Y", help="For wheels of this CUDA; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def check(scheduler: str, remote_cache: str, cudas: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001 - a flag
    """Ask every worker of the Dask scheduler at ADDRESS what it is, and say which can build, and why others cannot."""
    from cudawheel.farm.check import ask_all  # noqa: PLC0415 - as above

    reports = ask_all(scheduler, remote_cache, machine=platform.machine(), cudas=cudas or ("13.0",))
    if as_json:
        click.echo(json.dumps([report.to_plain() for report in reports], indent=2))
    for report in () if as_json else reports:
        compilers = ", ".join(f"{compiler} for CUDA {cuda}" for cuda, compiler in report.compilers.items())
        offered = (
            f"{count(report.cores, 'core')}, {report.memory / GIB:.1f} GiB, {count(report.threads, 'cell')} at once"
        )
        out.print(f"{'[green]✓[/]' if report.fit else '[red]✗[/]'} {escape(report.label)} on {report.host}: {offered}")
        for line in [compilers] if report.fit else [str(error) for error in report.errors]:
            out.print(f"    {line}", markup=False)
    if not any(report.fit for report in reports):
        raise UnfitWorkersError(
            f"{scheduler} has no worker that can build" if reports else f"{scheduler} has no worker",
            remedy=f"Start one: cudawheel farm worker {scheduler}",
        )
