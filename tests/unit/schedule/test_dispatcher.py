"""The decisions, without sockets and clocks: clients are strings, and the time is what the test says."""

from __future__ import annotations

from pathlib import Path

import pytest
from dispatcher_scene import FOLDER, KEY, MEMORY, SLOTS, Scene
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schedule_values import make_compilation, make_report

from cudawheel.schedule.demand import Kind
from cudawheel.schedule.history import History
from cudawheel.schedule.limits import GIB
from cudawheel.schedule.recovery import Report

# How long what finds no room though nothing runs waits for others to free some, in seconds.
PATIENCE = 20.0
OUT_OF_MEMORY = make_report(signal=9, peak=3 * GIB, starved=True)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "costs.sqlite")


@pytest.fixture
def scene(history: History) -> Scene:
    return Scene(history)


def test_whoever_finds_room_starts_and_the_others_wait(scene: Scene) -> None:
    for client in "12345":
        scene.ask(client)
    assert scene.grants() == dict.fromkeys("1234", 1)
    assert scene.grants() == {}
    assert not scene.ended("2")
    assert scene.grants(1.0) == {"5": 1}


def test_a_lone_compiler_gets_threads_as_memory_allows(scene: Scene) -> None:
    scene.ask("1", passes=7)
    assert scene.grants() == {"1": 4}


def test_a_build_that_nobody_knows_is_refused(scene: Scene) -> None:
    with pytest.raises(KeyError):
        scene.dispatcher.ask("1", build="other", kind="host", passes=1, source=FOLDER / "a.cpp", now=0.0)
    scene.dispatcher.leave(scene.build, 100.0)
    scene.dispatcher.leave(scene.build, 100.0)
    with pytest.raises(KeyError):
        scene.ask("1")
    assert scene.grants() == {}


@pytest.mark.parametrize(
    ("source", "kind", "name"),
    [("/home/you/demo/deep/a.cu", "device", "deep/a.cu"), ("/usr/src/a.cpp", "host", "a.cpp"),
     ("/home/you/demo/build/cp312/demo.so", "link", "demo.so")],
)  # fmt: skip
def test_sources_are_named_relative_to_the_build_and_links_by_what_they_make(
    source: str, kind: Kind, name: str, scene: Scene
) -> None:
    scene.ask("1", kind=kind, source=source)
    scene.grants()
    scene.ended("1")
    (unit,) = scene.dispatcher.timeline.units
    assert (unit.build, unit.source, unit.kind) == ("demo", name, kind)


def test_what_ran_out_of_memory_tries_again_with_less_until_nothing_smaller_is_left(scene: Scene) -> None:
    scene.ask("1", passes=7)
    threads = [scene.grants()["1"]]
    for now in (1.0, 2.0, 3.0):
        assert scene.ended("1", OUT_OF_MEMORY, now=now)
        threads.append(scene.grants(now)["1"])
    assert threads == [4, 2, 1, 1]
    assert not scene.ended("1", OUT_OF_MEMORY, now=4.0)
    assert [kind for kind, _, _ in scene.events()] == ["again"] * 3
    assert [unit.outcome for unit in scene.dispatcher.timeline.units] == ["out of memory"] * 4
    assert scene.build.starved == [scene.notes[-1]]
    assert "alone, on one thread" in scene.notes[-2]
    assert scene.grants(5.0) == {}


def test_a_retry_waits_for_the_room_that_it_is_now_known_to_need(scene: Scene) -> None:
    for client in "12":
        scene.ask(client)
    scene.grants()
    assert scene.ended("1", make_report(signal=9, peak=3 * GIB, starved=True))
    assert scene.grants(1.0) == {}
    scene.ended("2")
    assert scene.grants(2.0) == {"1": 1}


def test_a_failure_for_another_reason_is_final(scene: Scene) -> None:
    scene.ask("1")
    scene.grants()
    assert not scene.ended("1", make_report(code=1))
    assert [unit.outcome for unit in scene.dispatcher.timeline.units] == ["failed"]
    assert scene.events() == []
    assert scene.notes == scene.build.starved == []


