"""A whole run, on workers that are in this process: what is built, what is delivered, what is said."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dask_farm import TORCHES
from fake_rooms import Rooms, in_wheelhouse
from farm_cluster import FakeFarm, Start, report_of
from listening import Heard

from cudawheel.errors import (
    BuildError,
    CudawheelError,
    HostCompilerError,
    InterruptedBuildError,
    LethalCellError,
    MemoryBudgetError,
    RemoteStoreError,
    SchedulerLostError,
    StoredWheelError,
    UsageError,
)
from cudawheel.factory import job
from cudawheel.factory.attempt import Attempt
from cudawheel.factory.factory import Outcome, make_wheel
from cudawheel.factory.fleet import FleetRequest
from cudawheel.factory.request import BuildRequest
from cudawheel.farm import run
from cudawheel.farm.cell import Answer, error_to_plain
from cudawheel.farm.cluster import Answered, Dropped
from cudawheel.farm.farm import FarmRequest, make_all_on_farm
from cudawheel.plan.selectors import Selector
from cudawheel.schedule.budget import BudgetRequest
from cudawheel.schedule.limits import GIB


@pytest.fixture(autouse=True)
def in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_LOOK_SECONDS", 0.01)


class Told:
    """All listeners of a run."""

    def __init__(self) -> None:
        self.whole = Heard()
        self.cells: dict[str, Heard] = {}

    def of(self, cell: str) -> Heard:
        return self.cells.setdefault(cell, Heard())

    def notes_of(self, torch: str) -> list[str]:
        return next(heard.notes for cell, heard in self.cells.items() if f"torch{torch}-" in cell)


def make(farm: FakeFarm, request: BuildRequest, told: Told | None = None, **fleet: Any) -> tuple[Attempt, ...]:
    told = told or Told()
    asked = FarmRequest(
        fleet=FleetRequest(request=request, **fleet), scheduler="tcp://x:1", patience=5.0, connect=farm.connect
    )
    return make_all_on_farm(asked, told.whole, told.of)


def results(attempts: tuple[Attempt, ...]) -> dict[str, str]:
    return {attempt.identifier.split("-")[1].removeprefix("torch"): attempt.word for attempt in attempts}


def fault(attempts: tuple[Attempt, ...]) -> CudawheelError:
    (failed,) = [attempt.result for attempt in attempts if isinstance(attempt.result, CudawheelError)]
    return failed


def test_every_cell_is_built_once_and_delivered(farm: FakeFarm, asked: BuildRequest) -> None:
    told = Told()
    attempts = make(farm, asked, told)
    assert results(attempts) == dict.fromkeys(TORCHES, "built")
    assert sorted(farm.built) == list(TORCHES)
    wheels = {attempt.result.wheel.name for attempt in attempts if isinstance(attempt.result, Outcome)}
    assert wheels < set(in_wheelhouse(asked))
    assert told.whole.details[-1].startswith("4 of 4 cells done")
    assert {phase for heard in told.cells.values() for phase in heard.phases} >= {"sent", "compiling", "fetching"}


def test_a_worker_is_told_what_memory_and_cores_a_cell_takes(farm: FakeFarm, asked: BuildRequest) -> None:
    make(farm, asked)
    builds = [start for start in farm.started if start.function == "build_cell"]
    assert {tuple(sorted(start.resources)) for start in builds} == {("CORES", "MEMORY")}
    assert {start.plain["cores"] for start in builds} == {start.resources["CORES"] for start in builds}


def test_the_same_command_again_builds_nothing_and_asks_no_cluster(farm: FakeFarm, asked: BuildRequest) -> None:
    make(farm, asked)
    elsewhere = replace(asked, cache=asked.cache / "other", wheelhouse=asked.wheelhouse / "other")
    before = len(farm.started)
    assert results(make(farm, elsewhere)) == dict.fromkeys(TORCHES, "from the store")
    assert results(make(farm, asked)) == dict.fromkeys(TORCHES, "from the store")
    assert len(farm.started) == before


def test_what_this_machine_has_is_not_sent(farm: FakeFarm, asked: BuildRequest, rooms: Rooms) -> None:
    make_wheel(asked, Heard())
    rooms.built.clear()
    told = results(make(farm, asked))
    assert sorted(told.values()) == ["built"] * 3 + ["from the store"]
    assert len(rooms.built) == 3


def test_a_machine_without_compiler_lets_the_workers_look(
    farm: FakeFarm, asked: BuildRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(farm, asked)

    def none(*_words: Any) -> None:
        raise HostCompilerError("no compiler")

    find = job.find_host_compiler

    def only_on_workers(start: Start) -> Answer:
        with monkeypatch.context() as there:
            there.setattr(job, "find_host_compiler", find)
            return farm.build(start)

    monkeypatch.setattr(job, "find_host_compiler", none)
    farm.instead = dict.fromkeys(TORCHES, only_on_workers)
    fresh = replace(asked, cache=asked.cache / "other", wheelhouse=asked.wheelhouse / "other")
    assert results(make(farm, fresh)) == dict.fromkeys(TORCHES, "from the store")


def test_a_cell_that_fails_stops_no_other_and_is_written_down(farm: FakeFarm, asked: BuildRequest) -> None:
    broken = BuildError("the package did not build", why="line 3", remedy="mend it")
    farm.instead["2.12"] = lambda _start: Answer(error=error_to_plain(broken))
    attempts = make(farm, asked)
    assert results(attempts) == {**dict.fromkeys(TORCHES, "built"), "2.12": "failed"}
    error = fault(attempts)
    assert type(error) is BuildError
    assert error.why.startswith("line 3\non the worker ")
    del farm.instead["2.12"]
    assert results(make(farm, asked, retry_failed=True)) == {"2.12": "built"}


def test_a_defect_on_a_worker_is_the_cells_failure(farm: FakeFarm, asked: BuildRequest) -> None:
    def break_(start: Start) -> None:
        farm.post(Answered(key=start.key, value=None, fault="ZeroDivisionError: division by zero"))

    farm.instead["2.12"] = break_
    error = fault(make(farm, asked))
    assert error.why == "ZeroDivisionError: division by zero"


def test_a_lost_workers_cell_is_built_by_another(farm: FakeFarm, asked: BuildRequest) -> None:
    def die(start: Start) -> None:
        farm.instead.clear()
        farm.leave(start.worker)

    farm.instead["2.13"] = die
    told = Told()
    assert results(make(farm, asked, told)) == dict.fromkeys(TORCHES, "built")
    assert sorted(farm.built) == list(TORCHES)
    assert any("was lost; it is tried again" in note for note in told.notes_of("2.13"))


def test_a_loss_that_only_a_look_shows_is_a_loss(farm: FakeFarm, asked: BuildRequest) -> None:
    def vanish(start: Start) -> None:
        farm.instead.clear()
        farm.there.discard(start.worker)

    farm.instead["2.13"] = vanish
    assert results(make(farm, asked)) == dict.fromkeys(TORCHES, "built")


def test_a_cell_that_kills_two_workers_is_set_aside(farm: FakeFarm, asked: BuildRequest) -> None:
    deaths: list[str] = []

    def die(start: Start) -> None:
        deaths.append(start.worker)
        farm.leave(start.worker)

    farm.instead["2.13"] = die
    attempts = make(farm, asked)
    assert results(attempts) == {**dict.fromkeys(TORCHES, "built"), "2.13": "failed"}
    error = fault(attempts)
    assert isinstance(error, LethalCellError)
    assert all(worker in error.why for worker in deaths)
    assert len(deaths) == 2


def test_what_dask_itself_blames_a_cell_for_counts_as_one_loss(farm: FakeFarm, asked: BuildRequest) -> None:
    def killed(start: Start) -> None:
        farm.instead.clear()
        farm.there.discard(start.worker)
        farm.post(Answered(key=start.key, value=None, fault="KilledWorker: Attempted to run task"))

    farm.instead["2.13"] = killed
    assert results(make(farm, asked)) == dict.fromkeys(TORCHES, "built")


def test_a_worker_that_leaves_in_order_is_nobodys_fault(farm: FakeFarm, asked: BuildRequest) -> None:
    left: list[str] = []

    def leave(start: Start) -> Answer | None:
        if len(left) == 3:
            return farm.build(start)
        left.append(start.worker)
        farm.leave(start.worker, expected=True)
        return None

    farm.instead["2.13"] = leave
    assert results(make(farm, asked)) == dict.fromkeys(TORCHES, "built")


def test_a_task_that_was_taken_back_is_sent_again(farm: FakeFarm, asked: BuildRequest) -> None:
    def drop(start: Start) -> None:
        farm.instead.clear()
        farm.post(Dropped(key=start.key))

    farm.instead["2.13"] = drop
    assert results(make(farm, asked)) == dict.fromkeys(TORCHES, "built")


def test_a_scheduler_that_disappears_is_said_and_what_is_done_is_kept(farm: FakeFarm, asked: BuildRequest) -> None:
    def lose(_start: Start) -> None:
        farm.lost = True

    farm.there = {"a"}
    farm.instead["2.14"] = lose
    with pytest.raises(SchedulerLostError) as caught:
        make(farm, asked)
    assert "3 of 4 cells done" in caught.value.why
    assert "the same command" in caught.value.remedy
    farm.lost = False
    farm.instead.clear()
    farm.built.clear()
    again = results(make(farm, asked))
    assert again == {**dict.fromkeys(TORCHES, "from the store"), "2.14": "built"}
    assert farm.built == ["2.14"]


def test_a_cell_for_which_no_worker_has_memory_is_said_and_the_others_are_built(
    farm: FakeFarm, asked: BuildRequest
) -> None:
    asked.recipe.write_text(asked.recipe.read_text().replace("memory-per-job = 0.1", "memory-per-job = 9"))
    attempts = make(farm, asked, selector=Selector.parse(("*torch2.11*",), ()))
    error = fault(attempts)
    assert isinstance(error, MemoryBudgetError)
    assert "9.0 GiB" in error.what
    forced = replace(asked, allowed=BudgetRequest(force=True))
    assert results(make(farm, forced, selector=Selector.parse(("*torch2.11*",), ()))) == {"2.11": "built"}


def test_a_cell_for_whose_cuda_no_worker_has_a_compiler_is_said(farm: FakeFarm, asked: BuildRequest) -> None:
    farm.reports = {name: report_of(name, compilers={"12.8": "gcc 14.2.0"}) for name in farm.there}
    error = fault(make(farm, asked, selector=Selector.parse(("*torch2.11*",), ())))
    assert isinstance(error, HostCompilerError)
    assert "CUDA 13.0" in error.what


def test_a_wheel_that_a_worker_did_not_put_into_the_store_is_an_error(farm: FakeFarm, asked: BuildRequest) -> None:
    farm.instead["2.12"] = lambda _start: Answer(fingerprint="0" * 64, sha256="0" * 64, pushed="UPLOADED", built=True)
    error = fault(make(farm, asked))
    assert isinstance(error, RemoteStoreError)
    assert "0" * 64 in error.why


def test_a_wheel_that_is_not_what_it_should_be_is_not_delivered(farm: FakeFarm, asked: BuildRequest) -> None:
    other: list[Answer] = []
    # The wheel of another cell, with its own true fingerprint.
    farm.instead["2.12"] = lambda _start: other[0]
    farm.there = {"a"}

    def build(start: Start) -> Answer:
        other.append(farm.build(start))
        return other[0]

    farm.instead["2.11"] = build
    error = fault(make(farm, asked))
    assert isinstance(error, StoredWheelError)
    assert not any("torch.2.12" in name for name in in_wheelhouse(asked))


def forge(entry: Path) -> str:
    """Put another wheel under a fingerprint of the shared store, with a record that fits it; gives its hash."""
    record = json.loads((entry / "record.json").read_text())
    name, old = record["wheel"]["file"], record["wheel"]["sha256"]
    wheel = (entry / old / name).read_bytes() + b"\n"
    digest = hashlib.sha256(wheel).hexdigest()
    (entry / digest).mkdir()
    (entry / digest / name).write_bytes(wheel)
    shutil.rmtree(entry / old)
    record["wheel"] |= {"sha256": digest, "size": len(wheel)}
    (entry / "record.json").write_text(json.dumps(record))
    return digest


def test_stores_that_disagree_are_said(farm: FakeFarm, asked: BuildRequest) -> None:
    attempts = make(farm, asked)
    first = attempts[0].result
    assert isinstance(first, Outcome)
    forged = forge(Path(asked.remote) / first.record["fingerprint"])
    told = Told()
    assert set(results(make(farm, asked, told)).values()) == {"from the store"}
    (warning,) = told.notes_of(TORCHES[0])
    assert warning.startswith("WARNING: two wheels of one fingerprint")
    assert forged[:12] in warning
    assert first.record["wheel"]["sha256"][:12] in warning


def test_a_worker_that_builds_other_bytes_than_the_store_holds_is_said(farm: FakeFarm, asked: BuildRequest) -> None:
    attempts = make(farm, asked)
    first = attempts[0].result
    assert isinstance(first, Outcome)
    forged = forge(Path(asked.remote) / first.record["fingerprint"])
    told = Told()
    make(farm, replace(asked, reuse=False), told)
    assert any(note.startswith("WARNING") and forged[:12] in note for note in told.notes_of(TORCHES[0]))


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"remote": ""}, "--remote-cache"),
        ({"signing_key": Path("key")}, "--sign"),
        ({"trusted": (Path("key.pub"),)}, "--trust"),
        ({"lock": "add"}, "--lock"),
        ({"lock": "renew"}, "--lock"),
    ],
)
def test_what_other_machines_cannot_do_is_refused(
    changes: dict[str, Any], option: str, farm: FakeFarm, asked: BuildRequest
) -> None:
    with pytest.raises(UsageError) as caught:
        make(farm, replace(asked, **changes))
    assert option in f"{caught.value.what} {caught.value.remedy}"
    assert farm.started == []


def test_costs_that_workers_measured_are_known_here(farm: FakeFarm, asked: BuildRequest) -> None:
    def build(start: Start) -> Answer:
        return replace(farm.build(start), costs=(("a.cu", "device", 3, 1, 2 * GIB, 90.0, 91.0),))

    farm.instead["2.11"] = build
    only = Selector.parse(("*torch2.11*",), ())
    make(farm, asked, selector=only)
    farm.instead.clear()
    farm.started.clear()
    make(farm, asked, selector=Selector.parse(("*torch2.12*",), ()))
    (start,) = [start for start in farm.started if start.function == "build_cell"]
    assert start.resources["MEMORY"] == pytest.approx(2.2 * GIB * start.resources["CORES"], rel=0.01)


def test_ctrl_c_takes_back_what_is_not_done(farm: FakeFarm, asked: BuildRequest) -> None:
    def press(_start: Start) -> None:
        raise KeyboardInterrupt

    farm.instead["2.12"] = press
    farm.there = {"a"}
    farm.reports = {"a": report_of("a", name="w1")}
    with pytest.raises(InterruptedBuildError) as caught:
        make(farm, asked)
    first, second = caught.value.why.splitlines()
    assert first.startswith("1 of 4 cells done")
    assert second.startswith("What a worker has begun is built to its end there")
    assert "torch2.12-" in second
    assert second.endswith(" on w1 (a).")


def test_ctrl_c_with_nothing_begun_speaks_of_no_worker(
    farm: FakeFarm, asked: BuildRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press() -> frozenset[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(farm, "workers", press)
    with pytest.raises(InterruptedBuildError) as caught:
        make(farm, asked)
    (line,) = caught.value.why.splitlines()
    assert line.startswith("0 of 4 cells done")


def test_workers_are_named_and_one_of_anything_is_one(farm: FakeFarm, asked: BuildRequest) -> None:
    farm.there = {"a"}
    farm.reports = {"a": report_of("a", name="w1")}
    told = Told()
    make(farm, asked, told, selector=Selector.parse(("*torch2.11*",), ()))
    assert told.whole.details[0] == "0 of 1 cell done, 0 on 0 workers, 1 waiting, 1 worker still to say what it is"
    assert told.whole.details[-1].startswith("1 of 1 cell done, 0 on 1 worker")
    (heard,) = told.cells.values()
    assert heard.details[0] == "to w1 (a)"
    assert any(detail.endswith("on w1 (a)") for detail in heard.details)


def test_a_lost_worker_is_named(farm: FakeFarm, asked: BuildRequest) -> None:
    def die(start: Start) -> None:
        farm.leave(start.worker)

    farm.there = {"a"}
    farm.reports = {name: report_of(name, name=f"w-{name}") for name in ("a", "a'")}
    farm.instead["2.11"] = die
    told = Told()
    attempts = make(farm, asked, told, selector=Selector.parse(("*torch2.11*",), ()))
    assert "lost: w-a (a), w-a' (a')" in fault(attempts).why
    assert any("its worker w-a (a) was lost" in note for note in told.notes_of("2.11"))
