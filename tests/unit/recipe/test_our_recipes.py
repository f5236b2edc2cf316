"""The recipes that come with cudawheel: each loads, plans, pins its sources and says what proves its wheels."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from cudawheel.builder.requirements import wheel_requirements
from cudawheel.data import capability_names
from cudawheel.factory.import_check import NOTHING_TO_COMPUTE, find_check
from cudawheel.model.capability_request import CapabilityRequest
from cudawheel.model.version import PythonVersion
from cudawheel.plan.contradictions import require_consistent, require_distinct
from cudawheel.plan.plan import Machine, Selection, make_plan
from cudawheel.recipe.loading import LoadedRecipe, load_recipe
from cudawheel.recipe.sources import PathSource

ROOT = Path(__file__).parents[3]
RECIPES = sorted(path for path in (ROOT / "recipes").glob("*.toml") if not path.name.endswith(".lock.toml"))
HERE = Machine(machine="x86_64", python=PythonVersion(3, 12))
BLACKWELL = CapabilityRequest.parse("12.0", capability_names())


@pytest.fixture(params=RECIPES, ids=lambda path: path.stem)
def loaded(request: pytest.FixtureRequest) -> LoadedRecipe:
    return load_recipe(request.param)


def test_some_lack_torch_and_most_do_not() -> None:
    with_torch = [load_recipe(path).recipe.with_torch for path in RECIPES]
    assert True in with_torch
    assert False in with_torch


def test_a_recipe_is_called_as_its_package(loaded: LoadedRecipe) -> None:
    assert loaded.path.stem == loaded.recipe.package.name


def test_no_two_claim_the_same_wheel_and_none_contradicts_itself() -> None:
    recipes = [load_recipe(path) for path in RECIPES]
    require_distinct(recipes)
    for loaded in recipes:
        require_consistent(loaded)


def test_the_whole_matrix_can_be_built_and_reaches_blackwell(loaded: LoadedRecipe) -> None:
    recipe = loaded.recipe
    plan = make_plan(recipe, recipe.settings_for(recipe.sources[0]), Selection(), HERE)
    assert plan.variants
    for variant in plan.variants:
        assert any(capability.major == 12 for capability in variant.capabilities.cubins)
        assert wheel_requirements(recipe, variant), "a wheel that requires nothing can be installed beside anything"
    asked = make_plan(recipe, recipe.build, Selection(capabilities=BLACKWELL), HERE)
    assert len(asked.variants) == len(plan.variants)


def test_a_source_of_the_package_is_the_version_that_the_recipe_is_for(loaded: LoadedRecipe) -> None:
    for source in loaded.recipe.sources:
        if source.kind == "sdist":
            assert (source.project, source.version) == (loaded.recipe.package.name, loaded.recipe.package.version)
        if isinstance(source, PathSource):
            assert (loaded.folder / source.path / "pyproject.toml").is_file()


def test_a_check_says_what_it_found_and_fails_where_it_is_not_so(loaded: LoadedRecipe) -> None:
    program = find_check(loaded)
    if program is None:
        return
    tree = ast.parse(program.read_text(encoding="utf-8"))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    asserts = any(isinstance(node, ast.Assert) for node in ast.walk(tree))
    assert "print" in called
    assert asserts or "assert_close" in attributes
    if "exit" in attributes:
        assert f"NOTHING_TO_COMPUTE = {NOTHING_TO_COMPUTE}" in program.read_text(encoding="utf-8")


def test_every_check_belongs_to_a_recipe() -> None:
    used = {find_check(load_recipe(path)) for path in RECIPES}
    assert set((ROOT / "recipes" / "checks").glob("*.py")) == used - {None}


def test_every_recipe_has_a_row_in_the_table_of_what_was_seen() -> None:
    text = (ROOT / "docs" / "verification" / "recipes.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| \[([a-z0-9-]+)\]", text, re.MULTILINE))
    assert rows == {path.stem for path in RECIPES}