def test_a_kill_by_the_kernel_is_a_want_of_memory_unless_it_compiled(scene: Scene) -> None:
    for client in "12":
        scene.ask(client)
    scene.grants()
    assert not scene.ended("1", kills=1)
    assert scene.ended("2", make_report(code=1), kills=1)
    assert scene.events() == [("killed", 1.0, None), ("again", 1.0, None)]
    assert [unit.outcome for unit in scene.dispatcher.timeline.units] == ["ok", "out of memory"]


def test_a_report_of_one_who_holds_nothing_changes_nothing(scene: Scene) -> None:
    scene.ask("1")
    assert not scene.ended("1", OUT_OF_MEMORY)
    assert not scene.ended("stranger", OUT_OF_MEMORY)
    assert scene.dispatcher.timeline.units == []
    assert scene.grants() == {"1": 1}


def test_what_ends_after_its_build_was_left_is_still_told(scene: Scene) -> None:
    for client in "12":
        scene.ask(client)
    scene.grants()
    scene.dispatcher.leave(scene.build, 100.0)
    assert not scene.ended("1")
    assert scene.ended("2", OUT_OF_MEMORY)
    assert scene.grants(1.0) == {"2": 1}
    assert not scene.ended("2", OUT_OF_MEMORY)
    assert [unit.outcome for unit in scene.dispatcher.timeline.units] == ["ok", "out of memory", "out of memory"]
    assert scene.notes == []


def test_one_that_finds_no_room_though_nothing_runs_starts_after_the_patience(history: History) -> None:
    scene = Scene(history, memory=GIB)
    scene.ask("1", passes=7)
    for now in (0.0, 1.0, PATIENCE - 0.1):
        assert scene.grants(now) == {}
    assert scene.grants(PATIENCE) == {"1": 1}
    assert scene.events()[0] == ("alone", PATIENCE, None)
    assert scene.notes == ["1.cu needs 2.0 GiB, and 1.0 GiB are left; starting it alone all the same"]


def test_nobody_is_waited_for_where_only_the_builds_could_free_any(scene: Scene) -> None:
    scene.looked(GIB, now=0.0, ours=True)
    scene.ask("1")
    assert scene.grants(0.0) == {"1": 1}
    assert scene.events() == [("alone", 0.0, None)]


def test_the_patience_begins_anew_when_something_ran_in_between(scene: Scene) -> None:
    scene.looked(GIB, now=0.0)
    scene.ask("1")
    assert scene.grants(0.0) == {}
    scene.looked(2 * GIB, now=15.0)
    assert scene.grants(15.0) == {"1": 1}
    scene.looked(GIB, now=16.0)
    scene.ask("2", now=16.0)
    assert scene.grants(16.0) == {}
    scene.ended("1", now=17.0)
    assert scene.grants(17.0) == scene.grants(36.0) == {}
    assert scene.grants(37.0) == {"2": 1}


def test_with_force_it_starts_at_once_and_one_at_a_time(history: History) -> None:
    scene = Scene(history, force=True, memory=GIB)
    for client in "12":
        scene.ask(client)
    assert scene.grants(0.0) == {"1": 1}
    assert scene.grants(1.0) == {}
    scene.ended("1")
    assert scene.grants(2.0) == {"2": 1}
    assert [event for event in scene.events() if event[0] == "alone"] == [("alone", 0.0, None), ("alone", 2.0, None)]


def test_the_last_attempt_waits_for_nobody_but_those_that_run(scene: Scene) -> None:
    for client in "12":
        scene.ask(client)
    scene.grants()
    scene.ended("1", make_report(signal=9, peak=90 * GIB, starved=True))
    assert scene.grants(2.0) == {}
    scene.ended("2", now=3.0)
    assert scene.grants(3.0) == {"1": 1}
    assert "needs 135.0 GiB" in scene.notes[-1]


