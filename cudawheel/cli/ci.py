"""`cudawheel ci`: workflows for CI services, whose matrix is the plan."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import click

from cudawheel.builder.costs import COSTS
from cudawheel.ci.cells import ci_cells
from cudawheel.ci.github import github_workflow
from cudawheel.ci.gitlab import gitlab_pipeline
from cudawheel.ci.runners import Runner, Service, runners_of
from cudawheel.ci.text import to_yaml
from cudawheel.ci.workflow import Workflow, default_install
from cudawheel.cli.console import out
from cudawheel.cli.matrix import selector_options
from cudawheel.cli.options import (
    cache_folder,
    cache_option,
    parse_size,
    read_selection,
    selection_options,
    this_machine,
)
from cudawheel.errors import UsageError
from cudawheel.factory.request import BuildRequest
from cudawheel.files import disk_errors, write_atomically
from cudawheel.plan.plan import Machine
from cudawheel.plan.selectors import Selector
from cudawheel.schedule.history import History

_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group("ci")
def command() -> None:
    """Write a workflow that builds, audits and shares the wheels of recipes: a job for each cell of the plan.

    The same recipes, options and history of costs give the same bytes.
    """


def _workflow_options(wrapped: _Command) -> _Command:
    options = (
        click.argument("recipes", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RECIPE..."),
        selection_options,
        selector_options,
        cache_option,
        click.option(
            "--machine", default="x86_64", show_default=True, help="Processor of the runners: x86_64 or aarch64."
        ),
        click.option(
            "--runner",
            "runners",
            multiple=True,
            metavar="LABEL=SIZE",
            help="A runner and its memory, such as big=64G, beside those everybody has; repeatable.",
        ),
        click.option("--remote-cache", "remote", default="", metavar="URL", help="The shared store of all jobs."),
        click.option("--install", default="", metavar="WHAT", help="What pip installs cudawheel from."),
        click.option(
            "-o",
            "--out",
            "target",
            type=click.Path(path_type=Path, dir_okay=False),
            help="The file; else it is printed.",
        ),
    )
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


@command.command("github")
@_workflow_options
def github(**words: Any) -> None:  # noqa: ANN401 - as click gives them
    """Write a workflow for GitHub Actions, usually kept as .github/workflows/wheels.yml."""
    _write("github", **words)


@command.command("gitlab")
@_workflow_options
def gitlab(**words: Any) -> None:  # noqa: ANN401 - as click gives them
    """Write a pipeline for GitLab CI, usually kept as .gitlab-ci.yml."""
    _write("gitlab", **words)


def _write(  # noqa: PLR0913 - one argument an option
    service: Service,
    *,
    recipes: tuple[Path, ...],
    only: tuple[str, ...],
    skip: tuple[str, ...],
    cache: Path | None,
    machine: str,
    runners: tuple[str, ...],
    remote: str,
    install: str,
    target: Path | None,
    source: str | None,
    **words: Any,  # noqa: ANN401 - as click gives them
) -> None:
    selection = read_selection(**words)
    here = this_machine(selection.capabilities)
    requests = [
        BuildRequest(
            recipe=recipe,
            selection=selection,
            machine=Machine(machine=machine, python=here.python, gpus=here.gpus),
            toolchain=words["toolchain"],
            redist_url="",
            source=source,
            wheelhouse=Path("wheelhouse"),
            cache=cache_folder(cache),
            reuse=True,
            environ=dict(os.environ),
        )
        for recipe in recipes
    ]
    known = (*runners_of(service, machine), *map(_runner, runners))
    history = History(cache_folder(cache) / COSTS)
    cells = ci_cells(requests, Selector.parse(only, skip), known, root=Path.cwd(), history=history)
    made_by = shlex.join(["cudawheel", "ci", service, *dict.fromkeys(cell.recipe for cell in cells)])
    workflow = Workflow(
        cells=cells, remote=remote, install=install or default_install(version("cudawheel"), remote), command=made_by
    )
    document = github_workflow(workflow) if service == "github" else gitlab_pipeline(workflow)
    text = to_yaml(document, workflow.command)
    if target is None:
        click.echo(text, nl=False)
        return
    with disk_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, text.encode())
    out.print(f"{target}  {len(cells)} cells", markup=False)


def _runner(text: str) -> Runner:
    label, sign, size = text.partition("=")
    if not (label and sign and size):
        raise UsageError(f"--runner {text!r} is no runner", remedy="Write its label and its memory: --runner big=64G.")
    return Runner(label=label, memory=parse_size(size))
