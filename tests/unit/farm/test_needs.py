"""What a cell asks for, out of the history of costs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from fake_tools import build_request
from small_packages import path_source, write_project, write_recipe

from cudawheel.factory.job import Job
from cudawheel.farm.delivery import jobs_of
from cudawheel.farm.needs import FarmHistory, from_plain, key_of, need_of, plain
from cudawheel.schedule.history import Compilation
from cudawheel.schedule.limits import GIB


def unit(source: str, seconds: float, *, peak: int = GIB) -> Compilation:
    return Compilation(source=source, kind="host", passes=1, threads=1, peak=peak, cpu_seconds=seconds, seconds=seconds)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    write_project(tmp_path / "recipes" / "here")
    return jobs_of(build_request(write_recipe(tmp_path / "recipes", path_source("here")), tmp_path))[0]


@pytest.fixture
def history(tmp_path: Path) -> FarmHistory:
    return FarmHistory(tmp_path / "costs.sqlite")


def test_what_was_never_measured_asks_for_what_the_recipe_says_and_comes_first(job: Job, history: FarmHistory) -> None:
    need = need_of("x", job, history)
    assert need.seconds == math.inf
    assert need.memory == int(0.1 * GIB), "memory-per-job of the recipe"
    assert need.cores == job.variant.capabilities.device_passes
    assert need.cuda == "13.0"
    assert need_of("x", job, history, most_cores=1).cores == 1


def test_a_cell_asks_for_the_memory_of_its_largest_compiler(job: Job, history: FarmHistory) -> None:
    history.add(key_of(job, "f"), [unit("a.cpp", 10, peak=GIB), unit("b.cpp", 10, peak=3 * GIB)])
    assert need_of("x", job, history).memory == pytest.approx(3.3 * GIB)


def test_cores_are_asked_for_as_long_as_they_shorten_a_cell(job: Job, history: FarmHistory) -> None:
    history.add(key_of(job, "f"), [unit(f"{number}.cpp", 100.0) for number in range(8)])
    need = need_of("x", job, history)
    assert (need.cores, need.seconds) == (8, pytest.approx(100.0))
    few = need_of("x", job, history, most_cores=2)
    assert (few.cores, few.seconds) == (2, pytest.approx(400.0))


def test_one_long_unit_needs_one_core(job: Job, history: FarmHistory) -> None:
    history.add(key_of(job, "f"), [unit("long.cpp", 100.0), unit("short.cpp", 5.0)])
    need = need_of("x", job, history)
    assert (need.cores, need.seconds) == (1, pytest.approx(105.0))


def test_what_a_worker_measured_is_known_to_whoever_asked(job: Job, tmp_path: Path) -> None:
    worker, here = FarmHistory(tmp_path / "worker.sqlite"), FarmHistory(tmp_path / "here.sqlite")
    done = [unit("a.cpp", 10.0), unit("b.cpp", 20.0)]
    worker.add(key_of(job, "f"), done)
    measured = worker.measured(job.loaded.recipe.package.name, "f")
    assert list(measured) == done
    assert worker.measured(job.loaded.recipe.package.name, "another") == ()
    here.add(key_of(job, "f"), from_plain(plain(measured)))
    assert need_of("x", job, here) == need_of("x", job, worker)


def test_of_a_unit_that_was_compiled_twice_the_last_is_told(job: Job, history: FarmHistory) -> None:
    history.add(key_of(job, "f"), [unit("a.cpp", 10.0)])
    history.add(key_of(job, "f"), [unit("a.cpp", 30.0)])
    assert [item.seconds for item in history.measured(job.loaded.recipe.package.name, "f")] == [30.0]
