"""`cudawheel build`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from cudawheel.cli.console import BuildProgress
from cudawheel.cli.farm import build_on_farm, farm_options
from cudawheel.cli.matrix import build_in_container, container_options, selector_options
from cudawheel.cli.options import (
    budget_options,
    cache_folder,
    cache_option,
    keys_folder,
    read_budget,
    read_selection,
    recipe_argument,
    selection_options,
    this_machine,
)
from cudawheel.cli.outcome import show_attempts, show_outcome
from cudawheel.errors import CudawheelError
from cudawheel.factory.factory import make_wheel
from cudawheel.factory.request import BuildRequest
from cudawheel.plan.selectors import Selector
from cudawheel.provenance.keys import find_private_key
from cudawheel.recipe.loading import load_recipe
from cudawheel.toolchain.toolchain import ToolchainKind


@click.command("build")
@recipe_argument
@selection_options
@budget_options
@click.option(
    "--wheelhouse", type=click.Path(path_type=Path), default="wheelhouse", show_default=True, help="Output folder."
)
@cache_option
@click.option("--redist-url", default="", metavar="URL", help="A mirror of NVIDIA's archives, for --toolchain redist.")
@click.option(
    "--no-cache", is_flag=True, envvar="CUDAWHEEL_NO_CACHE", help="Build even if the same wheel was built before."
)
@click.option(
    "--remote-cache",
    default="",
    envvar="CUDAWHEEL_REMOTE_CACHE",
    metavar="URL",
    help="A store elsewhere to ask before building: a folder, s3://, gs:// or https://.",
)
@click.option(
    "--trust",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PUBKEY",
    help="Take a wheel out of the remote store only if this key has signed it; may be given more than once.",
)
@click.option("--all", "build_all", is_flag=True, help="Build every variant of the matrix, several side by side.")
@selector_options
@click.option("--retry-failed", is_flag=True, help="Build the variants that failed when all were built last.")
@container_options
@farm_options
@click.option(
    "--compiler-cache", is_flag=True, help="Compile through sccache, so that a unit is compiled once on this machine."
)
@click.option(
    "--network", is_flag=True, help="Let the package's backend use the network while it builds; its provenance says so."
)
@click.option("--lock", is_flag=True, help="Pin what is fetched, by version and hash, in a file beside the recipe.")
@click.option("--update-lock", is_flag=True, help="Fetch what is newest and pin that instead.")
@click.option(
    "--sign",
    "signing_key",
    default="",
    envvar="CUDAWHEEL_SIGN",
    metavar="KEY",
    help="Sign the provenance of the wheel: a key by its name, or the file of a private key.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the build record as JSON.")
@click.pass_context
def command(  # noqa: PLR0913, PLR0917 - click passes options by name
    context: click.Context,
    /,
    recipe: Path,
    build_all: bool,  # noqa: FBT001 - click passes flags by name
    only: tuple[str, ...],
    skip: tuple[str, ...],
    retry_failed: bool,  # noqa: FBT001
    container: bool,  # noqa: FBT001
    image: str,
    scheduler: str,
    wait: float,
    as_json: bool,  # noqa: FBT001
    **options: Any,  # noqa: ANN401 - as click gives them
) -> None:
    """Build the wheel of RECIPE, prove it and put it into the wheelhouse.

    One variant is built: for this Python and the recipe's first torch, unless options choose another, or --all is
    given. Selecting variants by --only, --skip or --retry-failed means --all. What is built already comes from the
    store, so that a run that was interrupted goes on where it was. A plot of memory and compilers against time lies
    beside the wheel.
    """
    request = _read_request(recipe, **options)
    selector = Selector.parse(only, skip)
    if container or image:
        context.exit(build_in_container(request, selector, image=image, everything=build_all, as_json=as_json))
    if build_all or retry_failed or scheduler or not selector.selects_all:
        farm = (scheduler, wait) if scheduler else None
        context.exit(_build_all(request, selector, retry_failed=retry_failed, farm=farm, as_json=as_json))
    context.exit(_build_one(request, as_json=as_json))


def _read_request(  # noqa: PLR0913 - one argument an option
    recipe: Path,
    *,
    source: str | None,
    toolchain: ToolchainKind,
    redist_url: str,
    wheelhouse: Path,
    cache: Path | None,
    no_cache: bool,
    remote_cache: str,
    trust: tuple[Path, ...],
    compiler_cache: bool,
    network: bool,
    lock: bool,
    update_lock: bool,
    signing_key: str,
    memory_text: str | None,
    jobs: int | None,
    force: bool,
    **words: str | None,
) -> BuildRequest:
    """Turn the words of the command line into a request."""
    selection = read_selection(toolchain=toolchain, **words)
    asked = selection.capabilities or load_recipe(recipe).recipe.capabilities.request
    return BuildRequest(
        recipe=recipe,
        selection=selection,
        machine=this_machine(asked),
        toolchain=toolchain,
        redist_url=redist_url,
        source=source,
        wheelhouse=wheelhouse.absolute(),
        cache=cache_folder(cache).absolute(),
        reuse=not no_cache,
        remote=remote_cache,
        trusted=trust,
        allowed=read_budget(memory_text=memory_text, jobs=jobs, force=force),
        compiler_cache=compiler_cache,
        network=network,
        lock="renew" if update_lock else "add" if lock else "use",
        signing_key=find_private_key(signing_key, keys_folder()) if signing_key else None,
        environ=dict(os.environ),
    )


def _build_one(request: BuildRequest, *, as_json: bool) -> int:
    with BuildProgress() as progress:
        outcome = make_wheel(request, progress)
    show_outcome(outcome, as_json=as_json)
    return 0


def _build_all(
    request: BuildRequest, selector: Selector, *, retry_failed: bool, farm: tuple[str, float] | None, as_json: bool
) -> int:
    """Build every variant that is selected, here or on a farm; give the exit code of the first that failed, or 0."""
    # The short way of a single build does not wait for the imports of this one.
    from cudawheel.factory.fleet import FleetRequest, make_all  # noqa: PLC0415

    fleet = FleetRequest(request=request, selector=selector, retry_failed=retry_failed)
    if farm is not None:
        attempts = build_on_farm(fleet, *farm)
    else:
        with BuildProgress() as progress:
            attempts = make_all(fleet, progress, progress.of_variant)
    show_attempts(attempts, as_json=as_json)
    failed = [attempt.result for attempt in attempts if isinstance(attempt.result, CudawheelError)]
    return failed[0].exit_code if failed else 0
