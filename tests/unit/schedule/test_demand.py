"""What a demand is taken to cost, and what a lease sets aside."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from schedule_values import make_demand, make_lease

from cudawheel.schedule.demand import Cost
from cudawheel.schedule.limits import GIB

PASSES = st.integers(1, 16)


def test_only_the_passes_become_shorter_with_threads_and_in_whole_rounds() -> None:
    demand = make_demand(passes=7, fixed=60, per_pass=30)
    assert [demand.seconds(threads) for threads in range(1, 9)] == [270, 180, 150, 120, 120, 120, 90, 90]


def test_a_thread_more_than_passes_takes_what_runs_beside_them_off_the_rest() -> None:
    demand = make_demand(passes=3, fixed=60, per_pass=30, beside=9)
    assert [demand.seconds(threads) for threads in range(1, 7)] == [150, 120, 90, 81, 81, 81]


@given(PASSES, st.integers(1, 32), st.floats(0, 1000), st.floats(0, 1000), st.floats(0, 1))
def test_more_threads_never_take_longer_and_never_less_than_one_pass(
    passes: int, threads: int, fixed: float, per_pass: float, part: float
) -> None:
    beside = fixed * part
    cost = Cost(memory=GIB, fixed=fixed, per_pass=per_pass, beside=beside)
    assert cost.seconds(passes, 1) >= cost.seconds(passes, threads) >= cost.seconds(passes, threads + 1)
    assert cost.seconds(passes, threads) >= fixed - beside + per_pass


@given(PASSES, PASSES)
def test_threads_are_useful_for_passes_as_far_as_they_are_allowed(passes: int, most: int) -> None:
    assert make_demand(passes=passes).useful == passes
    assert make_demand(passes=passes, most_threads=most).useful == min(passes, most)


@given(PASSES, PASSES, st.floats(0.1, 50))
def test_one_more_thread_is_useful_for_what_runs_beside_the_passes(passes: int, most: int, beside: float) -> None:
    demand = make_demand(passes=passes, beside=beside)
    assert demand.useful == passes + 1
    assert demand.seconds(passes) > demand.seconds(passes + 1) == demand.seconds(passes + 2)
    assert make_demand(passes=passes, beside=beside, most_threads=most).useful == min(passes + 1, most)


def test_the_same_file_asked_for_twice_is_two_demands() -> None:
    first, second = make_demand("a.cu"), make_demand("a.cu")
    assert len({first, second}) == 2
    assert make_lease(first) != make_lease(second)


def test_each_thread_of_a_lease_has_memory_set_aside() -> None:
    assert make_lease(make_demand(passes=7, memory=2 * GIB), 3).reserved == 6 * GIB


@given(st.integers(1, 8), st.integers(0, 8 * GIB), st.integers(0, 64 * GIB))
def test_a_lease_may_grow_into_what_is_set_aside_and_no_further(threads: int, memory: int, resident: int) -> None:
    lease = make_lease(make_demand(passes=8, memory=memory), threads, resident=resident)
    assert lease.growth >= 0
    assert lease.growth + resident == max(lease.reserved, resident)
