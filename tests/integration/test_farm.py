"""A Dask cluster of three worker processes on this machine, and what is done to it while it builds.

The packages are of a few lines, and toolkit and torch are there in name alone: what is shown is who builds what, how
often, and what is left in the store.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from dask_farm import TORCHES, DaskFarm, dask_farm, wait_until
from fake_tools import build_request
from listening import Heard
from small_packages import path_source, write_project, write_recipe

from cudawheel.errors import (
    CudawheelError,
    InterruptedBuildError,
    LethalCellError,
    SchedulerLostError,
    UnfitWorkersError,
)
from cudawheel.factory.attempt import Attempt
from cudawheel.factory.exchange import pull_all
from cudawheel.factory.factory import Outcome
from cudawheel.factory.fleet import FleetRequest
from cudawheel.factory.request import BuildRequest
from cudawheel.farm import roll
from cudawheel.farm.farm import FarmRequest, make_all_on_farm
from cudawheel.model.progress import Silent
from cudawheel.store.remote import RemoteStore
from cudawheel.store.store import Store

pytest.importorskip("distributed")

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

ENDED = "built.txt"
WORKERS = ("one", "two", "three")


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[DaskFarm]:
    with dask_farm(tmp_path) as started:
        yield started


def ask(farm: DaskFarm, **orders: Any) -> BuildRequest:
    """A matrix of four cells, each of which writes a line once it is compiled; caches and the store are the farm's."""
    folder = farm.folder
    write_project(folder / "recipes" / "here", **{"run": [f"echo built >> {folder / ENDED}"], **orders})
    recipe = write_recipe(folder / "recipes", path_source("here"))
    recipe.write_text(recipe.read_text().replace('["2.11"]', json.dumps(list(TORCHES))))
    return build_request(recipe, folder, remote=str(folder / "shared"), environ=dict(farm.environ))


class Running(threading.Thread):
    """A build on the farm, beside the test."""

    def __init__(self, farm: DaskFarm, request: BuildRequest, *, patience: float = 240.0) -> None:
        super().__init__(daemon=True)
        self.asked = FarmRequest(fleet=FleetRequest(request=request), scheduler=farm.address, patience=patience)
        self.heard = Heard()
        self.cells: dict[str, Heard] = {}
        self.attempts: tuple[Attempt, ...] = ()
        self.error: CudawheelError | None = None
        self.start()

    def require_alive(self) -> None:
        """What the test waits for never comes if the build has ended before."""
        assert self.is_alive(), (self.error, [attempt.result for attempt in self.attempts])

    def run(self) -> None:
        try:
            self.attempts = make_all_on_farm(self.asked, self.heard, lambda cell: self.cells.setdefault(cell, Heard()))
        except CudawheelError as error:
            self.error = error

    def end(self) -> Running:
        self.join(400)
        assert not self.is_alive()
        return self


def hold_of(tmp_path: Path) -> Path:
    hold = tmp_path / "hold"
    hold.touch()
    return hold


def built(folder: Path) -> int:
    path = folder / ENDED
    return len(path.read_text().splitlines()) if path.exists() else 0


def backend_pid(hold: Path, running: Running) -> int:
    """Wait for a backend that stands still; gives its process."""

    def look() -> int | None:
        running.require_alive()
        with suppress(OSError, ValueError):
            return int(Path(f"{hold}.pid").read_text())
        return None

    return wait_until(look)


def require_sound_store(request: BuildRequest, count: int) -> None:
    """The shared store holds so many wheels, and each passes all checks that a stranger's wheel has to pass."""
    remote = RemoteStore(request.remote)
    fingerprints = remote.fingerprints()
    assert len(fingerprints) == count
    pulled = list(pull_all(Store(request.cache / "pulled"), remote, fingerprints, Silent()))
    assert [(item.fault, item.moved) for item in pulled] == [(None, True)] * count
    parts = [path for path in Path(request.remote).rglob("*") if path.name.endswith(".part")]
    assert parts == [], "nothing half-written"


