"""What a workflow needs to know of the cells that it builds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cudawheel.builder.costs import cost_key
from cudawheel.builder.identity import candidates
from cudawheel.ci.runners import Runner, smallest_for
from cudawheel.errors import UsageError
from cudawheel.factory.cells import FleetCell, fleet_cells
from cudawheel.factory.request import BuildRequest
from cudawheel.model.variant import Variant
from cudawheel.plan.contradictions import require_distinct
from cudawheel.plan.selectors import Selector
from cudawheel.recipe.loading import LoadedRecipe, load_recipe
from cudawheel.schedule.budget import Budget
from cudawheel.schedule.forecast import forecast
from cudawheel.schedule.history import History


@dataclass(frozen=True, slots=True, kw_only=True)
class CiCell:
    """One job of a workflow.

    Attributes:
        recipe: the recipe's path within the repository, with slashes.
        package: name of what it builds.
        identifier: of the cell.
        serves: further cells that the same wheel may serve; where its tags do not allow that, the job builds more.
        python: `3.12`.
        runner: label of the machine it runs on.
    """

    recipe: str
    package: str
    identifier: str
    python: str
    runner: str
    serves: tuple[str, ...] = ()

    def to_matrix(self) -> dict[str, str]:
        """Give the entry of a matrix."""
        return {
            "recipe": self.recipe,
            "package": self.package,
            "cell": self.identifier,
            "only": " ".join((self.identifier, *self.serves)),
            "python": self.python,
            "runner": self.runner,
        }


def ci_cells(
    requests: Sequence[BuildRequest], selector: Selector, runners: Sequence[Runner], *, root: Path, history: History
) -> tuple[CiCell, ...]:
    """Lay out the jobs of a workflow: one for each wheel of every recipe, on the smallest runner that it fits on.

    Args:
        requests: one for each recipe.
        selector: which cells are wanted.
        runners: what the service has.
        root: folder of the repository.
        history: what earlier builds cost; without a measurement the recipe's own figure counts.

    Raises:
        UsageError: a recipe does not lie in the repository.
        RecipeError: recipes, or cells of one, contradict each other.
        SelectionError: the selector matches nothing.
        PlanError: nothing of a recipe can be built.
        MemoryBudgetError: a build fits on no runner.
    """
    recipes = [load_recipe(request.recipe) for request in requests]
    require_distinct(recipes)
    return tuple(
        cell
        for request, loaded in zip(requests, recipes, strict=True)
        for cell in _cells(loaded, fleet_cells(request, selector), runners, _within(loaded.path, root), history)
    )


def _cells(
    loaded: LoadedRecipe, cells: Iterable[FleetCell], runners: Sequence[Runner], recipe: str, history: History
) -> Iterator[CiCell]:
    for cell in cells:
        needed = _largest(loaded, cell.request, cell.variant, history)
        yield CiCell(
            recipe=recipe,
            package=loaded.recipe.package.name,
            identifier=cell.identifier,
            serves=cell.identifiers[1:],
            python=str(cell.variant.python),
            runner=smallest_for(f"{loaded.recipe.package.name} {cell.identifier}", needed, runners).label,
        )


def _largest(loaded: LoadedRecipe, request: BuildRequest, variant: Variant, history: History) -> int:
    """Give the bytes of the largest compiler that a build is expected to start."""
    settings = loaded.recipe.settings_for(candidates(loaded, request.source)[0])
    key = cost_key(loaded.recipe, settings, variant, "")
    # How much one compiler takes does not depend on how many run beside it.
    anywhere = Budget(memory=1 << 50, reserve=0, cores=1, slots=1, limited_by="nothing")
    return forecast(key, variant.capabilities.device_passes, anywhere, history).largest


def _within(recipe: Path, root: Path) -> str:
    root = root.resolve()
    if not recipe.is_relative_to(root):
        # A worktree and a submodule have a file of that name.
        known = (root / ".git").exists()
        raise UsageError(
            f"{recipe} does not lie in {'the repository' if known else 'the folder'} {root}",
            why="" if known else f"{root} is not the top of a git repository, and a workflow names recipes from there.",
            remedy="Run this in the top folder of the repository, with recipes that it holds: CI has nothing else.",
        )
    return recipe.relative_to(root).as_posix()
