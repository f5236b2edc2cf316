"""Which cell is where: waiting, on a worker, or done with. Holds no Dask and no clock, so that any story can be told.

A cell whose worker is lost goes back to those that wait, and to another host if there is one. Whether the cell was to
blame nobody knows: it may have been its neighbour on the same worker, or a machine that was switched off. So it gets
the next worker to itself, and if that one is lost as well, the cell is set aside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from cudawheel.farm.policy import Need, Placement, Seat, longest_first, misfits, place

MOST_LOSSES = 2
"""So many workers a cell may take with it before it is set aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What the loss of a worker comes to.

    Attributes:
        again: cells that wait again.
        aside: cells that are set aside, with the workers that each of them has cost.
    """

    again: tuple[str, ...]
    aside: Mapping[str, tuple[str, ...]]


@dataclass(slots=True, kw_only=True)
class _Trial:
    """A cell that is not done with.

    Attributes:
        need: what it asks for.
        lost: workers that were lost while it ran.
        starts: how often it was started.
    """

    need: Need
    lost: list[str] = field(default_factory=list)
    starts: int = 0


class Board:
    """The state of one run."""

    def __init__(self, needs: Iterable[Need] = ()) -> None:
        self._trials: dict[str, _Trial] = {}
        self._waiting: dict[str, None] = {}
        self._seats: dict[str, Seat] = {}
        self._placed: dict[str, Placement] = {}
        for need in needs:
            self.add(need)

    @property
    def seats(self) -> tuple[Seat, ...]:
        """The workers, with what they run."""
        return tuple(self._seats.values())

    @property
    def waiting(self) -> tuple[Need, ...]:
        """The cells that nobody runs."""
        return tuple(self._trials[name].need for name in self._waiting)

    @property
    def running(self) -> dict[str, str]:
        """The cells that are being built, each with its worker."""
        return {name: placement.seat for name, placement in self._placed.items()}

    @property
    def finished(self) -> bool:
        """Whether nothing is left to be done."""
        return not self._trials

    def add(self, need: Need) -> None:
        """Take in a cell that is to be built."""
        self._trials[need.name] = _Trial(need=need)
        self._wait(need.name)

    def joined(self, seat: Seat) -> None:
        """Take in a worker."""
        self._seats[seat.name] = seat

    def start(self, now: float) -> tuple[Placement, ...]:
        """Let whatever finds a worker start; gives what, in order."""
        placed = place(self.waiting, self.seats, now)
        for placement in placed:
            name = placement.need.name
            del self._waiting[name]
            self._placed[name] = placement
            self._trials[name].starts += 1
            seat = self._seats[placement.seat]
            self._seats[seat.name] = replace(seat, running=(*seat.running, placement.running))
        return placed

    def starts(self, cell: str) -> int:
        """Give how often a cell was started that is not done with."""
        return self._trials[cell].starts

    def done(self, cell: str) -> None:
        """Strike a cell out, whatever became of it."""
        self.free(cell)
        self._trials.pop(cell, None)
        self._waiting.pop(cell, None)

    def back(self, cell: str) -> None:
        """Put a cell back to those that wait, with no worker to blame it for."""
        if cell in self._placed:
            self.free(cell)
            self._wait(cell)

    def lost(self, worker: str, *, blame: bool = True) -> Loss:
        """Take out a worker that is gone.

        Args:
            worker: its name.
            blame: whether its cells may be the cause: not where it went in order.
        """
        seat = self._seats.pop(worker, None)
        again: list[str] = []
        aside: dict[str, tuple[str, ...]] = {}
        for cell in [name for name, placement in self._placed.items() if placement.seat == worker]:
            del self._placed[cell]
            trial = self._trials[cell]
            if blame:
                trial.lost.append(worker)
            if len(trial.lost) >= MOST_LOSSES:
                del self._trials[cell]
                aside[cell] = tuple(trial.lost)
                continue
            if blame:
                avoid = trial.need.avoid | ({seat.host} if seat is not None and seat.host else set())
                trial.need = replace(trial.need, alone=True, avoid=avoid)
            self._wait(cell)
            again.append(cell)
        return Loss(again=tuple(again), aside=aside)

    def homeless(self) -> tuple[str, ...]:
        """Give the cells that none of the workers that are here could run even if it ran nothing else."""
        return tuple(need.name for need in misfits(self.waiting, self.seats))

    def free(self, cell: str) -> None:
        """Let a worker do something else, though its cell is not done with: its wheel is on its way."""
        placement = self._placed.pop(cell, None)
        if placement is not None and placement.seat in self._seats:
            seat = self._seats[placement.seat]
            left = tuple(item for item in seat.running if item.name != cell)
            self._seats[seat.name] = replace(seat, running=left)

    def _wait(self, cell: str) -> None:
        """Put a cell into the queue, which is kept in the order in which it is served."""
        self._waiting[cell] = None
        self._waiting = {need.name: None for need in longest_first(self.waiting)}
