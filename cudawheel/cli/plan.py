"""`cudawheel plan`."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from cudawheel.builder.costs import COSTS, cost_key
from cudawheel.builder.identity import candidates
from cudawheel.cli.console import out, print_table
from cudawheel.cli.matrix import selector_options
from cudawheel.cli.options import (
    budget_options,
    cache_folder,
    cache_option,
    read_budget,
    read_selection,
    recipe_argument,
    selection_options,
    this_machine,
)
from cudawheel.errors import PlanError
from cudawheel.model.variant import Variant
from cudawheel.plan.contradictions import require_consistent
from cudawheel.plan.plan import Cell, Plan, make_plan
from cudawheel.plan.selectors import Selector
from cudawheel.recipe.loading import load_recipe
from cudawheel.recipe.recipe import Recipe
from cudawheel.recipe.settings import BuildSettings
from cudawheel.schedule.budget import Budget, measure_budget
from cudawheel.schedule.forecast import Forecast, forecast
from cudawheel.schedule.history import History


@click.command("plan")
@recipe_argument
@selection_options
@budget_options
@cache_option
@selector_options
@click.option("--identifiers", is_flag=True, help="Print the names of the variants that can be built, one a line.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@click.pass_context
def command(  # noqa: PLR0913, PLR0917 - click passes options by name
    context: click.Context,
    /,
    recipe: Path,
    source: str | None,
    toolchain: str,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    identifiers: bool,  # noqa: FBT001 - click passes flags by name
    as_json: bool,  # noqa: FBT001
    memory_text: str | None,
    jobs: int | None,
    force: bool,  # noqa: FBT001
    cache: Path | None,
    **words: str | None,
) -> None:
    """Show every variant and capability of RECIPE, accepted or rejected and why. Needs no toolkit and no GPU.

    Ends with exit code 5 where nothing can be built as asked.
    """
    loaded = load_recipe(recipe)
    selection = read_selection(toolchain=toolchain, **words)
    first = candidates(loaded, source)[0]
    machine = this_machine(selection.capabilities or loaded.recipe.capabilities.request)
    require_consistent(loaded)
    whole = make_plan(loaded.recipe, loaded.recipe.settings_for(first), selection, machine)
    plan = Selector.parse(only, skip).choose(whole)
    if identifiers:
        _list(plan, as_json=as_json)
        context.exit(0 if plan.variants else PlanError.exit_code)
    budget = measure_budget(read_budget(memory_text=memory_text, jobs=jobs, force=force))
    history = History(cache_folder(cache) / COSTS)
    variant = plan.choose(machine).variant if plan.variants else None
    settings = loaded.recipe.settings_for(first)
    expected = None if variant is None else _forecast(loaded.recipe, settings, variant, budget, history)
    if as_json:
        machine_facts = {"budget": budget.to_json(), "forecast": None if expected is None else expected.to_json()}
        click.echo(json.dumps({**plan.to_json(), "source": first.label, **machine_facts}, indent=2))
    else:
        _show(plan)
        if expected is not None:
            out.print(f"\n[bold]here[/]  {expected.decision}; {budget}")
    if not plan.variants:
        context.exit(PlanError.exit_code)


def _forecast(recipe: Recipe, settings: BuildSettings, variant: Variant, budget: Budget, history: History) -> Forecast:
    """Say what building a variant would do here."""
    return forecast(cost_key(recipe, settings, variant, ""), variant.capabilities.device_passes, budget, history)


def _list(plan: Plan, *, as_json: bool) -> None:
    """Print the identifiers of the cells that can be built, as lines for a shell or as a list in JSON."""
    names = [cell.identifier for cell in plan.cells if cell.accepted]
    for line in (json.dumps(names),) if as_json else names:
        click.echo(line)


def _show(plan: Plan) -> None:
    carried = {(str(cell.variant.capabilities), _left_out(cell)) for cell in plan.cells if cell.variant is not None}
    # Said once where it is the same for all, so that a matrix is one line a cell.
    alike = len(carried) == 1 and len(plan.cells) > 1
    table = Table(title=plan.package, title_justify="left", show_edge=False)
    table.add_column("variant", no_wrap=True)
    for heading in () if alike else ("carries", "left out, and why"):
        table.add_column(heading)
    for cell in plan.cells:
        if cell.variant is not None:
            about = [] if alike else [str(cell.variant.capabilities), escape(_left_out(cell))]
            table.add_row(f"[green]✓[/] {cell.identifier}", *about)
        elif not alike:
            table.add_row(f"[red]✗[/] {cell.identifier}", "[red]rejected[/]", escape(cell.reason))
    print_table(table)
    if alike:
        _show_alike(plan, *carried.pop())


def _show_alike(plan: Plan, carries: str, left_out: str) -> None:
    """Print what holds for all variants that can be built, and those that cannot."""
    for cell in plan.cells:
        if cell.variant is None:
            out.print(f" [red]✗[/] {cell.identifier}  [red]rejected[/]  {escape(cell.reason)}")
    out.print(f"\n[bold]each carries[/]  {carries}")
    for line in left_out.splitlines():
        out.print(f"[bold]left out[/]  {escape(line)}")


def _left_out(cell: Cell) -> str:
    return "\n".join(f"{verdict.capability}: {verdict.reason}" for verdict in cell.verdicts if not verdict.accepted)