def test_in_an_emergency_the_youngest_is_stopped_and_the_next_only_after_a_moment(scene: Scene) -> None:
    for now, client in enumerate("123"):
        scene.ask(client, now=now)
        scene.grants(now)
    assert scene.looked(-GIB // 2, now=3.0) is None
    assert scene.looked(-GIB // 2 - 1, now=3.25) == "3"
    assert scene.looked(-GIB, now=3.5) is None
    assert scene.ended("3", OUT_OF_MEMORY, now=4.0)
    assert scene.looked(-GIB, now=5.0) is None
    assert scene.looked(-GIB, now=5.25) == "2"
    assert [event[:2] for event in scene.events()] == [("stopped", 3.25), ("again", 4.0), ("stopped", 5.25)]
    assert "stopping 3.cu" in scene.notes[0]


def test_the_last_one_that_runs_is_never_stopped(scene: Scene) -> None:
    scene.ask("1")
    scene.grants()
    assert scene.looked(-GIB, now=10.0) is None


def test_what_a_compiler_holds_already_is_not_kept_free_for_it_a_second_time(scene: Scene) -> None:
    for client in "12":
        scene.ask(client)
    scene.grants()
    scene.looked(4 * GIB, now=1.0)
    assert [lease.resident for lease in scene.dispatcher.pool.held] == [GIB, GIB]
    assert scene.dispatcher.pool.unclaimed == 2 * GIB


def test_a_look_is_kept(scene: Scene) -> None:
    for client in "12345":
        scene.ask(client)
    scene.grants()
    scene.looked(5 * GIB, now=2.5, used=7 * GIB)
    (sample,) = scene.dispatcher.timeline.samples
    assert (sample.at, sample.used, sample.budget, sample.running, sample.waiting) == (2.5, 7 * GIB, 12 * GIB, 4, 1)
    assert scene.dispatcher.timeline.reserve == GIB


def test_nothing_starts_while_the_kernel_waits_for_memory_and_the_span_is_recorded(scene: Scene) -> None:
    scene.ask("1")
    scene.grants()
    scene.looked(6 * GIB, now=1.0, stalled=0.5)
    scene.ask("2", now=1.0)
    for now in (1.0, 2.0, 3.0):
        assert scene.grants(now) == {}
    scene.looked(6 * GIB, now=4.0)
    assert scene.grants(4.0) == {"2": 1}
    (event,) = scene.dispatcher.timeline.events
    assert (event.kind, event.at, event.until) == ("withheld", 1.0, 4.0)
    assert "50%" in event.text


def test_a_wait_for_a_slot_is_no_want_of_memory(scene: Scene) -> None:
    scene.looked(64 * GIB, now=0.0)
    for client in "abcdefghi":
        scene.ask(client)
    assert len(scene.grants(0.0)) == SLOTS
    scene.ended("a", now=1.0)
    assert len(scene.grants(1.0)) == 1
    assert scene.events() == []


def test_a_span_tells_which_compiler_finds_no_room(scene: Scene, history: History) -> None:
    history.add(KEY, [make_compilation("big.cu", peak=6 * GIB, cpu_seconds=900)])
    scene.ask("small")
    scene.grants()
    scene.ask("other")
    scene.ask("big", kind="device")
    assert scene.grants(1.0) == {"other": 1}
    scene.dispatcher.gone("small", 5.0)
    scene.dispatcher.gone("other", 5.0)
    assert list(scene.grants(3.0)) == ["big"]
    (event,) = scene.dispatcher.timeline.events
    assert (event.at, event.until) == (1.0, 3.0)
    assert event.text == "big.cu needs 6.6 GiB, and 4.0 GiB are left"


def test_a_span_tells_that_one_has_to_run_alone(scene: Scene) -> None:
    for client in "12":
        scene.ask(client)
    scene.grants()
    scene.ended("1", OUT_OF_MEMORY, now=1.0)
    scene.ask("3", now=1.0)
    assert scene.grants(1.0) == {"3": 1}
    scene.ended("2", now=2.0)
    scene.ended("3", now=2.0)
    assert scene.grants(2.0) == {"1": 1}
    scene.ask("4", now=3.0)
    assert scene.grants(3.0) == {}
    scene.ended("1", now=4.0)
    assert scene.grants(4.0) == {"4": 1}
    spans = [event for event in scene.dispatcher.timeline.events if event.kind == "withheld"]
    assert [(span.at, span.until, span.text) for span in spans] == [
        (1.0, 2.0, "1.cu waits to be compiled alone"),
        (3.0, 4.0, "1.cu is compiled alone"),
    ]


@pytest.mark.parametrize(
    ("report", "remember", "source", "remembered"),
    [
        (make_report(), True, "1.cu", True),
        (make_report(), False, "1.cu", False),
        (make_report(code=1), True, "1.cu", False),
        (OUT_OF_MEMORY, True, "1.cu", False),
        (make_report(), True, "CMakeFiles/3.28/CompilerIdCUDA/a.cu", False),
    ],
)
def test_only_what_compiled_is_remembered_and_only_where_that_is_worth_it(
    report: Report, remember: bool, source: str, remembered: bool, scene: Scene
) -> None:
    scene.build.remember = remember
    scene.ask("1", source=source, kind="device")
    scene.grants()
    scene.ended("1", report)
    assert scene.history.cost_of(KEY, source, "device").measured is remembered


def test_what_cmake_tries_a_compiler_out_with_needs_little(history: History) -> None:
    scene = Scene(history, memory=GIB)
    scene.ask("1", source="build/CMakeFiles/CMakeScratch/TryCompile-1/CMakeCUDACompilerABI.cu")
    assert scene.grants() == {"1": 1}


@pytest.mark.parametrize(
    "report", [make_report(code=1, peak=8 * GIB), make_report(signal=15), make_report(signal=2), None], ids=str
)
def test_what_a_compiler_took_that_failed_or_was_ended_is_no_measurement(
    report: Report | None, scene: Scene, history: History
) -> None:
    scene.ask("1", source="a.cu")
    scene.grants()
    if report is None:
        scene.dispatcher.gone("1", 1.0)
    else:
        scene.ended("1", report)
    scene.dispatcher.leave(scene.build, 2.0)
    assert not history.cost_of(KEY, "a.cu", "host").measured


@pytest.mark.parametrize("finished", [True, False])
def test_only_a_build_that_was_finished_tells_the_next_one_which_units_there_are(
    finished: bool, scene: Scene, history: History
) -> None:
    scene.ask("1", source="a.cu")
    scene.grants()
    scene.ended("1")
    scene.build.finished = finished
    scene.dispatcher.leave(scene.build, 2.0)
    assert [source for source, _, _ in history.units_of(KEY)] == ["a.cu"] * finished


def test_the_next_build_goes_by_what_was_measured(scene: Scene, history: History) -> None:
    scene.ask("1")
    scene.grants()
    scene.ended("1", make_report(peak=4 * GIB))
    again = Scene(history)
    for client in "12":
        again.ask(client, source="1.cu")
    assert again.grants() == {"1": 1}


def test_all_that_one_held_or_waited_for_comes_back_when_it_is_gone(scene: Scene) -> None:
    for client in "12345":
        scene.ask(client)
    scene.grants()
    for client in "155":
        scene.dispatcher.gone(client, 5.0)
    assert [(unit.source, unit.outcome) for unit in scene.dispatcher.timeline.units] == [("1.cu", "failed")]
    assert scene.grants(1.0) == {}
    for client in "234":
        scene.dispatcher.gone(client, 5.0)
    pool = scene.dispatcher.pool
    assert (pool.held, pool.waiting, pool.free_slots, pool.unclaimed) == ((), (), SLOTS, MEMORY)


OUTCOMES = st.sampled_from([make_report(), make_report(code=1), OUT_OF_MEMORY])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(passes=st.lists(st.integers(1, 7), min_size=1, max_size=6), room=st.integers(0, 8), data=st.data())
def test_every_compiler_has_its_end_whatever_happens(
    passes: list[int], room: int, data: st.DataObject, tmp_path: Path
) -> None:
    scene = Scene(History(tmp_path / "none" / "costs.sqlite"), memory=room * GIB)
    scene.build.remember = False
    for index, number in enumerate(passes):
        scene.ask(f"client {index}", passes=number)
    running: list[str] = []
    done: list[str] = []
    now = 0.0
    # Each has at most five goes, and between any two of them nothing runs for no longer than the patience.
    for _ in range(20 * len(passes)):
        running += [str(client) for client in scene.grants(now)]
        if running:
            client = running.pop(data.draw(st.integers(0, len(running) - 1)))
            if not scene.ended(client, data.draw(OUTCOMES), now=now):
                done.append(client)
        now += PATIENCE / 2
    assert sorted(done) == sorted(f"client {index}" for index in range(len(passes)))
    assert (scene.dispatcher.pool.held, scene.dispatcher.pool.waiting) == ((), ())
