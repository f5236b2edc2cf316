"""`cudawheel ci`: workflows for CI services, whose matrix is the plan."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from cudawheel.builder.costs import COSTS
from cudawheel.ci.cells import ci_cells
from cudawheel.ci.github import github_workflow
from cudawheel.ci.gitlab import gitlab_pipeline
from cudawheel.ci.install import Install, default_install
from cudawheel.ci.runners import Runner, Service, runners_of
from cudawheel.ci.text import to_yaml
from cudawheel.ci.workflow import Workflow, require_no_secret
from cudawheel.cli.console import err, out
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
from cudawheel.model.counting import count
from cudawheel.model.version import PythonVersion
from cudawheel.plan.plan import Machine
from cudawheel.plan.selectors import Selector
from cudawheel.schedule.history import History
from cudawheel.toolchain.toolchain import ToolchainKind

# Which Python builds a wheel that serves several is chosen by the machine's own elsewhere; here the same everywhere.
_PYTHON = PythonVersion(3, 12)

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
        click.option(
            "--install",
            default="",
            metavar="WHAT",
            help="What pip installs cudawheel from: a requirement, or a folder of the repository, as ./FOLDER.",
        ),
        click.option(
            "-o",
            "--output",
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
    toolchain: ToolchainKind,
    **words: str | None,
) -> None:
    require_no_secret(remote)
    selection = read_selection(toolchain=toolchain, **words)
    here = this_machine(selection.capabilities)
    request = BuildRequest(
        recipe=recipes[0],
        selection=selection,
        machine=Machine(machine=machine, python=_PYTHON, gpus=here.gpus),
        toolchain=toolchain,
        redist_url="",
        source=source,
        wheelhouse=Path("wheelhouse"),
        cache=cache_folder(cache),
        reuse=True,
        environ=dict(os.environ),
    )
    cells = ci_cells(
        [replace(request, recipe=recipe) for recipe in recipes],
        Selector.parse(only, skip),
        (*runners_of(service, machine), *map(_runner, runners)),
        root=Path.cwd(),
        history=History(request.cache / COSTS),
    )
    chosen = Install(what=install) if install else default_install(remote, Path.cwd())
    workflow = Workflow(cells=cells, remote=remote, install=chosen.what)
    document = github_workflow(workflow) if service == "github" else gitlab_pipeline(workflow)
    text = to_yaml(document, _command_line(service, workflow.recipes), chosen.doubt)
    if chosen.doubt:
        err.print(f"WARNING: {chosen.doubt}", markup=False)
    _give(text, target, count(len(cells), "cell"))


def _give(text: str, target: Path | None, size: str) -> None:
    """Print a workflow, or write it and say where."""
    if target is None:
        click.echo(text, nl=False)
        return
    with disk_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, text.encode())
    out.print(f"{target}  {size}", markup=False)


def _command_line(service: Service, recipes: Iterable[str]) -> str:
    """Write the command that makes the same file again, from what was asked for in this one."""
    context = click.get_current_context()
    words = ["cudawheel", "ci", service, *recipes]
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if not isinstance(option, click.Option) or option.name == "cache" or source is ParameterSource.DEFAULT:
            continue
        value = context.params[option.name or ""]
        for item in value if isinstance(value, tuple) else (value,):
            words += [max(option.opts, key=len), str(item)]
    return shlex.join(words)


def _runner(text: str) -> Runner:
    label, sign, size = text.partition("=")
    if not (label and sign and size):
        raise UsageError(f"--runner {text!r} is no runner", remedy="Write its label and its memory: --runner big=64G.")
    return Runner(label=label, memory=parse_size(size))