def words(attempts: tuple[Attempt, ...]) -> list[str]:
    return [attempt.word for attempt in attempts]


def test_a_worker_is_killed_and_all_cells_are_built_each_once(farm: DaskFarm, tmp_path: Path) -> None:
    for name in WORKERS:
        farm.add_worker(name)
    hold = hold_of(tmp_path)
    request = ask(farm, hold=str(hold))
    running = Running(farm, request)
    pid = backend_pid(hold, running)
    killed = farm.worker_of(pid)
    farm.kill(killed)
    wait_until(lambda: not psutil.pid_exists(pid) or None)
    wait_until(lambda: any("was lost" in note for cell in running.cells.values() for note in cell.notes) or None)
    hold.unlink()
    attempts = running.end().attempts
    assert running.error is None
    assert words(attempts) == ["built"] * len(TORCHES)
    assert built(tmp_path) == len(TORCHES), "each once"
    outcomes = [attempt.result for attempt in attempts if isinstance(attempt.result, Outcome)]
    assert [outcome.record["variant"]["torch"] for outcome in outcomes] == list(TORCHES)
    assert all(outcome.wheel.is_file() for outcome in outcomes)
    require_sound_store(request, len(TORCHES))
    again = Running(farm, replace(request, cache=tmp_path / "another", wheelhouse=tmp_path / "elsewhere")).end()
    assert words(again.attempts) == ["from the store"] * len(TORCHES)
    assert built(tmp_path) == len(TORCHES)


def test_a_cell_that_takes_two_workers_with_it_is_set_aside_and_the_others_are_built(
    farm: DaskFarm, tmp_path: Path
) -> None:
    for name in WORKERS:
        farm.add_worker(name)
    # The backend of one cell kills whoever Dask calls a worker among its ancestors.
    killer = tmp_path / "killer.py"
    killer.write_text(
        "import os, psutil, signal\n"
        "for parent in psutil.Process().parents():\n"
        "    if 'dask' in parent.cmdline() and 'worker' in parent.cmdline():\n"
        "        parent.send_signal(signal.SIGKILL)\n"
        "        break\n"
    )
    torch = TORCHES[-1]
    lethal = (
        f"pip list 2>/dev/null; ls $(dirname $(dirname $(which python)))/lib/*/site-packages | grep -q 'torch-{torch}'"
    )
    command = f"if {lethal}; then {sys.executable} {killer}; sleep 60; fi; echo built >> {tmp_path / ENDED}"
    running = Running(farm, ask(farm, run=[command])).end()
    assert running.error is None
    *others, last = running.attempts
    assert words(tuple(others)) == ["built"] * len(others)
    assert isinstance(last.result, LethalCellError)
    assert sum(worker.poll() is not None for worker in farm.workers.values()) == 2
    assert built(tmp_path) == len(others)
    require_sound_store(running.asked.fleet.request, len(others))


def test_a_scheduler_that_disappears_is_said_and_the_same_command_goes_on(farm: DaskFarm, tmp_path: Path) -> None:
    farm.add_worker("one")
    hold = tmp_path / "hold"
    request = ask(farm, hold=str(hold))
    running = Running(farm, request)

    def one_is_built() -> bool:
        running.require_alive()
        return built(tmp_path) >= 1

    wait_until(lambda: one_is_built() or None)
    hold.touch()
    wait_until(lambda: len(list(request.wheelhouse.glob("tiny_ext*.whl"))) >= 1 or None)
    farm.scheduler.kill()
    error = running.end().error
    assert isinstance(error, SchedulerLostError)
    done = len(list(request.wheelhouse.glob("tiny_ext*.whl")))
    assert f"{done} of {len(TORCHES)} cells done" in error.why
    hold.unlink()
    farm.stop()
    farm.start()
    farm.add_worker("two")
    attempts = Running(farm, request).end().attempts
    assert "failed" not in words(attempts)
    assert words(attempts).count("from the store") >= done
    require_sound_store(request, len(TORCHES))


