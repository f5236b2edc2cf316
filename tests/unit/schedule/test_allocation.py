"""Threads go where the end of all is decided: held against every other choice, and against what one would expect."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from schedule_values import BESIDE, FIXED, PER_PASS, make_demand, make_lease

from cudawheel.schedule.allocation import choose_threads, expected_seconds, longest_first
from cudawheel.schedule.demand import Demand

PLENTY = 1 << 20
# Against the best of all choices: never beyond the first, and on average of many cases within the second.
WORST, MEAN = 2.0, 1.01


def make_unit(passes: int, memory: int, size: float) -> Demand:
    """A unit in nvcc's proportions, or a host compiler's where it has no passes."""
    if passes == 0:
        return make_demand("a.cpp", kind="host", memory=memory, fixed=2 * size * FIXED, per_pass=0.0)
    fixed = size * FIXED
    return make_demand(passes=passes, memory=memory, fixed=fixed, per_pass=size * PER_PASS, beside=fixed * BESIDE)


UNITS = st.builds(make_unit, st.integers(0, 4), st.integers(0, 4), st.floats(0.25, 1))
SOME_UNITS = st.lists(UNITS, min_size=1, max_size=4).map(longest_first)


def makespan(waiting: Sequence[Demand], *, slots: int, memory: int) -> float:
    threads = choose_threads(waiting, (), slots=slots, memory=memory)
    return expected_seconds(waiting, threads, slots=slots, memory=memory)


def best_makespan(waiting: Sequence[Demand], *, slots: int, memory: int) -> float:
    """Try every number of threads for every unit."""
    most = [max(1, min(one.useful, slots, memory // max(1, one.cost.memory))) for one in waiting]
    choices = itertools.product(*(range(1, number + 1) for number in most))
    return min(
        expected_seconds(waiting, dict(zip(waiting, choice, strict=True)), slots=slots, memory=memory)
        for choice in choices
    )


def equal_units(number: int, passes: int = 7, memory: int = 1) -> list[Demand]:
    return [make_demand(f"{index}.cu", passes=passes, memory=memory) for index in range(number)]


@given(SOME_UNITS, st.integers(1, 8), st.integers(4, 16))
def test_no_other_choice_is_twice_as_good(waiting: list[Demand], slots: int, memory: int) -> None:
    assert makespan(waiting, slots=slots, memory=memory) <= WORST * best_makespan(waiting, slots=slots, memory=memory)


def test_the_choice_is_nearly_always_the_best() -> None:
    rolls = random.Random(20)  # noqa: S311 - the same cases each time
    ratios = []
    for _ in range(300):
        units = [
            make_unit(rolls.randint(0, 4), rolls.randint(1, 4), rolls.uniform(0.25, 1))
            for _ in range(rolls.randint(1, 4))
        ]
        waiting, slots, memory = longest_first(units), rolls.randint(1, 8), rolls.randint(4, 16)
        best = best_makespan(waiting, slots=slots, memory=memory)
        ratios.append(makespan(waiting, slots=slots, memory=memory) / best)
    assert sum(ratios) / len(ratios) <= MEAN


@given(
    st.lists(st.tuples(st.integers(1, 7), st.integers(0, 4), st.floats(0, 60), st.floats(0, 60)), max_size=12),
    st.integers(1, 16),
    st.integers(1, 32),
)
def test_threads_never_make_it_longer_than_one_thread_each(
    units: list[tuple[int, int, float, float]], slots: int, memory: int
) -> None:
    waiting = longest_first(
        [make_demand(passes=passes, memory=size, fixed=fixed, per_pass=each) for passes, size, fixed, each in units]
    )
    one_each = expected_seconds(waiting, dict.fromkeys(waiting, 1), slots=slots, memory=memory)
    assert makespan(waiting, slots=slots, memory=memory) <= one_each


@given(SOME_UNITS, st.integers(1, 8), st.integers(0, 16), st.integers(1, 4))
def test_nothing_gets_more_than_is_useful_or_there(
    waiting: list[Demand], slots: int, memory: int, most_threads: int
) -> None:
    for one in [*waiting, make_demand(passes=7, memory=1, most_threads=most_threads)]:
        given_to = choose_threads([one], (), slots=slots, memory=memory)[one]
        assert 1 <= given_to <= min(one.useful, slots)
        assert given_to == 1 or given_to * one.cost.memory <= memory


@given(st.lists(UNITS, min_size=1, max_size=8), st.integers(1, 8), st.integers(0, 16))
def test_every_demand_gets_a_number_of_threads(waiting: list[Demand], slots: int, memory: int) -> None:
    threads = choose_threads(waiting, (), slots=slots, memory=memory)
    assert list(threads) == waiting
    assert all(number >= 1 for number in threads.values())


def test_the_only_unit_gets_a_thread_for_each_pass() -> None:
    assert list(choose_threads(equal_units(1), (), slots=16, memory=PLENTY).values()) == [7]


@pytest.mark.parametrize(("number", "threads"), [(2, 7), (4, 4), (8, 2), (16, 1)])
def test_units_of_equal_size_share_the_cores_evenly(number: int, threads: int) -> None:
    assert list(choose_threads(equal_units(number), (), slots=16, memory=PLENTY).values()) == [threads] * number


def test_with_many_more_units_than_cores_each_gets_one_thread() -> None:
    threads = choose_threads(equal_units(50), (), slots=16, memory=PLENTY).values()
    assert sum(threads) <= 50 + 16


def test_the_longest_unit_gets_the_threads() -> None:
    long, *short = [make_demand(passes=7, fixed=590, per_pass=310), *equal_units(4)]
    threads = choose_threads([long, *short], (), slots=11, memory=PLENTY << 20)
    assert threads[long] == 7
    assert all(threads[one] == 1 for one in short)


@pytest.mark.parametrize(("memory", "threads"), [(1, 1), (3, 1), (4, 2), (7, 3), (13, 4), (14, 7), (100, 7)])
def test_memory_limits_the_threads(memory: int, threads: int) -> None:
    # Each thread takes two; five or six threads are no sooner done with seven passes than four.
    assert list(choose_threads(equal_units(1, memory=2), (), slots=16, memory=memory).values()) == [threads]


def test_threads_that_bring_nothing_forward_are_not_given() -> None:
    # Four threads take two rounds for seven passes, as five and six do.
    assert list(choose_threads(equal_units(1), (), slots=6, memory=PLENTY).values()) == [4]


def test_nobody_gets_more_when_another_that_takes_as_long_cannot() -> None:
    narrow, wide = make_demand(passes=7, memory=1, most_threads=1), make_demand(passes=7, memory=1)
    for waiting in ([narrow, wide], [wide, narrow]):
        assert choose_threads(waiting, (), slots=16, memory=PLENTY) == {narrow: 1, wide: 1}


def test_what_runs_takes_its_slots_and_memory() -> None:
    running = [(make_lease(make_demand(passes=7, memory=1), 4), 10_000.0)]
    (unit,) = equal_units(1)
    held_up = [(make_lease(make_demand(memory=PLENTY), 1), 10.0)]
    assert choose_threads([unit], running, slots=4, memory=PLENTY) == {unit: 4}
    assert choose_threads([unit], held_up, slots=16, memory=PLENTY) == {unit: 7}


def test_when_the_end_is_decided_by_what_runs_already_nobody_else_gets_more() -> None:
    unit, endless = make_demand(passes=7, memory=1), make_lease(make_demand(memory=1))
    assert choose_threads([unit], [(endless, 10_000.0)], slots=16, memory=PLENTY) == {unit: 1}
    assert choose_threads([unit], [(endless, 1.0)], slots=16, memory=PLENTY) == {unit: 7}


def test_a_thousand_units_of_forty_passes_are_shared_out() -> None:
    units = equal_units(1000, passes=40)
    threads = choose_threads(units, [(make_lease(units[0]), 5.0)], slots=128, memory=PLENTY)
    assert len(threads) == 1000
    assert set(itertools.islice(threads.values(), 100, None)) == {1}


def test_nothing_to_do_takes_no_time() -> None:
    assert choose_threads([], (), slots=4, memory=4) == {}
    assert expected_seconds([], {}, slots=4, memory=4) == 0


def test_what_does_not_fit_side_by_side_is_expected_one_after_the_other() -> None:
    units = [make_demand(memory=3, fixed=10, per_pass=0), make_demand(memory=3, fixed=5, per_pass=0)]
    one_each = dict.fromkeys(units, 1)
    assert expected_seconds(units, one_each, slots=2, memory=6) == 10
    assert expected_seconds(units, one_each, slots=2, memory=5) == 15
    assert expected_seconds(units, one_each, slots=1, memory=6) == 15


def test_the_longest_comes_first_and_equal_ones_as_they_came() -> None:
    short, first, second = make_demand("s", fixed=1), make_demand("1", fixed=9), make_demand("2", fixed=9)
    assert longest_first([short, first, second]) == [first, second, short]
    assert longest_first([second, short, first]) == [second, first, short]
