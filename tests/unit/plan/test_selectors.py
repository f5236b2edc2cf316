"""Globs over the identifiers of a plan, and recipes whose cells contradict each other."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cudawheel.errors import RecipeError, SelectionError
from cudawheel.model.version import PythonVersion
from cudawheel.plan.contradictions import require_consistent, require_distinct
from cudawheel.plan.plan import Machine, Plan, Selection, make_plan
from cudawheel.plan.selectors import Selector
from cudawheel.recipe.loading import LoadedRecipe, parse_recipe
from cudawheel.recipe.matrix_faults import matrix_faults
from cudawheel.recipe.recipe import Recipe

HERE = Machine(machine="x86_64", python=PythonVersion(3, 12))


def demo(
    *, python: tuple[str, ...] = ("3.12", "3.11"), torch: tuple[str, ...] = ("2.11", "2.13"), **more: str
) -> Recipe:
    document = {
        "package": {"name": more.get("name", "demo"), "version": "1.0"},
        "sources": [{"kind": "path", "label": "bundled", "path": "demo"}],
        "matrix": {"python": list(python), "torch": list(torch), "cuda": more.get("cuda", "").split()},
        "wheel": {"imports": ["demo"]},
    }
    return parse_recipe(document, Path("demo.toml"))


def plan_of(recipe: Recipe) -> Plan:
    return make_plan(recipe, recipe.build, Selection(), HERE)


def loaded(recipe: Recipe, path: str = "/recipes/demo.toml") -> LoadedRecipe:
    return LoadedRecipe(recipe=recipe, path=Path(path), sha256="0" * 64)


def chosen(only: tuple[str, ...] = (), skip: tuple[str, ...] = (), recipe: Recipe | None = None) -> list[str]:
    plan = Selector.parse(only, skip).choose(plan_of(recipe or demo()))
    return [cell.identifier.removesuffix("-cu130-x86_64") for cell in plan.cells]


ALL = ["cp312-torch2.11", "cp311-torch2.11", "cp312-torch2.13", "cp311-torch2.13"]


@pytest.mark.parametrize(
    ("only", "skip", "expected"),
    [
        ((), (), ALL),
        (("*",), (), ALL),
        (("cp312-torch2.1[13]-*",), (), ALL[::2]),
        (("cp312-*", "*-torch2.13-*"), (), [ALL[0], *ALL[2:]]),
        (("cp312-*,*-torch2.13-*",), (), [ALL[0], *ALL[2:]]),
        ((), ("cp311-* *-torch2.13-*",), ALL[:1]),
        (("cp312-*",), ("*2.11*",), [ALL[2]]),
        (("cp312-torch2.13-cu130-x86_64",), (), [ALL[2]]),
        (("cp312-torch2.13-cu130-manylinux_x86_64",), (), [ALL[2]]),
        (("*-torch2.13-*-manylinux_2_28_x86_64",), (), ALL[2:]),
        (("*-linux_*",), (), ALL),
    ],
)
def test_globs_choose_cells_in_the_order_of_the_plan(
    only: tuple[str, ...], skip: tuple[str, ...], expected: list[str]
) -> None:
    assert chosen(only, skip) == expected


@pytest.mark.parametrize(
    ("pattern", "nearest"),
    [
        ("cp312-torch2.12-*", "cp312-torch2.11-cu130-x86_64"),
        ("cp313-torch2.13-cu130-x86_64", "cp312-torch2.13-cu130-x86_64"),
        ("cp311", "cp311-torch2.11-cu130-x86_64"),
        ("CP312-*", "cp312-torch2.11-cu130-x86_64"),
    ],
)
@pytest.mark.parametrize("which", ["only", "skip"])
def test_a_glob_that_matches_nothing_is_an_error_with_the_nearest_cells(pattern: str, nearest: str, which: str) -> None:
    with pytest.raises(SelectionError) as caught:
        chosen(**{which: (pattern, "*")})
    assert repr(pattern) in caught.value.what
    assert nearest in caught.value.why
    assert "--identifiers" in caught.value.remedy


def test_cells_that_can_not_be_built_are_said_to_be_so_when_they_alone_are_asked_for() -> None:
    recipe = demo(torch=("2.11", "2.10"))
    with pytest.raises(SelectionError, match=r"no cell that '\*-torch2\.10-\*' matches can be built") as caught:
        chosen(("*-torch2.10-*",), recipe=recipe)
    assert "no nvcc for CUDA 12.8" in caught.value.why
    assert chosen(("cp312-*",), recipe=recipe)[0] == "cp312-torch2.11"


def test_skipping_everything_is_an_error() -> None:
    with pytest.raises(SelectionError, match="leaves nothing"):
        chosen(skip=("cp3*",))


@given(st.text(alphabet="cp312-torch.u0x86_64*?[]!", min_size=1, max_size=30))
def test_any_glob_either_chooses_or_is_refused(pattern: str) -> None:
    try:
        left = chosen((pattern,))
    except SelectionError:
        return
    assert left == [] if not pattern.split() else left
    assert set(left) <= set(ALL)


@pytest.mark.parametrize("only", [("",), (" ", ","), ("\n",)])
def test_a_selection_that_names_nothing_is_an_error_and_not_everything(only: tuple[str, ...]) -> None:
    with pytest.raises(SelectionError, match="names no cell"):
        Selector.parse(only)


def test_a_selector_without_patterns_selects_all() -> None:
    assert Selector.parse().selects_all
    assert Selector.parse((), ("",)).selects_all
    assert Selector.parse(("", "*"), ()).only == ("*",)
    assert not Selector.parse((), ("x",)).selects_all


@pytest.mark.parametrize(
    ("recipe", "path", "found"),
    [
        (demo(python=("3.12", "3.11", "3.12")), "matrix.python", "3.12 2 times"),
        (demo(torch=("2.11", "2.11", "2.11")), "matrix.torch", "2.11 3 times"),
        (demo(cuda="13.0 12.8"), "matrix.cuda", "12.8, with which no torch of the matrix is built"),
    ],
)
def test_cells_that_contradict_each_other_are_named(recipe: Recipe, path: str, found: str) -> None:
    (fault,) = matrix_faults(recipe.matrix)
    assert (fault.path, fault.found) == (path, found)
    with pytest.raises(RecipeError, match="contradict each other") as caught:
        require_consistent(loaded(recipe))
    assert caught.value.faults == (fault,)


def test_a_recipe_that_is_sound_has_no_contradictions() -> None:
    assert matrix_faults(demo(cuda="13.0").matrix) == ()
    require_consistent(loaded(demo(torch=("2.11", "1.0"))))


def test_two_recipes_of_one_package_and_version_claim_the_same_wheels() -> None:
    one, other = loaded(demo(), "/a/demo.toml"), loaded(demo(), "/b/demo.toml")
    require_distinct([one, loaded(demo(name="other"))])
    with pytest.raises(RecipeError) as caught:
        require_distinct([one, other])
    assert "/a/demo.toml and /b/demo.toml" in caught.value.why
