"""Cells, answers and errors as plain values, there and back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_machine import set_memory, set_up_machine
from fake_tools import build_request

from cudawheel.data import capability_names
from cudawheel.errors import BuildError, CudawheelError, Fault, HostCompilerError, RecipeError
from cudawheel.factory.request import BuildRequest
from cudawheel.farm.cell import Answer, Order, error_from_plain, error_to_plain
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.capability_request import CapabilityRequest
from cudawheel.model.version import CudaVersion, PythonVersion, TorchVersion
from cudawheel.plan.plan import Machine, Selection
from cudawheel.schedule.budget import BudgetRequest, measure_budget
from cudawheel.schedule.limits import GIB


def request(tmp_path: Path, **changes: Any) -> BuildRequest:
    return build_request(tmp_path / "recipes" / "x.toml", tmp_path, remote="s3://bucket/wheels", **changes)


def on_a_worker(asked: BuildRequest, tmp_path: Path, cores: int = 2) -> BuildRequest:
    order = Order.of("x", asked, run="run", inputs="f" * 64, cores=cores)
    order = Order.from_plain(json.loads(json.dumps(order.to_plain())))
    return order.request(
        recipe_folder=tmp_path / "there", cache=tmp_path / "cache", wheelhouse=tmp_path / "house", environ={"A": "b"}
    )


def test_a_request_arrives_as_it_was_but_for_folders_and_environment(tmp_path: Path) -> None:
    asked = request(
        tmp_path,
        selection=Selection(
            python=PythonVersion(3, 12),
            torch=TorchVersion(2, 11),
            cuda=CudaVersion(13, 0),
            capabilities=CapabilityRequest.parse("8.6;native", capability_names()),
            toolchain="redist",
        ),
        machine=Machine(machine="x86_64", python=PythonVersion(3, 11), gpus=(ComputeCapability.parse("12.0"),)),
        toolchain="redist",
        redist_url="https://mirror.example.org",
        source="upstream",
        compiler_cache=True,
        network=True,
        allowed=BudgetRequest(memory=5 << 30, jobs=7, force=True),
    )
    there = on_a_worker(asked, tmp_path)
    mine = {"recipe", "wheelhouse", "cache", "environ", "allowed"}
    for name in set(BuildRequest.__dataclass_fields__) - mine:
        assert getattr(there, name) == getattr(asked, name), name
    assert there.recipe == tmp_path / "there" / "x.toml"
    assert (there.cache, there.wheelhouse) == (tmp_path / "cache", tmp_path / "house")
    assert there.environ == {"A": "b"}, "nothing of the environment here goes to other machines"
    allowed = BudgetRequest(memory=5 << 30, jobs=2, force=True, jobs_by=there.allowed.jobs_by)
    assert there.allowed == allowed, "as many compilers as it got cores"


@pytest.mark.parametrize(("cores", "given"), [(1, "the 1 core that"), (2, "the 2 cores that")])
def test_what_holds_the_compilers_down_is_what_the_farm_gave_and_no_option(
    cores: int, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = on_a_worker(request(tmp_path), tmp_path, cores).allowed
    set_up_machine(tmp_path, monkeypatch, cores=16)
    set_memory(tmp_path, total=20 * GIB, available=12 * GIB)
    limited = measure_budget(allowed, tmp_path).slots_by
    assert limited.startswith(given)
    assert "--jobs" not in limited


def test_what_is_left_open_stays_open(tmp_path: Path) -> None:
    there = on_a_worker(request(tmp_path), tmp_path)
    assert there.selection == Selection(toolchain="system")
    assert (there.source, there.allowed.memory) == (None, None)


def test_who_wants_it_built_anew_gets_nothing_out_of_the_shared_store(tmp_path: Path) -> None:
    there = on_a_worker(replace(request(tmp_path), reuse=False), tmp_path)
    assert (there.reuse, there.remote) == (False, "")


def test_an_answer_arrives_as_it_was() -> None:
    answer = Answer(fingerprint="f", sha256="s", pushed="OTHER", built=True, costs=(("a.cu", "device", 1, 1, 2, 3.0),))
    assert Answer.from_plain(json.loads(json.dumps(answer.to_plain()))) == answer


@pytest.mark.parametrize(
    "error",
    [
        HostCompilerError("no compiler", why="nothing on PATH", remedy="apt install g++"),
        RecipeError("2 faults", faults=(Fault(path="a", found="1", allowed="2"),)),
        BuildError("it did not build"),
    ],
)
def test_an_error_arrives_with_its_class_and_the_name_of_its_worker(error: CudawheelError) -> None:
    there = error_from_plain(json.loads(json.dumps(error_to_plain(error))), where="tcp://10.0.0.1:4000")
    assert type(there) is type(error)
    assert (there.what, there.remedy) == (error.what, error.remedy)
    assert there.why.startswith(error.why)
    assert there.why.endswith("on the worker tcp://10.0.0.1:4000")


@pytest.mark.parametrize("name", ["", "NobodyKnowsIt", "annotations", "Fault", "errno"])
def test_an_error_of_a_class_that_is_not_known_here_is_one_of_the_build(name: str) -> None:
    there = error_from_plain({"class": name, "what": "it broke"})
    assert type(there) is BuildError
    assert there.what == "it broke"
