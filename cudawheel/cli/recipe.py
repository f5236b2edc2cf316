"""`cudawheel recipe`: drafting recipes, and checking them without building."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from cudawheel.builder.archives import package_index
from cudawheel.cli.console import err, out
from cudawheel.cli.options import cache_folder, cache_option, this_machine
from cudawheel.draft.checking import Checked, check_recipe
from cudawheel.draft.drafting import Draft, draft_recipe
from cudawheel.draft.origin import obtain
from cudawheel.draft.project import read_project
from cudawheel.draft.tree import SourceTree
from cudawheel.draft.writing import write_recipe
from cudawheel.errors import RecipeError, UsageError
from cudawheel.model.progress import Silent
from cudawheel.plan.plan import Plan, Selection, make_plan
from cudawheel.plan.selectors import Selector
from cudawheel.recipe.loading import load_recipe, parse_recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_SCHEMA = "recipe.schema.json"


@click.group("recipe")
def command() -> None:
    """Draft the recipe of a package, or check a recipe without building it."""


@command.command("new")
@click.argument("what", metavar="SDIST|GIT|NAME")
@click.option(
    "-o",
    "--output",
    "--out",
    "output",
    type=click.Path(path_type=Path),
    help="File to write, or - for standard output; else NAME.toml.",
)
@click.option("--force", is_flag=True, help="Overwrite the file if it is there.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found and what is uncertain as JSON.")
@cache_option
def new_command(
    what: str,
    output: Path | None,
    force: bool,  # noqa: FBT001 - click passes flags by name
    as_json: bool,  # noqa: FBT001
    cache: Path | None,
) -> None:
    """Draft a recipe from an sdist file, a git repository or a package on the index. Nothing of it is run.

    A repository is named as https://…/name.git, with @COMMIT, @TAG or @BRANCH behind it if not the newest is meant, and
    with #subdirectory=FOLDER if the project lies in one. A package is NAME or NAME==VERSION.

    The draft says in its comments what it is unsure of, and what to edit. It can be planned at once.
    """
    with obtain(what, cache_folder(cache), Silent(), index_url=package_index(os.environ)) as origin:
        project = read_project(SourceTree(origin.folder), promised=origin.claims, name=origin.name)
        draft = draft_recipe(project, origin)
    target = output or Path(f"{draft.name}.toml")
    printed = str(target) == "-"
    if not printed and target.exists() and not force:
        raise UsageError(f"{target} is there already", remedy="Choose another file with --output, or add --force.")
    text = write_recipe(draft, schema=f"./{_SCHEMA}" if (target.parent / _SCHEMA).is_file() else "")
    plan = _plan(text, target)
    if printed:
        click.echo(text, nl=False)
    else:
        target.write_text(text, encoding="utf-8")
    if as_json:
        click.echo(json.dumps(_draft_as_json(draft, plan, None if printed else target), indent=2), err=printed)
    else:
        _show_draft(draft, plan, target)


def _plan(text: str, target: Path) -> Plan:
    """Plan a draft as `cudawheel plan` would; that it loads at all is part of the promise."""
    recipe = parse_recipe(tomllib.loads(text), target)
    machine = this_machine(recipe.capabilities.request)
    return make_plan(recipe, recipe.settings_for(recipe.sources[0]), Selection(), machine)


def _draft_as_json(draft: Draft, plan: Plan, target: Path | None) -> dict[str, Any]:
    return {
        "recipe": str(target) if target else None,
        "document": draft.document,
        "found": [finding.to_json() for finding in draft.findings],
        "unsure": [doubt.to_json() for doubt in draft.doubts],
        "cells": [cell.identifier for cell in plan.cells if cell.accepted],
    }


def _show_draft(draft: Draft, plan: Plan, target: Path) -> None:
    # With the recipe on standard output, what is said about it goes beside.
    console = err if str(target) == "-" else out
    console.print(f"[bold]{escape(draft.title)}[/]")
    for finding in draft.findings:
        where = f"  [dim]{escape(finding.where)}[/]" if finding.where else ""
        console.print(f"  {escape(f'{finding.topic}: {finding.said}')}{where}")
    if draft.doubts:
        console.print(f"\n[bold yellow]unsure of {len(draft.doubts)}[/]")
    for doubt in draft.doubts:
        console.print(f"  [yellow]?[/] [bold]{escape(doubt.field)}[/]  {escape(doubt.found)}")
        console.print(f"    [green]→[/] {escape(doubt.edit)}")
    buildable = sum(cell.accepted for cell in plan.cells)
    console.print(f"\n{buildable} of {len(plan.cells)} cells can be built; wrote {escape(str(target))}")
    if str(target) != "-":
        console.print(f"[green]→[/] cudawheel plan {escape(str(target))}")


@command.command("check")
@click.argument("recipes", metavar="RECIPE...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--offline", is_flag=True, help="Leave out what needs the network.")
@click.option("--only", multiple=True, metavar="PATTERN", help="Identifiers that have to match a cell, as for build.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@cache_option
@click.pass_context
def check_command(  # noqa: PLR0917 - click passes options by name
    context: click.Context,
    recipes: tuple[Path, ...],
    offline: bool,  # noqa: FBT001 - click passes flags by name
    only: tuple[str, ...],
    as_json: bool,  # noqa: FBT001
    cache: Path | None,
) -> None:
    """Check recipes without building: fields, cells, sources, patches, and what the sources say against them.

    Ends with the exit code that a build would end with for the first error, and with 0 where there are only warnings.
    """
    codes: list[int] = []
    listed: list[dict[str, Any]] = []
    for path in recipes:
        try:
            checked: Checked | RecipeError = _check(path, cache_folder(cache), only, offline=offline)
        except RecipeError as error:
            checked = error
        codes.append(checked.exit_code)
        listed.append(_checked_as_json(path, checked))
        if not as_json:
            _show_checked(path, checked)
    if as_json:
        click.echo(json.dumps(listed, indent=2))
    context.exit(next((code for code in codes if code), 0))


def _check(path: Path, cache: Path, only: tuple[str, ...], *, offline: bool) -> Checked:
    loaded = load_recipe(path)
    return check_recipe(
        loaded,
        this_machine(loaded.recipe.capabilities.request),
        selector=Selector.parse(only),
        cache=cache,
        progress=Silent(),
        index_url=package_index(os.environ),
        offline=offline,
    )


def _checked_as_json(path: Path, checked: Checked | RecipeError) -> dict[str, Any]:
    if isinstance(checked, RecipeError):
        problems = [
            {
                "path": fault.path,
                "severity": "error",
                "exit_code": checked.exit_code,
                "found": fault.found,
                "remedy": fault.allowed,
            }
            for fault in checked.faults
        ] or [
            {
                "path": "",
                "severity": "error",
                "exit_code": checked.exit_code,
                "found": f"{checked.what}: {checked.why}",
                "remedy": checked.remedy,
            }
        ]
        return {"recipe": str(path), "exit_code": checked.exit_code, "problems": problems, "cells": [], "rejected": 0}
    return {
        "recipe": str(path),
        "exit_code": checked.exit_code,
        "problems": [problem.to_json() for problem in checked.problems],
        "cells": list(checked.cells),
        "rejected": checked.rejected,
        "sources": list(checked.reached),
    }


def _show_checked(path: Path, checked: Checked | RecipeError) -> None:
    if isinstance(checked, RecipeError):
        out.print(f"[red]✗[/] {escape(checked.what)}")
        for line in checked.why.splitlines():
            out.print(f"    {escape(line)}")
        out.print(f"    [green]→[/] {escape(checked.remedy)}")
        return
    mark = "[red]✗[/]" if checked.exit_code else "[green]✓[/]"
    reached = f"; sources reached: {', '.join(checked.reached)}" if checked.reached else ""
    cells = f"{len(checked.cells)} cells can be built, {checked.rejected} cannot"
    out.print(f"{mark} {escape(str(path))}  {escape(f'{checked.package}: {cells}{reached}')}")
    for problem in checked.problems:
        colour = "red" if problem.is_error else "yellow"
        out.print(
            f"  [{colour}]{'error' if problem.is_error else 'warning'}[/] [bold]{escape(problem.path)}[/]  "
            f"{escape(problem.found)}"
        )
        if problem.remedy:
            out.print(f"    [green]→[/] {escape(problem.remedy)}")
