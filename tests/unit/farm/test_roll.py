"""The workers of a cluster: asked when they come, refused with a reason, waited for and given up."""

from __future__ import annotations

import pytest
from farm_cluster import FakeCluster, report_of
from listening import Heard

from cudawheel.errors import FarmError, HostCompilerError, UnfitWorkersError
from cudawheel.farm import roll as roll_
from cudawheel.farm.cell import error_to_plain
from cudawheel.farm.cluster import Answered, Dropped, build_key, in_words
from cudawheel.farm.probe import Question
from cudawheel.farm.roll import Roll

FAULT = error_to_plain(HostCompilerError("no C++ compiler", why="nothing on PATH", remedy="apt install g++"))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def roll(cluster: FakeCluster, clock: Clock) -> Roll:
    question = Question(version="1", code="c", machine="x86_64", cudas=("13.0",), store="s3://b/p", inputs="i")
    return Roll(cluster, question, Heard(), patience=100.0, clock=clock)


def notes(roll: Roll) -> list[str]:
    assert isinstance(roll.progress, Heard)
    return roll.progress.notes


def test_who_comes_is_asked_once(roll: Roll, cluster: FakeCluster) -> None:
    cluster.there = {"a", "b"}
    roll.look(idle=True)
    roll.look(idle=True)
    assert sorted(start.worker for start in cluster.started) == ["a", "b"]
    assert {start.function for start in cluster.started} == {"look_at_yourself"}
    assert roll.asking == 2


def test_who_is_fit_gets_a_seat_and_who_is_not_is_named(roll: Roll, cluster: FakeCluster) -> None:
    cluster.there = {"a", "b"}
    roll.look(idle=True)
    keys = {start.worker: start.key for start in cluster.started}
    seat = roll.answer(Answered(key=keys["a"], value=report_of("a").to_plain()))
    assert seat is not None
    assert seat.name == "a"
    assert roll.answer(Answered(key=keys["b"], value=report_of("b", faults=(FAULT,)).to_plain())) is None
    (note,) = notes(roll)
    assert note.startswith("the worker b gets no cells: no C++ compiler")


def test_a_worker_without_cudawheel_is_named(roll: Roll, cluster: FakeCluster) -> None:
    cluster.there = {"a"}
    roll.look(idle=True)
    missing = "ModuleNotFoundError: No module named 'cudawheel'"
    assert roll.answer(Answered(key=cluster.started[0].key, value=None, fault=missing)) is None
    assert missing in notes(roll)[0]


def test_workers_of_which_none_can_build_end_the_run(roll: Roll, cluster: FakeCluster, clock: Clock) -> None:
    cluster.there = {"a", "b"}
    roll.look(idle=True)
    for start in cluster.started:
        roll.answer(Answered(key=start.key, value=report_of(start.worker, faults=(FAULT,)).to_plain()))
    roll.look(idle=True)  # another one may be on its way
    clock.now = roll_._UNFIT_SECONDS
    with pytest.raises(UnfitWorkersError, match="none of the 2 workers") as caught:
        roll.look(idle=True)
    assert caught.value.why.splitlines() == ["a: no C++ compiler", "b: no C++ compiler"]
    assert caught.value.remedy == "apt install g++"


def test_nobody_is_waited_for_for_ever(roll: Roll, clock: Clock) -> None:
    roll.look(idle=True)
    clock.now = 99.0
    roll.look(idle=True)
    clock.now = 100.0
    with pytest.raises(FarmError, match="no worker has come") as caught:
        roll.look(idle=True)
    assert "cudawheel farm worker" in caught.value.remedy


def test_as_long_as_somebody_builds_nobody_is_missed(roll: Roll, clock: Clock) -> None:
    roll.look(idle=False)
    clock.now = 1000.0
    roll.look(idle=False)
    clock.now = 1001.0
    roll.look(idle=True)


def test_who_does_not_answer_is_refused(roll: Roll, cluster: FakeCluster, clock: Clock) -> None:
    cluster.there = {"a"}
    roll.look(idle=True)
    clock.now = roll_._ANSWER_SECONDS + 1
    roll.look(idle=False)
    assert "has not answered" in notes(roll)[0]
    assert cluster.stopped == [cluster.started[0].key]
    assert roll.asking == 0


def test_who_is_busy_with_something_else_is_said_once_and_waited_for(
    roll: Roll, cluster: FakeCluster, clock: Clock
) -> None:
    cluster.there = {"a"}
    roll.look(idle=True)
    mine = cluster.started[0].key
    cluster.tasks = {"a": (mine, build_key(f"cudawheel-{'0a' * 6}", "cp312-torch2.11-cu130-x86_64", 2))}
    clock.now = roll_._SOON_SECONDS - 1
    roll.look(idle=True)
    assert notes(roll) == []
    for clock.now in (roll_._SOON_SECONDS + 1, roll_._ANSWER_SECONDS + 1, roll_._ANSWER_SECONDS + 2):
        roll.look(idle=True)
    (note,) = notes(roll)
    assert note.startswith("the worker a is still at work on cp312-torch2.11-cu130-x86_64, which")
    assert roll.asking == 1
    cluster.tasks = {"a": (mine,)}
    clock.now = 3 * roll_._ANSWER_SECONDS
    roll.look(idle=False)
    assert "has not answered" in notes(roll)[1]
    assert roll.asking == 0


def test_work_that_is_not_ours_is_named_as_dask_names_it() -> None:
    keys = ("inc-1c8dd6be", build_key(f"cudawheel-{'0a' * 6}", "cp311-x", 1))
    assert in_words(keys) == "inc-1c8dd6be, cp311-x"


def test_a_worker_that_is_refused_is_named(roll: Roll, cluster: FakeCluster) -> None:
    cluster.there = {"a"}
    roll.look(idle=True)
    roll.answer(Answered(key=cluster.started[0].key, value=report_of("a", name="w1", faults=(FAULT,)).to_plain()))
    assert notes(roll)[0].startswith("the worker w1 (a) gets no cells")


def test_who_goes_is_told_once_and_asked_anew_when_it_comes_back(roll: Roll, cluster: FakeCluster) -> None:
    cluster.there = {"a"}
    roll.look(idle=True)
    cluster.there = set()
    assert roll.look(idle=True) == ("a",)
    assert not roll.strike("a")
    cluster.there = {"a"}
    assert roll.look(idle=True) == ()
    assert [start.worker for start in cluster.started] == ["a", "a"]


def test_a_question_that_was_taken_back_is_asked_again(roll: Roll, cluster: FakeCluster) -> None:
    cluster.there = {"a"}
    roll.look(idle=True)
    roll.answer(Dropped(key=cluster.started[0].key))
    roll.look(idle=True)
    assert len(cluster.started) == 2


def test_answers_to_other_questions_are_not_taken(roll: Roll) -> None:
    assert roll.answer(Answered(key="another", value={})) is None


def test_host_compilers_that_differ_are_said(roll: Roll, cluster: FakeCluster) -> None:
    cluster.there = {"a", "b"}
    roll.look(idle=True)
    for start, compiler in zip(cluster.started, ("gcc 12.2.0", "gcc 14.2.0"), strict=True):
        roll.answer(Answered(key=start.key, value=report_of(start.worker, compiler=compiler).to_plain()))
    (note,) = notes(roll)
    assert "gcc 14.2.0" in note
    assert "gcc 12.2.0" in note
