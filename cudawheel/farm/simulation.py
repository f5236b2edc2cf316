"""A farm in numbers alone: the policy plays a queue of cells through, and what it decides is timed.

For estimates before a farm exists, and for showing what the policy is worth.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cudawheel.farm.policy import Need, Placement, Seat, longest_first, place


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What became of a simulated farm. Times in seconds.

    Attributes:
        makespan: from the start of the first cell to the end of the last.
        bound: below which no schedule can come: the longest cell, or all work divided by all that does it.
        deciding: processor time spent in the policy for each cell, on the machine that simulated.
        started: how often each cell was started; more than once where its worker was lost.
    """

    makespan: float
    bound: float
    deciding: float
    started: Mapping[str, int]

    @property
    def ratio(self) -> float:
        """Makespan in units of the bound."""
        return self.makespan / self.bound


def simulate(
    needs: Sequence[Need],
    seats: Sequence[Seat],
    actual: Mapping[str, float],
    *,
    overhead: float = 0.0,
    losses: Mapping[str, float] | None = None,
) -> Simulated:
    """Play a queue of cells through.

    Args:
        needs: the cells, with the times that the policy believes.
        seats: the workers, all of them idle.
        actual: the seconds that each cell takes indeed.
        overhead: seconds that a worker is busy for each cell besides: the cell's way there and the answer's way back.
        losses: workers that are lost, and when; their cells start again elsewhere, from the beginning.

    Raises:
        ValueError: a cell fits on no worker, or none is left.
    """
    farm = _Simulation(needs, seats, actual, overhead)
    for name, when in (losses or {}).items():
        heapq.heappush(farm.events, (when, 0, name, ""))
    farm.run()
    return Simulated(
        makespan=farm.end,
        bound=lower_bound(needs, seats, actual),
        deciding=farm.deciding / max(1, len(needs)),
        started=farm.started,
    )


def lower_bound(needs: Sequence[Need], seats: Sequence[Seat], actual: Mapping[str, float]) -> float:
    """Give the seconds below which no schedule can come.

    The longest cell; all work over all workers, each cell counted with the share of a worker that it takes: in cores,
    in memory, or in the number of cells at once.
    """
    cores, memory = sum(seat.cores for seat in seats), sum(seat.memory for seat in seats)
    places = sum(min(seat.most, seat.cores) for seat in seats)
    widest = {need.name: max(seat.grant(need) for seat in seats) for need in needs}
    shortest = [actual[need.name] * need.cores / widest[need.name] for need in needs]
    core_seconds = [actual[need.name] * need.cores for need in needs]
    byte_seconds = [seconds * need.memory for seconds, need in zip(core_seconds, needs, strict=True)]
    return max(
        *shortest,
        sum(shortest) / places,
        sum(core_seconds) / cores,
        sum(byte_seconds) / memory if memory else 0.0,
    )


class _Simulation:
    """The state of `simulate`. An event is a time, 0 for a loss or 1 for an end, a worker, and a cell."""

    def __init__(
        self, needs: Sequence[Need], seats: Sequence[Seat], actual: Mapping[str, float], overhead: float
    ) -> None:
        self.waiting = {need.name: need for need in longest_first(needs)}
        self.seats = {seat.name: seat for seat in seats}
        self.running: dict[tuple[str, str], Placement] = {}
        self.actual = actual
        self.overhead = overhead
        self.events: list[tuple[float, int, str, str]] = []
        self.started = dict.fromkeys(self.waiting, 0)
        self.end = self.deciding = 0.0

    def run(self) -> None:
        """Play until nothing waits and nothing runs."""
        now = 0.0
        while self.waiting or self.running:
            self._start_what_fits(now)
            if not self.running and self.waiting:
                raise ValueError(f"{next(iter(self.waiting))} fits on no worker that is left")
            now = self.events[0][0]
            while self.events and self.events[0][0] <= now:
                self._happen(*heapq.heappop(self.events))

    def _start_what_fits(self, now: float) -> None:
        before = time.process_time()
        placed = place(tuple(self.waiting.values()), tuple(self.seats.values()), now)
        self.deciding += time.process_time() - before
        for placement in placed:
            name = placement.need.name
            del self.waiting[name]
            self.started[name] += 1
            self.running[placement.seat, name] = placement
            seat = self.seats[placement.seat]
            self.seats[seat.name] = replace(seat, running=(*seat.running, placement.running))
            slower = placement.need.cores / placement.cores
            heapq.heappush(self.events, (now + self.actual[name] * slower + self.overhead, 1, seat.name, name))

    def _happen(self, when: float, kind: int, worker: str, cell: str) -> None:
        if kind == 0:
            del self.seats[worker]
            for seat, name in [key for key in self.running if key[0] == worker]:
                self.waiting[name] = self.running.pop((seat, name)).need
            self.waiting = {need.name: need for need in longest_first(tuple(self.waiting.values()))}
        elif self.running.pop((worker, cell), None) is not None:
            seat_ = self.seats[worker]
            left = tuple(item for item in seat_.running if item.name != cell)
            self.seats[worker] = replace(seat_, running=left)
            self.end = max(self.end, when)
