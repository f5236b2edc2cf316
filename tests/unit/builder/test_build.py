"""One variant built with everything but a toolkit: source, environment, backend."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_tools import PYTHON, compiler, give, toolchain, write_toolkit
from listening import Heard
from small_packages import MACHINE, path_source, write_project

from cudawheel.builder import build
from cudawheel.builder import tools as builder_tools
from cudawheel.builder.build import BuiltWheel, build_variant
from cudawheel.builder.compiling import most_jobs
from cudawheel.builder.environment import Environment
from cudawheel.builder.order import BuildOrder, Workplace
from cudawheel.builder.sources import fetch
from cudawheel.errors import BuildError, CapabilityError, InstallError
from cudawheel.model.progress import Silent
from cudawheel.plan.plan import Machine, Selection, make_plan
from cudawheel.schedule.jobserver import Jobserver

Build = Callable[..., BuiltWheel]

SHOWN = ["CUDAWHEEL_CUDA_HOME", "CUDA_HOME", "CXX", "FORCE_CUDA", "MAX_JOBS", "TMPDIR", "TORCH_CUDA_ARCH_LIST"]
FINGERPRINT = "0" * 64


@pytest.fixture
def run(links: Path, load, jobserver: Jobserver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Write the project as ordered, and build it."""
    del links
    monkeypatch.setattr(builder_tools, "provide", give(toolchain(write_toolkit(tmp_path / "cuda"))))
    monkeypatch.setattr(builder_tools, "find_host_compiler", give(compiler()))

    def run_(heard: Heard | None = None, settings: str = "", **orders: Any) -> BuiltWheel:
        write_project(tmp_path / "recipes" / "here", **orders)
        loaded = load(path_source("here"), build=settings)
        machine = Machine(machine=MACHINE, python=PYTHON)
        plan = make_plan(loaded.recipe, loaded.recipe.build, Selection(toolchain="system"), machine)
        order = BuildOrder(
            loaded=loaded,
            fetched=fetch(loaded, loaded.recipe.sources, tmp_path / "cache", Silent()),
            fingerprint=FINGERPRINT,
            settings=loaded.recipe.build,
            variant=plan.variants[0],
            toolchain="system",
        )
        place = Workplace(
            cache=tmp_path / "cache",
            work=tmp_path / "work",
            log=tmp_path / "log",
            environ=dict(os.environ),
            jobserver=jobserver,
        )
        return build_variant(order, place, heard or Heard())

    return run_


def said(tmp_path: Path, first: str) -> Any:
    lines = (tmp_path / "log").read_text().splitlines()
    return json.loads(next(line for line in lines if line.startswith(f"{first} ")).split(" ", 1)[1])


def test_a_variant_becomes_a_wheel(run: Build, jobserver: Jobserver, tmp_path: Path) -> None:
    heard = Heard()
    built = run(heard)
    assert zipfile.is_zipfile(built.wheel)
    assert built.wheel.is_relative_to(tmp_path / "work")
    assert built.environment.version_of("torch") == "2.11.0"
    assert heard.phases == ["environment", "toolkit", "backend", "compiling"]
    assert (built.budget, built.confinement) == (str(jobserver.budget), "oom_score_adj alone")
    assert 0 <= built.seconds_until_compiling <= built.seconds


def test_the_backend_hears_of_capabilities_and_jobs_and_of_compilers_that_wait_their_turn(
    run: Build, jobserver: Jobserver, tmp_path: Path
) -> None:
    built = run(show=SHOWN, settings='environment = { FORCE_CUDA = "1" }\nconfig-settings = { "cmake.define.A" = "1" }')
    heard = said(tmp_path, "variables")
    compilers = tmp_path / "work" / "compilers"
    home = str(compilers / "cuda")
    assert heard == {
        "CUDAWHEEL_CUDA_HOME": home,
        "CUDA_HOME": home,
        "CXX": str(compilers / "host" / "g++"),
        "FORCE_CUDA": "1",
        "MAX_JOBS": str(most_jobs(jobserver.budget.slots)),
        "TMPDIR": str(tmp_path / "work" / "tmp"),
        "TORCH_CUDA_ARCH_LIST": "8.0;9.0+PTX",
    }
    assert said(tmp_path, "settings") == {"cmake.define.A": "1"}
    steering = {"TORCH_CUDA_ARCH_LIST", "MAX_JOBS", "CMAKE_BUILD_PARALLEL_LEVEL", "FORCE_CUDA", "CFLAGS", "CXXFLAGS"}
    assert set(built.variables) == steering


def test_what_the_backend_asks_for_besides_leads_to_a_second_environment(run: Build) -> None:
    heard = Heard()
    built = run(heard, needs=["tiny-helper<2"])
    assert heard.phases == ["environment", "toolkit", "backend", "environment", "compiling"]
    assert built.environment.version_of("tiny-helper") == "1.0"


@pytest.mark.parametrize(
    "asked", ["torch", "Torch>=2", 'tiny-helper; python_version < "3"', 'torch; python_version >= "3"']
)
def test_what_is_there_already_leads_to_no_second_environment(asked: str, run: Build) -> None:
    heard = Heard()
    run(heard, needs=[asked])
    assert heard.phases.count("environment") == 1


def test_what_the_backend_asks_for_in_vain_is_said(run: Build) -> None:
    with pytest.raises(InstallError):
        run(needs=["tiny-helper>=99"])


def test_leftovers_of_a_killed_build_are_gone(run: Build, tmp_path: Path) -> None:
    (tmp_path / "work" / "wheel").mkdir(parents=True)
    (tmp_path / "work" / "wheel" / "half.whl").write_text("half")
    (tmp_path / "work" / "source").mkdir()
    (tmp_path / "work" / "source" / "old.cu").write_text("old")
    built = run()
    assert [path.name for path in built.wheel.parent.iterdir()] == [built.wheel.name]
    assert not (tmp_path / "work" / "source" / "old.cu").exists()


def test_a_capability_that_nvcc_does_not_know_is_refused_before_compiling(
    run: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder_tools, "provide", give(toolchain(tmp_path / "cuda", "9.0", "12.0")))
    heard = Heard()
    with pytest.raises(CapabilityError, match=r"nvcc 13\.0\.88 cannot compile for 8\.0") as caught:
        run(heard)
    assert "9.0, 12.0" in caught.value.why
    assert heard.phases[-1] == "toolkit"


def test_a_backend_that_fails_is_said(run: Build) -> None:
    with pytest.raises(BuildError, match="did not build"):
        run(fails=True)


@pytest.mark.parametrize(("python", "satisfied"), [("3.10", False), ("3.12", True)])
def test_a_marker_is_read_for_the_python_that_is_built_for(python: str, satisfied: bool) -> None:
    packages = Path(f"/x/lib/python{python}/site-packages")
    environment = Environment(folder=Path("/x"), python=Path("/x/bin/python"), site_packages=packages, packages=())
    assert build._satisfied('tomli>=2; python_version < "3.11"', environment) is satisfied
