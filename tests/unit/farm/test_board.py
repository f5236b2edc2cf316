"""Which cell is where, told as stories."""

from __future__ import annotations

import pytest

from cudawheel.farm.board import Board
from cudawheel.farm.policy import Need, Seat


def seat(name: str, cores: int = 1, host: str = "") -> Seat:
    return Seat(name=name, host=host or name, cores=cores, memory=1 << 40)


def board(*cells: str, workers: tuple[str, ...] = ()) -> Board:
    made = Board(Need(name=name, seconds=10.0) for name in cells)
    for worker in workers:
        made.joined(seat(worker))
    return made


def test_cells_start_as_workers_come_and_the_board_is_finished_when_all_are_done() -> None:
    told = board("x", "y", workers=("a",))
    assert [placement.need.name for placement in told.start(0.0)] == ["x"]
    assert told.start(0.0) == ()
    told.joined(seat("b"))
    told.start(0.0)
    assert told.running == {"x": "a", "y": "b"}
    told.done("x")
    assert not told.finished
    told.done("y")
    assert told.finished


def test_a_worker_is_free_for_another_cell_before_the_wheel_of_the_last_has_arrived() -> None:
    told = board("x", "y", workers=("a",))
    told.start(0.0)
    told.free("x")
    assert [placement.need.name for placement in told.start(1.0)] == ["y"]
    told.done("y")
    assert not told.finished, "the wheel of x is on its way"


def test_a_lost_workers_cell_is_tried_on_another_host_and_alone() -> None:
    told = board("x", workers=("a",))
    told.start(0.0)
    told.joined(seat("same", cores=8, host="a"))
    told.joined(seat("other", cores=8))
    loss = told.lost("a")
    assert (loss.again, dict(loss.aside)) == (("x",), {})
    (placement,) = told.start(1.0)
    assert (placement.seat, placement.need.alone) == ("other", True)
    assert told.starts("x") == 2


def test_a_cell_that_takes_two_workers_with_it_is_set_aside() -> None:
    told = board("x", "y", workers=("a", "b", "c"))
    told.start(0.0)
    first = told.running["x"]
    told.lost(first)
    told.start(1.0)
    second = told.running["x"]
    loss = told.lost(second)
    assert dict(loss.aside) == {"x": (first, second)}
    assert "x" not in told.running
    assert told.start(2.0) == ()
    told.done("y")
    assert told.finished


def test_only_what_ran_on_a_lost_worker_is_blamed() -> None:
    told = board("x", "y", "z", workers=("a",))
    told.start(0.0)
    assert told.lost("a").again == ("x",)
    assert {need.name: need.alone for need in told.waiting} == {"x": True, "y": False, "z": False}


def test_a_neighbour_is_not_set_aside_for_what_another_cell_does() -> None:
    """Two cells on one worker: the one that kills it does so again, and the other is built."""
    told = Board([Need(name="killer", seconds=10.0), Need(name="innocent", seconds=9.0)])
    told.joined(seat("a", cores=2))
    told.start(0.0)
    assert set(told.lost("a").again) == {"killer", "innocent"}
    told.joined(seat("b", cores=2))
    (placement,) = told.start(1.0)
    assert placement.need.name == "killer", "alone, though there is a core more"
    assert dict(told.lost("b").aside) == {"killer": ("a", "b")}
    told.joined(seat("c", cores=2))
    assert [p.need.name for p in told.start(2.0)] == ["innocent"]


@pytest.mark.parametrize("times", [1, 5])
def test_who_leaves_in_order_is_no_reason_to_set_a_cell_aside(times: int) -> None:
    told = board("x")
    for number in range(times):
        told.joined(seat(f"w{number}"))
        told.start(float(number))
        loss = told.lost(f"w{number}", blame=False)
        assert (loss.again, dict(loss.aside)) == (("x",), {})
    assert not told.waiting[0].alone


def test_a_cell_that_was_taken_back_waits_again_and_blames_nobody() -> None:
    told = board("x", workers=("a",))
    told.start(0.0)
    told.back("x")
    assert [placement.need.name for placement in told.start(1.0)] == ["x"]
    told.back("nobody knows it")
    assert told.running == {"x": "a"}


def test_what_no_worker_could_run_is_told() -> None:
    told = Board([Need(name="x", seconds=1.0, memory=1 << 50), Need(name="y", seconds=1.0)])
    told.joined(seat("a"))
    assert told.homeless() == ("x",)


def test_losing_a_worker_that_nobody_knows_changes_nothing() -> None:
    told = board("x", workers=("a",))
    told.start(0.0)
    assert told.lost("b").again == ()
    assert told.running == {"x": "a"}
