"""`cudawheel plan`."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from cudawheel.builder.identity import candidates
from cudawheel.cli.console import out
from cudawheel.cli.options import read_selection, recipe_argument, selection_options, this_machine
from cudawheel.errors import PlanError
from cudawheel.plan.plan import Plan, make_plan
from cudawheel.recipe.loading import load_recipe


@click.command("plan")
@recipe_argument
@selection_options
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@click.pass_context
def command(
    context: click.Context,
    /,
    recipe: Path,
    source: str | None,
    toolchain: str,
    as_json: bool,  # noqa: FBT001 - click passes flags by name
    **words: str | None,
) -> None:
    """Show every variant and capability of RECIPE, accepted or rejected and why. Needs no toolkit and no GPU.

    Ends with exit code 5 where nothing can be built as asked.
    """
    loaded = load_recipe(recipe)
    selection = read_selection(toolchain=toolchain, **words)
    first = candidates(loaded, source)[0]
    machine = this_machine(selection.capabilities or loaded.recipe.capabilities.request)
    plan = make_plan(loaded.recipe, loaded.recipe.settings_for(first), selection, machine)
    if as_json:
        click.echo(json.dumps({**plan.to_json(), "source": first.label}, indent=2))
    else:
        _show(plan)
    if not plan.variants:
        context.exit(PlanError.exit_code)


def _show(plan: Plan) -> None:
    table = Table(title=plan.package, title_justify="left", show_edge=False)
    table.add_column("variant", no_wrap=True)
    table.add_column("carries")
    table.add_column("left out, and why")
    for cell in plan.cells:
        left_out = "\n".join(
            f"{verdict.capability}: {verdict.reason}" for verdict in cell.verdicts if not verdict.accepted
        )
        if cell.variant is None:
            table.add_row(f"[red]✗[/] {cell.identifier}", "[red]rejected[/]", escape(cell.reason))
        else:
            table.add_row(f"[green]✓[/] {cell.identifier}", str(cell.variant.capabilities), escape(left_out))
    out.print(table)
