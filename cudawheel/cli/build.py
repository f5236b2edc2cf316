"""`cudawheel build`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from cudawheel.cli.console import BuildProgress
from cudawheel.cli.options import (
    budget_options,
    cache_folder,
    read_budget,
    read_selection,
    recipe_argument,
    selection_options,
    this_machine,
)
from cudawheel.cli.outcome import show_outcome
from cudawheel.factory.factory import make_wheel
from cudawheel.factory.request import BuildRequest
from cudawheel.recipe.loading import load_recipe


@click.command("build")
@recipe_argument
@selection_options
@budget_options
@click.option(
    "--wheelhouse", type=click.Path(path_type=Path), default="wheelhouse", show_default=True, help="Output folder."
)
@click.option(
    "--cache", type=click.Path(path_type=Path), envvar="CUDAWHEEL_CACHE", help="Folder for all that outlives a build."
)
@click.option("--redist-url", default="", metavar="URL", help="A mirror of NVIDIA's archives, for --toolchain redist.")
@click.option(
    "--no-cache", is_flag=True, envvar="CUDAWHEEL_NO_CACHE", help="Build even if the same wheel was built before."
)
@click.option("--json", "as_json", is_flag=True, help="Print the build record as JSON.")
def command(  # noqa: PLR0913, PLR0917 - click passes options by name
    recipe: Path,
    source: str | None,
    toolchain: str,
    redist_url: str,
    wheelhouse: Path,
    cache: Path | None,
    no_cache: bool,  # noqa: FBT001 - click passes flags by name
    as_json: bool,  # noqa: FBT001
    memory_text: str | None,
    jobs: int | None,
    force: bool,  # noqa: FBT001
    **words: str | None,
) -> None:
    """Build the wheel of RECIPE, prove it and put it into the wheelhouse.

    One variant is built: for this Python and the recipe's first torch, unless options choose another.
    """
    selection = read_selection(toolchain=toolchain, **words)
    allowed = read_budget(memory_text=memory_text, jobs=jobs, force=force)
    request = selection.capabilities or load_recipe(recipe).recipe.capabilities.request
    with BuildProgress() as progress:
        outcome = make_wheel(
            BuildRequest(
                recipe=recipe,
                selection=selection,
                machine=this_machine(request),
                toolchain=toolchain,  # type: ignore[arg-type] # click.Choice lets nothing else through
                redist_url=redist_url,
                source=source,
                wheelhouse=wheelhouse.absolute(),
                cache=cache_folder(cache).absolute(),
                reuse=not no_cache,
                allowed=allowed,
                environ=dict(os.environ),
            ),
            progress,
        )
    show_outcome(outcome, as_json=as_json)
