"""The farm in numbers: what the policy is worth."""

from __future__ import annotations

import random

import pytest

from cudawheel.farm.policy import Need, Seat
from cudawheel.farm.simulation import lower_bound, simulate

GIB = 1 << 30
# Seconds of builds as they were measured on two cores: benchmarks/results/schedule-2-cores.txt.
RANGES = ((70, 110), (125, 270), (30, 80))


def queue(cells: int, seed: int = 3) -> tuple[list[Need], dict[str, float]]:
    chance = random.Random(seed)  # noqa: S311 - a simulation
    actual = {str(number): chance.uniform(*RANGES[number % 3]) for number in range(cells)}
    return [Need(name=name, seconds=seconds, memory=GIB) for name, seconds in actual.items()], actual


def workers(count: int, **more: object) -> list[Seat]:
    return [Seat(name=f"w{n}", host=f"h{n}", **{"cores": 1, "memory": 4 * GIB, **more}) for n in range(count)]  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [8, 64, 256])
def test_a_thousand_cells_end_close_to_the_lower_bound(count: int) -> None:
    needs, actual = queue(1000)
    found = simulate(needs, workers(count), actual)
    assert 1.0 <= found.ratio <= 1.15
    assert set(found.started.values()) == {1}


def test_the_order_matters_where_little_is_left_for_each_worker() -> None:
    needs, actual = queue(1000)
    blind = [Need(name=need.name, seconds=float("inf"), memory=need.memory) for need in needs]
    informed = simulate(needs, workers(256), actual)
    assert informed.makespan < simulate(blind, workers(256), actual).makespan


def test_one_worker_does_one_after_the_other() -> None:
    needs, actual = queue(9)
    found = simulate(needs, workers(1), actual, overhead=2.0)
    assert found.makespan == pytest.approx(sum(actual.values()) + 9 * 2.0)
    assert found.bound == pytest.approx(sum(actual.values()))


def test_the_longest_cell_is_a_bound_of_its_own() -> None:
    needs, actual = queue(3)
    assert lower_bound(needs, workers(50), actual) == max(actual.values())


@pytest.mark.parametrize(
    ("need", "seat", "bound"),
    [
        (Need(name="x", seconds=10, cores=2), Seat(name="a", cores=4, memory=0), 20.0),
        (Need(name="x", seconds=10, memory=GIB), Seat(name="a", cores=4, memory=GIB), 40.0),
        (Need(name="x", seconds=10), Seat(name="a", cores=4, memory=0, most=2), 20.0),
        (Need(name="x", seconds=10, cores=8), Seat(name="a", cores=2, memory=0), 160.0),
    ],
    ids=["cores", "memory", "cells at once", "fewer cores than a cell could use"],
)
def test_a_bound_counts_what_runs_out_first(need: Need, seat: Seat, bound: float) -> None:
    four = [Need(name=str(n), seconds=need.seconds, cores=need.cores, memory=need.memory) for n in range(4)]
    actual = dict.fromkeys("0123", 10.0)
    assert lower_bound(four, [seat], actual) == pytest.approx(bound)
    assert simulate(four, [seat], actual).makespan == pytest.approx(bound)


def test_cells_of_a_lost_worker_start_again_elsewhere() -> None:
    needs, actual = queue(30)
    found = simulate(needs, workers(4), actual, losses={"w0": 20.0, "w1": 500.0})
    assert sum(found.started.values()) == 32
    assert found.makespan >= simulate(needs, workers(4), actual).makespan


def test_a_cell_that_fits_nowhere_ends_the_simulation() -> None:
    needs, actual = queue(2)
    with pytest.raises(ValueError, match="fits on no worker"):
        simulate(needs, workers(1), actual, losses={"w0": 1.0})
