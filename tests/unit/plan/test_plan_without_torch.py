"""Plans of packages that use CUDA and no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cudawheel.errors import CapabilityError, PlanError
from cudawheel.model.version import CudaVersion, PythonVersion, TorchVersion
from cudawheel.model.wheel_name import local_version
from cudawheel.plan.plan import Machine, Plan, Selection, make_plan
from cudawheel.recipe.loading import parse_recipe

HERE = Machine(machine="x86_64", python=PythonVersion(3, 12))


def plan(request: str = "9.0;12.0+PTX", **selection: Any) -> Plan:
    document = {
        "package": {"name": "demo", "version": "1.0"},
        "sources": [{"kind": "path", "label": "bundled", "path": "demo"}],
        "capabilities": {"request": request},
        "matrix": {"python": ["3.12", "3.11"], "cuda": ["13.0", "13.2"]},
        "build": {"capability-list": "cmake"},
        "wheel": {"imports": ["demo"]},
    }
    recipe = parse_recipe(document, Path("demo.toml"))
    return make_plan(recipe, recipe.build, Selection(**selection), HERE)


def test_each_python_meets_each_cuda_and_no_torch() -> None:
    found = plan()
    assert [cell.identifier for cell in found.cells] == [
        "cp312-cu130-x86_64",
        "cp311-cu130-x86_64",
        "cp312-cu132-x86_64",
        "cp311-cu132-x86_64",
    ]
    assert {variant.torch for variant in found.variants} == {None}
    assert {variant.abi for variant in found.variants} == {None}
    assert {variant.torch_requirements for variant in found.variants} == {()}


def test_the_matrix_is_narrowed_as_ever() -> None:
    found = plan(cuda=CudaVersion(13, 2), python=PythonVersion(3, 10))
    assert [cell.identifier for cell in found.cells] == ["cp310-cu132-x86_64"]


def test_a_torch_that_is_asked_for_gets_no_wheel_and_the_reason() -> None:
    found = plan(torch=TorchVersion(2, 11))
    assert found.variants == ()
    with pytest.raises(PlanError, match="without torch") as caught:
        found.choose(HERE)
    assert "2.11" in str(caught.value.why)


def test_the_package_index_has_no_older_compiler_without_torch_either() -> None:
    (cell, _) = plan(cuda=CudaVersion(12, 8)).cells
    assert "--toolchain" in cell.reason
    assert all(cell.accepted for cell in plan(cuda=CudaVersion(12, 8), toolchain="system").cells)


def test_the_capabilities_of_torch_are_no_word_without_torch() -> None:
    with pytest.raises(CapabilityError):
        plan("torch").choose(HERE)


def test_the_local_version_names_cuda_alone() -> None:
    assert local_version(cuda=CudaVersion(13, 0), torch=None, abi=None) == "cu.13.0"
    assert local_version(cuda=CudaVersion(13, 0), torch=None, abi=None, fallback="bundled") == "bundled.cu.13.0"
