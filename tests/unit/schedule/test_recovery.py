"""What follows a compilation that ran out of memory: less and less, and an end."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from schedule_values import make_demand, make_lease, make_report

from cudawheel.schedule.limits import GIB
from cudawheel.schedule.recovery import Report, describe_end, describe_retry, smaller

SIZES = st.integers(0, 512 * GIB)


def test_threads_are_halved_down_to_one_then_it_runs_alone_then_it_is_given_up() -> None:
    demand, tried = make_demand(passes=7), []
    while True:
        tried.append((demand.useful, demand.alone))
        following = smaller(make_lease(demand, demand.useful), make_report(starved=True))
        if following is None:
            break
        demand = following
    assert tried == [(7, False), (3, False), (1, False), (1, True)]


@given(st.integers(1, 100), st.integers(1, 1 << 16), st.booleans(), SIZES, st.data())
def test_whatever_it_starts_with_it_comes_to_an_end(
    passes: int, most: int, alone: bool, memory: int, data: st.DataObject
) -> None:
    demand = make_demand(passes=passes, most_threads=most, alone=alone, memory=memory)
    for _ in range(passes.bit_length() + 1):
        threads = data.draw(st.integers(1, demand.useful))
        following = smaller(make_lease(demand, threads), make_report(peak=data.draw(SIZES), starved=True))
        if following is None:
            break
        assert following.alone or following.useful < threads
        assert following.cost.memory >= demand.cost.memory
        demand = following
    assert following is None
    assert demand.alone


def test_a_compiler_that_died_on_one_thread_is_taken_to_need_more_than_it_was_seen_to_hold() -> None:
    following = smaller(make_lease(make_demand(memory=2 * GIB)), make_report(peak=4 * GIB, starved=True))
    assert following is not None
    assert following.cost.memory == 6 * GIB


def test_of_several_threads_the_largest_process_tells_what_one_needs_at_least() -> None:
    lease = make_lease(make_demand(passes=4, memory=2 * GIB), 4)
    light, heavy = (smaller(lease, make_report(peak=peak * GIB, starved=True)) for peak in (1, 3))
    assert light is not None
    assert light.cost.memory == 2 * GIB
    assert heavy is not None
    assert heavy.cost.memory == 3 * GIB


def test_what_it_is_stays_the_same_when_it_is_tried_again() -> None:
    demand = make_demand("deep/kernel.cu", passes=4)
    following = smaller(make_lease(demand, 4), make_report(starved=True))
    assert following is not None
    assert (following.build, following.source, following.kind, following.passes) == (
        "demo",
        "deep/kernel.cu",
        "device",
        4,
    )
    assert dataclasses.replace(following.cost, memory=0) == dataclasses.replace(demand.cost, memory=0)


@pytest.mark.parametrize(
    ("threads", "said", "next_go"),
    [(7, "on 7 threads", "once more on 3 threads"), (2, "on 2 threads", "once more on one thread"),
     (1, "on one thread", "once more alone, on one thread")],
)  # fmt: skip
def test_a_retry_says_what_happened_and_how_it_goes_on(threads: int, said: str, next_go: str) -> None:
    lease, report = make_lease(make_demand(passes=7), threads), make_report(peak=5 * GIB // 2, starved=True)
    following = smaller(lease, report)
    assert following is not None
    text = describe_retry(lease, report, following)
    assert text.startswith(f"kernel.cu ran out of memory {said} (2.5 GiB ")
    assert text.endswith(next_go)


def test_the_end_of_the_ladder_names_the_file_and_the_size() -> None:
    text = describe_end(make_lease(make_demand("a.cu", alone=True)), make_report(peak=7 * GIB, starved=True))
    assert "a.cu" in text
    assert "7.0 GiB" in text
    assert "nothing else running" in text


def test_a_report_is_read_from_the_words_of_a_launcher() -> None:
    report = Report.parse(["1", "9", "1024", "2.5", "1.25", "1"])
    assert report == Report(code=1, signal=9, peak=1024, cpu_seconds=2.5, seconds=1.25, starved=True)
    assert not Report.parse(["0", "0", "0", "0", "0", "0"]).starved


@pytest.mark.parametrize("words", ["", "0 0 0 0 0", "0 0 0 0 0 0 0", "x 0 0 0 0 0", "0 0 1.5 0 0 0", "0 0 0 fast 0 0"])
def test_words_that_make_no_sense_are_refused(words: str) -> None:
    with pytest.raises(ValueError, match=r"unpack|invalid literal|could not convert"):
        Report.parse(words.split())


@pytest.mark.parametrize(("code", "signal", "ok"), [(0, 0, True), (1, 0, False), (0, 9, False)])
def test_it_compiled_when_it_ended_by_itself_with_zero(code: int, signal: int, ok: bool) -> None:
    assert make_report(code=code, signal=signal).ok is ok
