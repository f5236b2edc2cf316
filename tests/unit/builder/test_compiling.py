"""A package's backend under the jobserver: what its compilers ask for, and what happens when memory runs out."""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_tools import PYTHON, compiler, give, toolchain, write_program, write_toolkit
from listening import Heard
from small_packages import MACHINE, path_source, write_project

from cudawheel.builder import compiling
from cudawheel.builder.compiler_cache import CompilerCache
from cudawheel.builder.compiling import Compiling
from cudawheel.builder.costs import cost_key
from cudawheel.builder.environment import Environment
from cudawheel.builder.order import BuildOrder, Workplace
from cudawheel.builder.sources import fetch
from cudawheel.builder.tools import Tools
from cudawheel.errors import BuildError, OutOfMemoryError
from cudawheel.model.progress import Silent
from cudawheel.plan.plan import Machine, Selection, make_plan
from cudawheel.schedule.history import CostKey
from cudawheel.schedule.jobserver import Jobserver

Make = Callable[..., Compiling]

SLOTS = 8
HOST = "$CXX -c src/a.cpp -o a.o"
DEVICE = '"$CUDA_HOME/bin/nvcc" -gencode=arch=compute_80,code=sm_80 -c src/b.cu -o b.o'
HERE = Environment(
    folder=Path(sys.prefix), python=Path(sys.executable), site_packages=Path(sysconfig.get_path("purelib")), packages=()
)
# A compiler that leaves a line each time it compiles, before it does what a test wants.
COMPILES = '#!/bin/sh\necho compiled >> "{marks}"\n{then}\n'


@pytest.fixture
def order(load, tmp_path: Path) -> BuildOrder:
    """An order for a project that compiles nothing, until a test rewrites it."""
    write_project(tmp_path / "recipes" / "here")
    loaded = load(path_source("here"))
    machine = Machine(machine=MACHINE, python=PYTHON)
    plan = make_plan(loaded.recipe, loaded.recipe.build, Selection(toolchain="system"), machine)
    return BuildOrder(
        loaded=loaded,
        fetched=fetch(loaded, loaded.recipe.sources, tmp_path / "cache", Silent()),
        fingerprint="f" * 64,
        settings=loaded.recipe.build,
        variant=plan.variants[0],
        toolchain="system",
    )


@pytest.fixture
def place(jobserver: Jobserver, tmp_path: Path) -> Workplace:
    jobserver.budget = replace(jobserver.budget, slots=SLOTS)
    (tmp_path / "work").mkdir()
    return Workplace(
        cache=tmp_path / "cache",
        work=tmp_path / "work",
        log=tmp_path / "log",
        environ=dict(os.environ),
        jobserver=jobserver,
    )


@pytest.fixture
def make(order: BuildOrder, place: Workplace, tmp_path: Path) -> Make:
    """Write the project as ordered, with a compiler that ends as told, and make it ready to compile."""

    def make_(
        heard: Heard | None = None, then: str = "exit 0", *, compiler_cache: bool = False, **orders: Any
    ) -> Compiling:
        project = write_project(place.work / "source", show=["MAX_JOBS", "CMAKE_BUILD_PARALLEL_LEVEL"], **orders)
        (project / "src").mkdir()
        (project / "src" / "a.cpp").touch()
        (project / "src" / "b.cu").touch()
        cxx = write_program(tmp_path / "bin" / "g++", COMPILES.format(marks=tmp_path / "marks", then=then))
        tools = Tools(
            toolchain=toolchain(write_toolkit(tmp_path / "cuda")), compiler=replace(compiler(), cxx=cxx, cc=None)
        )
        return Compiling(project, replace(order, compiler_cache=compiler_cache), place, tools, heard or Heard())

    return make_


def jobs_of_each_try(place: Workplace) -> list[int]:
    """How many jobs the backend was told to run, each time it was run."""
    lines = place.log.read_text().splitlines()
    told = [json.loads(line.split(" ", 1)[1]) for line in lines if line.startswith("variables ")]
    assert all(one["MAX_JOBS"] == one["CMAKE_BUILD_PARALLEL_LEVEL"] for one in told)
    return [int(one["MAX_JOBS"]) for one in told]


