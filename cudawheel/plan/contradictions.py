"""Cells that contradict each other: two that claim one identifier, or one wheel, and mean different things."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cudawheel.errors import Fault, RecipeError
from cudawheel.recipe.loading import LoadedRecipe
from cudawheel.recipe.matrix_faults import matrix_faults


def require_consistent(loaded: LoadedRecipe) -> None:
    """Let a recipe pass whose cells do not contradict each other.

    Raises:
        RecipeError: some do; all faults are in it.
    """
    faults = matrix_faults(loaded.recipe.matrix)
    if faults:
        raise RecipeError(
            f"cells of {loaded.path.name} contradict each other",
            faults=faults,
            remedy="Correct `[matrix]` of the recipe.",
        )


def require_distinct(recipes: Sequence[LoadedRecipe]) -> None:
    """Let recipes pass that are built into one wheelhouse and do not claim the same wheels.

    Raises:
        RecipeError: two of them are of one package and version, so that their wheels would have the same names.
    """
    by_package: dict[str, list[LoadedRecipe]] = {}
    for loaded in recipes:
        package = loaded.recipe.package
        by_package.setdefault(f"{package.name} {package.version}", []).append(loaded)
    faults = tuple(
        Fault(
            path="package",
            found=f"{package} in {_names(same)}",
            allowed="one recipe for each version of a package: their wheels would have the same names",
        )
        for package, same in by_package.items()
        if len(same) > 1
    )
    if faults:
        raise RecipeError(
            "recipes contradict each other", faults=faults, remedy="Leave all but one out, or change `package.version`."
        )


def _names(recipes: Iterable[LoadedRecipe]) -> str:
    return " and ".join(str(loaded.path) for loaded in recipes)
