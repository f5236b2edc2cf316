"""Whether a recipe can be built on a machine, how long, and with how much memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from machines_of_files import make_world
from small_packages import path_source, url_source, write_project, write_recipe

from cudawheel.builder.costs import COSTS
from cudawheel.doctor.examine import examine
from cudawheel.doctor.finding import Finding, Severity
from cudawheel.doctor.machine import Gpu
from cudawheel.doctor.recipe_fit import addresses_of, fit
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.version import PythonVersion
from cudawheel.recipe.loading import LoadedRecipe, load_recipe
from cudawheel.schedule.history import Compilation, CostKey, History
from cudawheel.schedule.limits import GIB

WHOLE = {
    "memory_gib": {"total": 64, "available": 60},
    "compilers": {"/usr/bin/c++": "13.3.0"},
    "programs": {"/usr/bin/python3.12": ""},
    "files": {"/usr/include/python3.12/Python.h": ""},
}


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedRecipe:
    """A recipe for Python 3.12 and torch 2.11 that carries 8.0 and 9.0 with PTX."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(8)))
    write_project(tmp_path / "recipes" / "here")
    path = write_recipe(tmp_path / "recipes", path_source("here"))
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text(
        "\n".join('python = ["3.12"]' if line.startswith("python =") else line for line in lines), encoding="utf-8"
    )
    return load_recipe(path)


def judge(tmp_path: Path, recipe: LoadedRecipe, *gpus: Gpu, **described: Any) -> dict[str, Finding]:
    machine = examine(make_world(tmp_path / "machine", {**WHOLE, **described}))
    found = fit(machine, recipe, python=PythonVersion(3, 12), cache=tmp_path / "cache", asked=gpus)
    return {finding.code: finding for finding in found}


def remember(tmp_path: Path, recipe: LoadedRecipe, *, peak: int) -> None:
    key = CostKey(package=recipe.recipe.package.name, fingerprint="f", cuda="13.0", torch="2.11", memory=GIB)
    done = Compilation(source="a.cu", kind="device", passes=2, threads=1, peak=peak, cpu_seconds=121.0, seconds=121.0)
    History(tmp_path / "cache" / COSTS).add(key, [done])


def test_what_was_never_built_fits_and_its_time_is_not_known(tmp_path: Path, recipe: LoadedRecipe) -> None:
    findings = judge(tmp_path, recipe)
    assert {finding.severity for finding in findings.values()} == {Severity.GOOD}
    assert "8.0 9.0 + PTX 9.0" in findings["recipe-variant"].found
    assert "not known yet" in findings["recipe-cost"].found
    assert "never measured here" in findings["recipe-cost"].found


def test_what_was_built_before_tells_time_and_memory(tmp_path: Path, recipe: LoadedRecipe) -> None:
    remember(tmp_path, recipe, peak=4 * GIB)
    found = judge(tmp_path, recipe)["recipe-cost"].found
    assert "compiling takes about" in found
    assert "4.4 GiB at most each as measured" in found


def test_too_little_memory_is_a_problem(tmp_path: Path, recipe: LoadedRecipe) -> None:
    remember(tmp_path, recipe, peak=20 * GIB)
    finding = judge(tmp_path, recipe, memory_gib={"total": 16, "available": 12})["recipe-memory"]
    assert finding.severity is Severity.PROBLEM
    assert "22 GiB" in finding.remedy[0]


def test_a_gpu_that_the_wheel_would_leave_out(tmp_path: Path, recipe: LoadedRecipe) -> None:
    volta = Gpu(name="V100", capability=ComputeCapability(7, 0))
    finding = judge(tmp_path, recipe, volta)["recipe-leaves-out-gpu"]
    assert "V100 (7.0)" in finding.found
    assert '--capabilities "7.0"' in finding.remedy[0]


def test_a_missing_python_and_a_compiler_that_is_too_new(tmp_path: Path, recipe: LoadedRecipe) -> None:
    findings = judge(tmp_path, recipe, programs={}, compilers={"/usr/bin/c++": "16.1.0"})
    assert findings["recipe-python"].remedy == ("uv python install 3.12",)
    assert findings["recipe-compiler"].severity is Severity.PROBLEM
    assert "gcc 6 to 15" in findings["recipe-compiler"].found


def test_a_recipe_without_a_variant_for_anything(tmp_path: Path, recipe: LoadedRecipe) -> None:
    text = recipe.path.read_text(encoding="utf-8").replace('["2.11"]', '["1.0"]')
    recipe.path.write_text(text, encoding="utf-8")
    findings = judge(tmp_path, load_recipe(recipe.path))
    assert findings["recipe-no-variant"].severity is Severity.PROBLEM
    assert "torch 1.0 is not known" in findings["recipe-no-variant"].found


def test_only_sources_on_the_network_are_tried(tmp_path: Path) -> None:
    archive = tmp_path / "recipes" / "a.tar.gz"
    archive.parent.mkdir(exist_ok=True)
    archive.write_bytes(b"x")
    write_project(tmp_path / "recipes" / "here")
    sources = (path_source("here"), url_source("https://code.test/a.tar.gz", archive.read_bytes(), "bundled"))
    loaded = load_recipe(write_recipe(tmp_path / "recipes", *sources))
    assert addresses_of(loaded) == (("source bundled", "https://code.test/a.tar.gz"),)