def compilations(tmp_path: Path) -> int:
    return (tmp_path / "marks").read_text().count("compiled")


def key_of(order: BuildOrder) -> CostKey:
    return cost_key(order.loaded.recipe, order.settings, order.variant, order.fingerprint)


def test_more_compilers_are_started_than_run_so_that_the_jobserver_sees_them_early(
    make: Make, place: Workplace
) -> None:
    heard = Heard()
    done = make(heard).run(HERE)
    assert done.wheel.parent == place.work / "wheel"
    assert done.wheel.is_file()
    assert jobs_of_each_try(place) == [2 * SLOTS]
    assert (done.variables["MAX_JOBS"], heard.notes) == (str(2 * SLOTS), [])


def test_every_compiler_waits_its_turn_and_is_measured(make: Make, order: BuildOrder, place: Workplace) -> None:
    done = make(run=[HOST, DEVICE]).run(HERE)
    units = [(unit.source, unit.kind, unit.outcome) for unit in done.timeline.units]
    assert units == [("src/a.cpp", "host", "ok"), ("src/b.cu", "device", "ok")]
    assert {unit.build for unit in done.timeline.units} == {f"tiny-ext {order.variant.identifier}"}
    known = place.jobserver.history.units_of(key_of(order))
    assert [(source, kind, cost.measured) for source, kind, cost in known] == [
        ("src/a.cpp", "host", True),
        ("src/b.cu", "device", True),
    ]


def test_what_a_build_compiled_before_it_failed_is_not_taken_for_all_that_it_has_to(
    make: Make, order: BuildOrder, place: Workplace
) -> None:
    with pytest.raises(BuildError):
        make(run=[HOST], say=["a.cu(7): error: no"], fails=True).run(HERE)
    history = place.jobserver.history
    assert history.cost_of(key_of(order), "src/a.cpp", "host").measured
    assert history.units_of(key_of(order)) == ()


def test_what_ran_before_is_not_in_the_timeline(make: Make, place: Workplace) -> None:
    project = make(run=[HOST])
    project.run(HERE)
    between = place.jobserver.now()
    timeline = project.run(HERE).timeline
    assert [unit.source for unit in timeline.units] == ["src/a.cpp"]
    assert [unit.source for unit in place.jobserver.timeline.units] == ["src/a.cpp"] * 2
    first, second = place.jobserver.timeline.units
    assert first.end <= between <= second.start
    assert 0 <= timeline.units[0].start < second.start, "counted from the start of this build"


