"""Recipes of packages that use CUDA and no torch: what they have to say, and what makes no sense in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cudawheel.errors import RecipeError
from cudawheel.recipe.loading import parse_recipe

WHERE = Path("demo.toml")


def document(**more: Any) -> dict[str, Any]:
    return {
        "package": {"name": "demo", "version": "1.0"},
        "sources": [{"kind": "path", "label": "bundled", "path": "demo"}],
        "matrix": {"python": ["3.12"], "cuda": ["13.0"]},
        "build": {"capability-list": "cmake"},
        "wheel": {"imports": ["demo"], "cuda-libraries": ["cublas"]},
        **more,
    }


def paths_of(faulty: dict[str, Any]) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(faulty, WHERE)
    return [fault.path for fault in caught.value.faults]


def test_a_recipe_may_lack_torch() -> None:
    recipe = parse_recipe(document(), WHERE)
    assert not recipe.with_torch
    assert recipe.wheel.cuda_libraries == ("cublas",)


def test_an_empty_list_of_torches_is_as_good_as_none() -> None:
    matrix = {"python": ["3.12"], "cuda": ["13.0"], "torch": []}
    assert not parse_recipe(document(matrix=matrix), WHERE).with_torch


def test_neither_torch_nor_cuda_is_a_fault_that_names_both() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(document(matrix={"python": ["3.12"]}), WHERE)
    (fault,) = caught.value.faults
    assert fault.path == "matrix.torch"
    assert "matrix.cuda" in fault.allowed


@pytest.mark.parametrize(
    ("build", "path"),
    [
        ({"capability-list": "cmake", "abi": "torch-minor"}, "build.abi"),
        ({"capability-list": "torch"}, "build.capability-list"),
        ({}, "build.capability-list"),
    ],
)
def test_what_only_torch_understands_is_a_fault_without_it(build: dict[str, Any], path: str) -> None:
    assert paths_of(document(build=build)) == [path]


def test_a_source_may_not_promise_anything_about_torch_either() -> None:
    source = {"kind": "path", "label": "bundled", "path": "demo", "build": {"abi": "torch-stable >= 2.10"}}
    assert paths_of(document(sources=[source])) == ["sources[0].build.abi"]


def test_sources_that_all_say_how_they_take_capabilities_need_no_word_in_build() -> None:
    source = {"kind": "path", "label": "bundled", "path": "demo", "build": {"capability-list": "cmake"}}
    assert not parse_recipe(document(sources=[source], build={}), WHERE).with_torch
    other = {"kind": "path", "label": "another", "path": "other"}
    assert paths_of(document(sources=[source, other], build={})) == ["build.capability-list"]


@pytest.mark.parametrize("name", ["nvidia-cublas", "cuBLAS", "", "cublas>=13"])
def test_libraries_of_cuda_are_named_as_the_extras_are(name: str) -> None:
    assert paths_of(document(wheel={"imports": ["demo"], "cuda-libraries": [name]})) == ["wheel.cuda-libraries[0]"]


def test_a_check_lies_below_the_recipe() -> None:
    wheel = {"imports": ["demo"], "check": "../elsewhere.py"}
    assert paths_of(document(wheel=wheel)) == ["wheel.check"]
