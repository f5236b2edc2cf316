"""Reading a recipe: one file in, one frozen value out, or every fault of the file at once."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cudawheel.errors import Fault, RecipeError
from cudawheel.recipe.faults import find_faults
from cudawheel.recipe.matrix_faults import matrix_faults
from cudawheel.recipe.recipe import Matrix, Recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedRecipe:
    """A recipe and where it came from.

    Attributes:
        path: the file, absolute; paths in the recipe are relative to its folder.
        sha256: hash of the file's bytes, in hex.
    """

    recipe: Recipe
    path: Path
    sha256: str

    @property
    def folder(self) -> Path:
        """The folder that relative paths start from."""
        return self.path.parent


def load_recipe(path: Path) -> LoadedRecipe:
    """Read the recipe at `path`.

    Raises:
        RecipeError: the file cannot be read, is not TOML, or has faults; `faults` holds them all.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise RecipeError(
            f"cannot read the recipe {path}",
            why=error.strerror or str(error),
            remedy="Name a recipe file, such as recipes/NAME.toml.",
        ) from error
    try:
        document = tomllib.loads(raw.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecipeError(
            f"{path} is not TOML", why=str(error), remedy="The TOML format: https://toml.io/en/v1.0.0"
        ) from error
    return LoadedRecipe(
        recipe=parse_recipe(document, path), path=path.resolve(), sha256=hashlib.sha256(raw).hexdigest()
    )


def parse_recipe(document: dict[str, Any], path: Path) -> Recipe:
    """Turn a TOML document into a recipe; `path` is named in errors.

    Raises:
        RecipeError: with every fault of the document.
    """
    recipe, errors = None, []
    try:
        recipe = Recipe.model_validate(document)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    faults = find_faults(document, errors)
    if recipe is None or faults:
        # A recipe that is otherwise sound is refused for these where it is planned.
        faults += _faults_of_matrix(document)
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise RecipeError(
            f"{path} has {count}",
            faults=faults,
            remedy="Every field is described in recipes/recipe.schema.json; `cudawheel schema` prints it.",
        )
    return recipe


def _faults_of_matrix(document: dict[str, Any]) -> tuple[Fault, ...]:
    """Find what the matrix says against itself, if it is one, whatever the rest of the document is like."""
    try:
        return matrix_faults(Matrix.model_validate(document.get("matrix")))
    except ValidationError:
        return ()
