"""What a recipe has its wheel compute, on the whole way from recipe to wheelhouse; and the whole way without torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_tools import PLAIN_TAG, build_request, compiler, give, toolchain, write_program, write_toolkit
from listening import Heard
from small_packages import path_source, sha256, write_project, write_recipe

from cudawheel.audit import report
from cudawheel.builder import tools as builder_tools
from cudawheel.errors import AuditError, RecipeError
from cudawheel.factory import job, proof
from cudawheel.factory.factory import make_wheel
from cudawheel.factory.request import BuildRequest
from cudawheel.factory.stranger import find_fault
from cudawheel.store.stored import StoredWheel
from cudawheel.wheel.reading import Wheel


@pytest.fixture(autouse=True)
def tools(links: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del links
    monkeypatch.setattr(builder_tools, "provide", give(toolchain(write_toolkit(tmp_path / "cuda"))))
    found = replace(compiler(), cxx=write_program(tmp_path / "bin" / "g++", "#!/bin/sh\n"), cc=None)
    monkeypatch.setattr(builder_tools, "find_host_compiler", give(found))
    monkeypatch.setattr(job, "find_host_compiler", give(compiler()))
    monkeypatch.setattr(proof, "find_platform_tag", give(PLAIN_TAG))
    monkeypatch.setattr(report, "find_platform_tag", give(PLAIN_TAG))


def request(tmp_path: Path, program: str = "", *, torch: bool = True, **orders: Any) -> BuildRequest:
    folder = tmp_path / "recipes"
    write_project(folder / "here", **orders)
    path = write_recipe(folder, path_source("here"), build="" if torch else 'capability-list = "cmake"')
    text = path.read_text()
    if program:
        (folder / "check.py").write_text(program)
        text += 'check = "check.py"\n'
    if not torch:
        text = text.replace('torch = ["2.11"]', 'cuda = ["13.0"]')
    path.write_text(text)
    return build_request(path, tmp_path)


@pytest.mark.usefixtures("shared_environments")
def test_what_a_wheel_computes_is_in_its_record(tmp_path: Path) -> None:
    program = "import tiny_ext\nassert tiny_ext.answer == 42\nprint('42, as it should be')\n"
    made = make_wheel(request(tmp_path, program), Heard())
    assert made.record["audit"]["computed"] == {
        "program": "check.py",
        "sha256": sha256(program.encode()),
        "result": "right",
        "said": ["42, as it should be"],
    }


@pytest.mark.usefixtures("shared_environments")
def test_a_wheel_that_computes_something_wrong_is_none(tmp_path: Path) -> None:
    asked = request(
        tmp_path, "import tiny_ext\nassert tiny_ext.answer == 42, tiny_ext.answer\n", module="answer = 41\n"
    )
    with pytest.raises(AuditError, match="something wrong") as caught:
        make_wheel(asked, Heard())
    assert "AssertionError: 41" in str(caught.value.why)
    assert not list(asked.wheelhouse.glob("*.whl"))


@pytest.mark.usefixtures("shared_environments")
def test_where_nothing_can_be_computed_the_record_says_so(tmp_path: Path) -> None:
    made = make_wheel(request(tmp_path, "print('no GPU')\nraise SystemExit(77)\n"), Heard())
    assert made.record["audit"]["computed"]["result"] == "nothing to compute with"
    assert made.record["audit"]["computed"]["said"] == ["no GPU"]


@pytest.mark.usefixtures("shared_environments")
def test_another_check_asks_for_another_build(tmp_path: Path) -> None:
    first = make_wheel(request(tmp_path, "print(1)\n"), Heard())
    assert make_wheel(request(tmp_path, "print(1)\n"), Heard()).cached
    second = make_wheel(request(tmp_path, "print(2)\n"), Heard())
    assert not second.cached
    assert second.record["fingerprint"] != first.record["fingerprint"]


def test_a_check_that_is_not_there_is_a_fault_of_the_recipe(tmp_path: Path) -> None:
    asked = request(tmp_path, "print(1)\n")
    (tmp_path / "recipes" / "check.py").unlink()
    with pytest.raises(RecipeError) as caught:
        make_wheel(asked, Heard())
    assert [fault.path for fault in caught.value.faults] == ["wheel.check"]


def test_a_package_without_torch_goes_the_whole_way_without_one(tmp_path: Path) -> None:
    made = make_wheel(request(tmp_path, torch=False, show=["CUDAARCHS", "CMAKE_PREFIX_PATH"]), Heard())
    assert made.wheel.name.startswith("tiny_ext-1.0+cu.13.0-py3-none-")
    assert {requirement.name for requirement in Wheel.read(made.wheel).requirements} == set()
    variant = made.record["variant"]
    assert (variant["torch"], variant["abi"], variant["cuda"]) == ("", "", "13.0")
    assert not any(package.startswith("torch==") for package in made.record["build"]["environment"])
    assert made.record["build"]["variables"]["CUDAARCHS"] == "80-real;90"
    assert find_fault(StoredWheel(wheel=made.wheel, record=made.record)) is None
