"""Reading a recipe: one file in, one frozen value out, or every fault of the file at once."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cudawheel.errors import Fault, RecipeError
from cudawheel.recipe.recipe import Recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FOUND_LENGTH = 60
_WHY_MISSING = "nothing"


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
            remedy="Name a recipe file, such as recipes/torchmcubes.toml.",
        ) from error
    try:
        document = tomllib.loads(raw.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"{path} is not TOML", why=str(error), remedy="The TOML format: https://toml.io/en/v1.0.0"
        ) from error
    return LoadedRecipe(recipe=parse_recipe(document, path), path=path.resolve(), sha256=hashlib.sha256(raw).hexdigest())


def parse_recipe(document: dict[str, Any], path: Path) -> Recipe:
    """Turn a TOML document into a recipe; `path` is named in errors.

    Raises:
        RecipeError: with every fault of the document.
    """
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        faults = tuple(_fault(detail, document) for detail in error.errors() if not _follows_from_another(detail))
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise RecipeError(
            f"{path} has {count}",
            faults=faults,
            remedy="Every field is described in recipes/recipe.schema.json; `cudawheel schema` prints it.",
        ) from error


def _follows_from_another(detail: Any) -> bool:  # noqa: ANN401 - pydantic's own error shape
    """Whether a fault only repeats another one in other words.

    pydantic counts a list as empty once all its items are refused, and refuses a table under `capability-list` twice,
    as a word that it is not and as the table that it is.
    """
    emptied = detail["type"] == "too_short" and bool(detail["input"])
    not_a_word = detail["type"] == "literal_error" and isinstance(detail["input"], dict)
    not_a_table = detail["type"] == "model_type" and isinstance(detail["input"], str)
    return emptied or not_a_word or not_a_table


def _fault(detail: Any, document: dict[str, Any]) -> Fault:  # noqa: ANN401 - pydantic's own error shape
    location = _dotted(detail["loc"], document)
    kind = detail["type"]
    if kind == "missing":
        return Fault(path=location, found=_WHY_MISSING, allowed="this field is required")
    if kind == "extra_forbidden":
        return Fault(path=location, found=_shorten(detail["input"]), allowed="there is no field of this name")
    message = detail["msg"].removeprefix("Value error, ")
    return Fault(path=location or "(whole recipe)", found=_shorten(detail["input"]), allowed=message)


def _dotted(location: tuple[str | int, ...], document: Any) -> str:  # noqa: ANN401 - TOML values of any type
    """Write `sources[1].commit`, leaving out the union tags that pydantic puts between."""
    path, here = "", document
    for index, step in enumerate(location):
        last = index == len(location) - 1
        if isinstance(step, int):
            path += f"[{step}]"
            here = here[step] if isinstance(here, list) and step < len(here) else None
        elif isinstance(here, dict) and step in here:
            path += f".{step}"
            here = here[step]
        elif last and isinstance(here, dict) and step != "[key]":
            path += f".{step}"
    return path.removeprefix(".")


def _shorten(value: object) -> str:
    text = "a table" if isinstance(value, dict) else repr(value)
    return text if len(text) <= _FOUND_LENGTH else f"{text[: _FOUND_LENGTH - 1]}…"
