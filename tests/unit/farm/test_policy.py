"""Which cell goes where: as a pure function, on any queue and any workers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cudawheel.farm.policy import Need, Running, Seat, longest_first, misfits, place

GIB = 1 << 30


def need(name: str, seconds: float = 60.0, **more: object) -> Need:
    return Need(name=name, seconds=seconds, **more)  # type: ignore[arg-type]


def seat(name: str, cores: int = 1, memory: int = 4 * GIB, **more: object) -> Seat:
    return Seat(name=name, cores=cores, memory=memory, **more)  # type: ignore[arg-type]


def busy(cores: int, memory: int = 0, end: float = 100.0, **more: object) -> Running:
    return Running(name="busy", cores=cores, memory=memory, end=end, **more)  # type: ignore[arg-type]


def where(waiting: list[Need], seats: list[Seat], now: float = 0.0) -> dict[str, str]:
    return {placement.need.name: placement.seat for placement in place(waiting, seats, now)}


def test_the_longest_starts_first_and_what_nobody_measured_before_all() -> None:
    waiting = [need("short", 1), need("long", 100), need("unknown", math.inf), need("middle", 50)]
    assert [item.name for item in longest_first(waiting)] == ["unknown", "long", "middle", "short"]
    assert where(waiting, [seat("a"), seat("b")]) == {"unknown": "a", "long": "b"}


def test_cells_spread_over_like_workers_before_they_share_one() -> None:
    placed = where([need(name) for name in "xyz"], [seat("a", cores=4), seat("b", cores=4), seat("c", cores=4)])
    assert sorted(placed.values()) == ["a", "b", "c"]


def test_a_cell_that_fits_anywhere_leaves_the_large_worker_to_one_that_does_not() -> None:
    small, large = need("small", 100, memory=GIB), need("large", 50, memory=30 * GIB)
    assert where([small, large], [seat("big", memory=64 * GIB), seat("tiny")]) == {"small": "tiny", "large": "big"}


@pytest.mark.parametrize(
    ("waiting", "there"),
    [
        (need("x", cores=2), seat("a", cores=2, running=(busy(1),))),
        (need("x", memory=3 * GIB), seat("a", cores=4, running=(busy(1, 2 * GIB),))),
        (need("x"), seat("a", cores=4, most=1, running=(busy(1),))),
        (need("x", alone=True), seat("a", cores=4, running=(busy(1),))),
        (need("x"), seat("a", cores=4, running=(busy(1, alone=True),))),
        (need("x", cuda="13.2"), seat("a", cudas=frozenset({"13.0"}))),
    ],
    ids=["cores", "memory", "cells at once", "wants it alone", "has it alone", "no compiler"],
)
def test_a_worker_without_room_gets_nothing(waiting: Need, there: Seat) -> None:
    assert place([waiting], [there], 0.0) == ()
    free = seat("free", cores=4, cudas=frozenset({"13.0", "13.2"}))
    assert where([waiting], [there, free]) == {"x": "free"}


def test_a_worker_with_fewer_cores_takes_a_cell_all_the_same_and_for_longer() -> None:
    (placement,) = place([need("x", 60, cores=8, memory=GIB)], [seat("a", cores=2)], 1000.0)
    assert (placement.cores, placement.memory, placement.end) == (2, 2 * GIB, 1240.0)


def test_little_memory_means_fewer_cores() -> None:
    (placement,) = place([need("x", cores=4, memory=3 * GIB)], [seat("a", cores=4, memory=8 * GIB)], 0.0)
    assert placement.cores == 2


def test_a_large_cell_is_not_passed_by_small_ones_for_ever() -> None:
    there = seat("a", cores=4, running=(busy(3, end=50.0),))
    large, early, late = need("large", 100, cores=4), need("early", 40), need("late", 60)
    assert where([large, early, late], [there]) == {"early": "a"}, "it is done when the large one is to start"
    assert where([late, early], [there]) == {"late": "a"}, "without the large one nothing is held"


def test_the_worker_that_is_free_first_is_held_and_the_others_are_not() -> None:
    seats = [
        seat("soon", cores=4, running=(busy(3, end=50.0),)),
        seat("later", cores=4, running=(busy(3, end=500.0),)),
    ]
    assert where([need("large", 900, cores=4), need("small", 400)], seats) == {"small": "later"}


def test_where_nobody_knows_when_it_ends_nothing_more_starts_on_the_worker_that_is_held() -> None:
    there = seat("a", cores=4, running=(busy(3, end=math.inf),))
    assert place([need("large", math.inf, cores=4), need("small", 1)], [there], 0.0) == ()


def test_a_cell_goes_to_another_host_if_there_is_one_that_can() -> None:
    again = need("x", avoid=frozenset({"h1"}))
    here, there = seat("a", host="h1"), seat("b", host="h2")
    assert where([again], [here, there]) == {"x": "b"}
    assert where([again], [here]) == {"x": "a"}
    full = seat("b", host="h2", running=(busy(1),))
    assert where([again], [here, full]) == {}, "it waits for the other one"
    assert where([again], [here, seat("b", host="h2", cores=0)]) == {"x": "a"}


def test_what_no_worker_could_ever_run_is_told() -> None:
    waiting = [need("fits", memory=GIB), need("large", memory=5 * GIB), need("other", cuda="14.0")]
    seats = [seat("a", cudas=frozenset({"13.0"}), running=(busy(1),))]
    assert [item.name for item in misfits(waiting, seats)] == ["large", "other"]


needs = st.lists(
    st.builds(
        Need,
        name=st.uuids().map(str),
        seconds=st.one_of(st.just(math.inf), st.floats(0.0, 1e5)),
        cores=st.integers(1, 20),
        memory=st.integers(0, 20) | st.integers(0, 1000),
        cuda=st.sampled_from(["", "13.0", "13.2"]),
        alone=st.booleans(),
        avoid=st.frozensets(st.sampled_from(["h1", "h2"])),
    ),
    max_size=12,
)
seats_ = st.lists(
    st.builds(
        Seat,
        name=st.uuids().map(str),
        host=st.sampled_from(["h1", "h2", "h3"]),
        cores=st.integers(1, 16),
        memory=st.integers(0, 200),
        most=st.integers(1, 4),
        cudas=st.sampled_from([None, frozenset({"13.0"}), frozenset({"13.0", "13.2"})]),
    ),
    max_size=6,
)


@given(needs, seats_)
def test_nothing_is_placed_twice_or_beyond_what_a_worker_has(waiting: list[Need], seats: list[Seat]) -> None:
    placed = place(waiting, seats, 0.0)
    names = [placement.need.name for placement in placed]
    assert len(set(names)) == len(names)
    assert set(names) <= {item.name for item in waiting}
    for there in seats:
        mine = [placement for placement in placed if placement.seat == there.name]
        assert sum(placement.cores for placement in mine) <= there.cores
        assert sum(placement.memory for placement in mine) <= there.memory
        assert len(mine) <= there.most
        assert len(mine) <= 1 or not any(placement.need.alone for placement in mine)
        assert all(there.cudas is None or p.need.cuda in {"", *there.cudas} for p in mine)


@given(needs, seats_)
def test_whoever_can_run_at_all_runs_in_the_end(waiting: list[Need], seats: list[Seat]) -> None:
    able = {item.name for item in waiting} - {item.name for item in misfits(waiting, seats)}
    done: set[str] = set()
    left = list(waiting)
    for _ in range(len(waiting) + 1):
        placed = place(left, seats, 0.0)  # each round on idle workers
        done |= {placement.need.name for placement in placed}
        left = [item for item in left if item.name not in done]
    assert done == able
