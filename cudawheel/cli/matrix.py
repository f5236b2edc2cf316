"""Options that choose cells of a matrix or the place where they are built, and `build --container`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.markup import escape
from rich.table import Table

from cudawheel.builder.identity import candidates
from cudawheel.cli.console import BuildProgress, print_table, show_error
from cudawheel.errors import CudawheelError
from cudawheel.factory.request import BuildRequest
from cudawheel.plan.contradictions import require_consistent
from cudawheel.plan.plan import make_plan
from cudawheel.plan.selectors import Selector
from cudawheel.recipe.loading import load_recipe

if TYPE_CHECKING:
    from cudawheel.containers.building import ContainerAttempt

_Command = TypeVar("_Command", bound=Callable[..., Any])


def selector_options(command: _Command) -> _Command:
    """Add --only and --skip to a command."""
    options = (
        click.option(
            "--only", multiple=True, metavar="GLOB", help="These variants alone: 'cp312-torch2.1[13]-*'; repeatable."
        ),
        click.option("--skip", multiple=True, metavar="GLOB", help="Leave these variants out; repeatable."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def container_options(command: _Command) -> _Command:
    """Add --container and --image to a command."""
    options = (
        click.option(
            "--container",
            is_flag=True,
            help="Build in a manylinux container through cibuildwheel, for tags older than this machine's glibc.",
        ),
        click.option(
            "--image", default="", metavar="IMAGE", help="The image for --container, instead of the one of its CUDA."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def build_in_container(
    request: BuildRequest, selector: Selector, *, image: str, everything: bool, as_json: bool
) -> int:
    """Build variants in containers; gives the exit code of the first run that failed, or 0.

    Args:
        request: what a person asks for.
        selector: narrows it by identifiers.
        image: the person's own choice, or empty.
        everything: whether the whole matrix is meant where the selector leaves nothing out.
        as_json: whether to print the result as JSON.
    """
    from cudawheel.containers.building import ContainerOrder, build_in_containers  # noqa: PLC0415 - few ask for it

    loaded = load_recipe(request.recipe)
    require_consistent(loaded)
    sources = candidates(loaded, request.source)
    plan = selector.choose(
        make_plan(loaded.recipe, loaded.recipe.settings_for(sources[0]), request.selection, request.machine)
    )
    one = plan.choose(request.machine)
    chosen = plan.variants if everything or not selector.selects_all else (one.variant,)
    order = ContainerOrder(
        loaded=loaded,
        sources=sources,
        variants=tuple(variant for variant in chosen if variant is not None),
        toolchain=request.toolchain,
        image=image,
        wheelhouse=request.wheelhouse,
        cache=request.cache,
        allowed=request.allowed,
        environ=request.environ,
    )
    with BuildProgress() as progress:
        attempts = build_in_containers(order, progress)
    _show(attempts, as_json=as_json)
    failed = [attempt.result for attempt in attempts if isinstance(attempt.result, CudawheelError)]
    return failed[0].exit_code if failed else 0


def _show(attempts: Sequence[ContainerAttempt], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([_as_json(attempt) for attempt in attempts], indent=2))
        return
    table = Table(show_edge=False)
    for heading in ("torch", "cells", "seconds"):
        table.add_column(heading, no_wrap=True)
    table.add_column("result", overflow="fold")
    for attempt in attempts:
        good = not isinstance(attempt.result, CudawheelError)
        text = (
            attempt.result.what if isinstance(attempt.result, CudawheelError) else "\n".join(map(str, attempt.result))
        )
        mark = "[green]✓[/]" if good else "[red]✗[/]"
        table.add_row(f"{mark} {attempt.name}", "\n".join(attempt.identifiers), f"{attempt.seconds:.0f}", escape(text))
    print_table(table)
    for attempt in attempts:
        if isinstance(attempt.result, CudawheelError):
            show_error(attempt.result)


def _as_json(attempt: ContainerAttempt) -> dict[str, Any]:
    result = attempt.result
    facts = {
        "name": attempt.name,
        "identifiers": attempt.identifiers,
        "image": attempt.image,
        "seconds": round(attempt.seconds, 3),
    }
    if isinstance(result, CudawheelError):
        error = {"exit_code": result.exit_code, "what": result.what, "why": result.why, "remedy": result.remedy}
        return {**facts, "error": error}
    return {**facts, "wheels": [str(wheel) for wheel in result]}