def test_workers_that_cannot_build_are_named_with_what_they_lack(
    farm: DaskFarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roll, "_UNFIT_SECONDS", 0.0)  # how long others are waited for is no matter here
    empty = tmp_path / "no-programs"
    empty.mkdir()
    farm.add_worker("one", PATH=str(empty), CXX="")
    running = Running(farm, ask(farm)).end()
    assert isinstance(running.error, UnfitWorkersError)
    assert "tcp://127.0.0.1:" in running.error.why
    assert "compiler" in running.error.why
    assert "apt install g++" in running.error.remedy
    assert built(tmp_path) == 0


@pytest.fixture
def command(farm: DaskFarm) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*words_: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cudawheel", *map(str, words_)],
            env={**farm.environ, "CUDAWHEEL_CACHE": str(farm.folder / "cache")},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )

    return run


def test_after_ctrl_c_a_worker_goes_on_and_the_next_run_says_so_and_waits(farm: DaskFarm, tmp_path: Path) -> None:
    farm.add_worker("w1")
    hold = hold_of(tmp_path)
    request = ask(farm, hold=str(hold))
    words_ = ("build", request.recipe, "--scheduler", farm.address, "--remote-cache", request.remote)
    place = ("--toolchain", "system", "--wheelhouse", request.wheelhouse, "--cache", request.cache)
    # In the background of a shell Ctrl-C would be ignored; a process of Python's is in nobody's background.
    with subprocess.Popen(
        [sys.executable, "-m", "cudawheel", *map(str, (*words_, *place))],
        env=dict(farm.environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as first:
        wait_until(lambda: Path(f"{hold}.pid").exists() or first.poll() is not None or None)
        first.send_signal(signal.SIGINT)
        said = first.communicate(timeout=240)[1]
    assert first.returncode == InterruptedBuildError.exit_code, said
    assert "What a worker has begun is built to its end there" in said
    assert "-x86_64 on w1 (tcp://" in said
    assert "was ended" not in said
    second = Running(farm, request)

    def told() -> str | None:
        second.require_alive()
        return next((note for note in second.heard.notes if "is still at work on" in note), None)

    assert f"-torch{TORCHES[0]}-" in wait_until(told)
    hold.unlink()
    assert "failed" not in words(second.end().attempts)
    assert len(second.attempts) == len(TORCHES)
    assert built(tmp_path) == len(TORCHES), "each once"
    require_sound_store(request, len(TORCHES))


def test_the_command_line_builds_on_a_worker_that_it_started_itself(
    farm: DaskFarm, tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    environ = {**farm.environ, "CUDAWHEEL_CACHE": str(tmp_path / "worker")}
    words_ = [sys.executable, "-m", "cudawheel", "farm", "worker", farm.address, "--cores", "2", "--memory", "2G"]
    with (
        (tmp_path / "worker.log").open("w") as log,
        subprocess.Popen(words_, env=environ, stdout=log, stderr=log) as me,
    ):
        try:
            shared = tmp_path / "shared"
            checked = wait_until(
                lambda: (
                    (done := command("farm", "check", farm.address, "--remote-cache", shared, "--json"))
                    and (done if done.returncode == 0 else None)
                )
            )
            (report,) = json.loads(checked.stdout)
            assert (report["cores"], report["memory"], report["faults"]) == (2, 2 << 30, [])
            request = ask(farm)
            done = command(
                *("build", request.recipe, "--scheduler", farm.address, "--remote-cache", shared, "--json"),
                *("--toolchain", "system", "--wheelhouse", tmp_path / "wheelhouse", "--only", "*torch2.1[13]*"),
            )
            assert done.returncode == 0, done.stderr
            assert [item["result"] for item in json.loads(done.stdout)] == ["built", "built"]
            assert "2 of 2 cells done" in done.stderr
        finally:
            me.terminate()
    assert len(list((tmp_path / "wheelhouse").glob("tiny_ext*.whl"))) == 2