def test_a_build_that_ran_out_of_memory_is_tried_again_with_fewer_jobs(make: Make, place: Workplace) -> None:
    heard = Heard()
    done = make(heard, most_jobs=SLOTS // 2).run(HERE)
    assert jobs_of_each_try(place) == [2 * SLOTS, SLOTS // 2]
    assert done.wheel.is_file()
    assert done.variables["MAX_JOBS"] == done.variables["CMAKE_BUILD_PARALLEL_LEVEL"] == str(SLOTS // 2)
    (note,) = heard.notes
    assert "the package did not build" in note
    assert note.endswith(f"now with {SLOTS // 2} jobs")
    assert heard.phases == ["compiling", "compiling"]


def test_with_a_single_job_there_is_nothing_left_to_try(make: Make, place: Workplace) -> None:
    heard = Heard()
    with pytest.raises(OutOfMemoryError, match="the package did not build") as caught:
        make(heard, most_jobs=0).run(HERE)
    assert jobs_of_each_try(place) == [2 * SLOTS, SLOTS // 2, 1]
    assert [note.rpartition("now with ")[2] for note in heard.notes] == [f"{SLOTS // 2} jobs", "one job"]
    assert "Killed signal terminated program cc1plus" in caught.value.why
    assert "memory-per-job" in caught.value.remedy


def test_a_build_that_fails_for_another_reason_is_not_tried_again(make: Make, place: Workplace) -> None:
    heard = Heard()
    with pytest.raises(BuildError) as caught:
        make(heard, say=["a.cu(7): error: no"], fails=True).run(HERE)
    assert type(caught.value) is BuildError
    assert (jobs_of_each_try(place), heard.notes) == ([2 * SLOTS], [])


def test_a_second_try_that_fails_for_another_reason_is_told_by_that_one(make: Make, place: Workplace) -> None:
    """The log holds both tries, and the first of them speaks of memory."""
    with pytest.raises(BuildError) as caught:
        make(most_jobs=SLOTS // 2, fails=True).run(HERE)
    assert jobs_of_each_try(place) == [2 * SLOTS, SLOTS // 2]
    assert type(caught.value) is BuildError
    assert "Killed" not in caught.value.why


@pytest.mark.parametrize(
    "then",
    ["echo 'cc1plus: out of memory allocating 65536 bytes' >&2; exit 1", "echo 'LLVM ERROR: out of memory'; exit 1"],
)
def test_a_source_that_starved_alone_is_named(then: str, make: Make, place: Workplace, tmp_path: Path) -> None:
    heard = Heard()
    with pytest.raises(OutOfMemoryError, match="the package did not build") as caught:
        make(heard, then=then, run=[HOST]).run(HERE)
    assert compilations(tmp_path) == 2, "once beside others and once alone"
    assert jobs_of_each_try(place) == [2 * SLOTS], "fewer jobs would leave it no more"
    first, *rest = caught.value.why.splitlines()
    assert first.startswith("src/a.cpp ran out of memory on one thread with nothing else running")
    assert "memory" in "\n".join(rest), "what the compiler itself said is there as well"
    assert [note.split(" ", 1)[0] for note in heard.notes] == ["src/a.cpp"] * 2
    assert "once more alone" in heard.notes[0]


def test_a_source_whose_compiler_was_killed_without_a_word_is_named(
    make: Make, place: Workplace, tmp_path: Path
) -> None:
    with pytest.raises(OutOfMemoryError) as caught:
        make(then="kill -9 $$", run=[HOST]).run(HERE)
    assert compilations(tmp_path) == 2
    assert jobs_of_each_try(place) == [2 * SLOTS]
    assert caught.value.why.startswith("src/a.cpp ran out of memory on one thread")
    assert str(place.log) in caught.value.remedy


def test_a_source_that_starved_beside_others_and_compiled_alone_leaves_no_trace(
    make: Make, place: Workplace, tmp_path: Path
) -> None:
    again = f'[ "$(wc -l < "{tmp_path}/marks")" = 1 ] && echo "virtual memory exhausted" && exit 1; exit 0'
    heard = Heard()
    done = make(heard, then=again, run=[HOST]).run(HERE)
    assert [unit.outcome for unit in done.timeline.units] == ["out of memory", "ok"]
    assert jobs_of_each_try(place) == [2 * SLOTS]
    assert "exhausted" not in place.log.read_text()
    assert len(heard.notes) == 1


def test_a_compiler_cache_stands_before_the_compiler_and_its_costs_are_not_remembered(
    make: Make, order: BuildOrder, place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "cached"
    script = f'#!/bin/sh\necho "$(basename "$1") in $SCCACHE_DIR" >> {cached}\nexec "$@"\n'
    found = CompilerCache(program=write_program(tmp_path / "sccache", script), variables={"SCCACHE_DIR": "here"})
    monkeypatch.setattr(compiling, "provide_compiler_cache", give(found))
    done = make(compiler_cache=True, run=[HOST, DEVICE]).run(HERE)
    assert cached.read_text().splitlines() == ["g++ in here", "nvcc in here"]
    assert compilations(tmp_path) == 1
    assert [unit.outcome for unit in done.timeline.units] == ["ok", "ok"]
    assert place.jobserver.history.units_of(key_of(order)) == ()


def test_a_backend_may_compile_before_it_says_what_it_needs(make: Make, place: Workplace) -> None:
    """setup.py runs for that too, and some try a compiler out in it."""
    assert make(needs=["ninja"], run_first=[HOST]).requires(HERE) == ("ninja",)
    assert [unit.source for unit in place.jobserver.timeline.units] == ["src/a.cpp"]
