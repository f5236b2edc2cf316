"""What doctor advises is what helps: the GPUs that CUDA has left behind, and the environment that was looked into."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from machines_of_files import PYTHON, answers, describe, make_world
from small_packages import path_source, write_project, write_recipe

from cudawheel.data import capability_names, torch_releases
from cudawheel.doctor.diagnosis import diagnose
from cudawheel.doctor.examine import examine
from cudawheel.doctor.finding import Finding
from cudawheel.doctor.machine import Gpu
from cudawheel.doctor.recipe_fit import fit
from cudawheel.doctor.trials import diagnose_imports, try_extensions
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.capability_request import CapabilityRequest
from cudawheel.model.version import PythonVersion, TorchVersion
from cudawheel.plan.plan import Machine as PlannedFor
from cudawheel.plan.plan import Selection, make_plan
from cudawheel.recipe.loading import load_recipe

PASCAL = Gpu(name="GTX 1080", capability=ComputeCapability(6, 1))


@pytest.fixture(autouse=True)
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(8)))


def judge(tmp_path: Path, *gpus: Gpu, name: str = "whole", **described: Any) -> dict[str, Finding]:
    machine = examine(make_world(tmp_path / "machine", {**describe(name), **described}))
    return {finding.code: finding for finding in diagnose(machine, gpus)}


def test_a_gpu_that_a_cuda_has_left_behind_needs_an_earlier_one(tmp_path: Path) -> None:
    finding = judge(tmp_path, PASCAL)["toolkit-too-new"]
    assert "removed in CUDA 13.0, last in 12.9" in finding.found
    assert "CUDA 12.9 or earlier" in finding.remedy[0]
    assert "later" not in " ".join(finding.remedy)


def test_an_earlier_toolkit_that_is_here_is_named(tmp_path: Path) -> None:
    toolkits = {
        **describe("whole")["toolkits"],
        "/usr/local/cuda-12.4": describe("old_toolkit")["toolkits"]["/usr/local/cuda"],
    }
    assert judge(tmp_path, PASCAL, toolkits=toolkits)["toolkit-too-new"].remedy == (
        "export CUDA_HOME=/usr/local/cuda-12.4",
    )


def test_no_driver_mends_a_torch_without_code_for_an_old_gpu(tmp_path: Path) -> None:
    finding = judge(tmp_path, PASCAL)["torch-no-kernel-image"]
    assert "removed in CUDA 13.0, last in 12.9" in finding.found
    assert "driver" not in finding.remedy[0]
    assert "cu126" in finding.remedy[0]


def test_the_options_that_are_advised_for_a_recipe_are_ones_that_a_plan_accepts(tmp_path: Path) -> None:
    write_project(tmp_path / "recipes" / "here")
    loaded = load_recipe(write_recipe(tmp_path / "recipes", path_source("here")))
    machine = examine(make_world(tmp_path / "machine", describe("whole")))
    python = PythonVersion(3, 12)
    found = fit(machine, loaded, python=python, cache=tmp_path / "cache", asked=(PASCAL,))
    [finding] = [one for one in found if one.code == "recipe-leaves-out-gpu"]
    assert "removed in CUDA" in finding.found
    words = finding.remedy[0].split()
    options = {words[place]: words[place + 1] for place in range(len(words)) if words[place].startswith("--")}
    selection = Selection(
        torch=TorchVersion.parse(options["--torch"]),
        toolchain=options["--toolchain"],
        capabilities=CapabilityRequest.parse(options["--capabilities"].strip('"'), capability_names()),
    )
    planned = PlannedFor(machine="x86_64", python=python, gpus=())
    variants = make_plan(
        loaded.recipe, loaded.recipe.settings_for(loaded.recipe.sources[0]), selection, planned
    ).variants
    assert all(PASCAL.capability in variant.capabilities.cubins for variant in variants)
    assert variants
    assert torch_releases()[selection.torch].cuda.major == 12  # type: ignore[index]


def test_remedies_name_the_environment_that_was_looked_into(tmp_path: Path) -> None:
    described = describe("old_torch")
    world = make_world(tmp_path / "machine", described)
    for running, pip in ((PYTHON, "pip install"), ("/usr/bin/python3", f"{PYTHON} -m pip install")):
        findings = diagnose(examine(replace(world, running=running), python=PYTHON))
        remedies = [line for finding in findings for line in finding.remedy if "pip install" in line]
        assert {finding.section for finding in findings if "pip install" in " ".join(finding.remedy)} >= {
            "torch",
            "extensions",
        }
        assert [line for line in remedies if pip not in line or (pip == "pip install" and "-m pip" in line)] == []


def test_an_environment_that_was_looked_into_in_vain_is_not_offered_again(tmp_path: Path) -> None:
    described = {
        **describe("whole"),
        "torch": {},
        "programs": {"/x/.venv/bin/python -I -c": answers({})[f"{PYTHON} -I -c"]},
    }
    world = make_world(tmp_path / "machine", described)
    for python, offered in ((PYTHON, True), ("/x/.venv/bin/python", False)):
        [finding] = [one for one in diagnose(examine(world, python=python)) if one.code == "no-torch"]
        assert (".venv" in finding.remedy[0]) == offered


def test_an_environment_with_a_torch_in_it_is_offered_by_name(tmp_path: Path) -> None:
    described = {**describe("whole"), "torch": {"/opt/a/lib/python3.12/site-packages": {"version": "2.11.0"}}}
    described["programs"] = {**described["programs"], "/opt/a/bin/python3.12": ""}
    described["environ"] = {"PATH": "/usr/bin:/opt/a/bin"}
    world = make_world(tmp_path / "machine", described)
    [finding] = [one for one in diagnose(examine(world)) if one.code == "no-torch"]
    assert finding.remedy[0].endswith("--python /opt/a/bin/python3.12")


@pytest.mark.parametrize("name", ["whole", "no_driver"])
def test_a_list_of_capabilities_that_nobody_can_read_is_told_with_a_gpu_and_without(name: str, tmp_path: Path) -> None:
    for text, told in (("12.0;sm_banana", True), ("12.0", False), (" ", False)):
        found = judge(tmp_path, name=name, environ={"TORCH_CUDA_ARCH_LIST": text})
        assert ("arch-list" in found) == told
    finding = judge(tmp_path, name=name, environ={"TORCH_CUDA_ARCH_LIST": "sm_banana"})["arch-list"]
    assert "cannot be read" in finding.found
    assert "TORCH_CUDA_ARCH_LIST" in finding.remedy[0]


def test_a_module_that_an_import_does_not_find_is_to_be_installed(tmp_path: Path) -> None:
    said = "Traceback\nModuleNotFoundError: No module named 'einops.layers'"
    programs = {**describe("whole")["programs"], f"{PYTHON} -c": f"FAILS {said}"}
    world = make_world(tmp_path / "machine", {**describe("whole"), "programs": programs})
    environment = examine(world, python=PYTHON).environment
    [finding] = diagnose_imports(try_extensions(world, environment), replace(environment, pip="/x/bin/python -m pip"))
    assert finding.remedy[0].startswith("/x/bin/python -m pip install einops ")
    found = {one.code: one for one in diagnose(examine(world, python=PYTHON, importing=True))}
    assert found["torch-import-fails"].remedy[0].startswith("pip install einops ")
