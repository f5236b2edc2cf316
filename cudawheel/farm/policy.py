"""Which cell goes to which worker next, as a pure function: the farm asks it, and so does the simulation.

Longest first, because a long cell that starts last is what everybody waits for. A cell whose memory or cores are free
nowhere keeps its turn: the worker that will have room for it first is held for it, and takes meanwhile only what is
expected to be done by then. Without that, small cells would keep a large one waiting for ever.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a cell asks of a worker.

    Attributes:
        name: of the cell.
        seconds: how long it is expected to take on that many cores; infinite where nobody has measured it, so that
            what may be the longest is not started last.
        cores: how many it can make use of; a worker that has fewer may take it all the same.
        memory: bytes for each of them.
        cuda: release of the toolkit, for which a worker has to have a host compiler; empty for any.
        alone: whether it is to have a worker to itself, as after a worker was lost while it ran.
        avoid: hosts that it goes to only if there are no others.
    """

    name: str
    seconds: float
    cores: int = 1
    memory: int = 0
    cuda: str = ""
    alone: bool = False
    avoid: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A cell on its worker.

    Attributes:
        cores: that it was given.
        memory: bytes that it was given.
        end: when it is expected to be done, in seconds on the clock of `place`.
        alone: whether nothing else may run beside it.
    """

    name: str
    cores: int
    memory: int
    end: float
    alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A worker.

    Attributes:
        name: its address.
        label: what a person knows it by; its address where it has no name.
        host: of its machine.
        cores: of it, all in all.
        memory: bytes of it, all in all.
        most: how many cells it runs at once.
        cudas: releases of CUDA for which it has a host compiler; None for all.
        running: what it runs.
    """

    name: str
    cores: int
    memory: int
    label: str = ""
    host: str = ""
    most: int = 1 << 16
    cudas: frozenset[str] | None = None
    running: tuple[Running, ...] = ()

    def grant(self, need: Need) -> int:
        """Give the cores that a cell would get here if nothing else ran; 0 if it can never run here."""
        if self.cudas is not None and need.cuda and need.cuda not in self.cudas:
            return 0
        return max(0, min(need.cores, self.cores, self.memory // need.memory if need.memory else need.cores))


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A cell that is to start now.

    Attributes:
        seat: name of the worker.
        cores: that it gets.
        memory: bytes that it gets.
        end: when it is expected to be done.
    """

    need: Need
    seat: str
    cores: int
    memory: int
    end: float

    @property
    def running(self) -> Running:
        """What its worker runs from now on."""
        return Running(name=self.need.name, cores=self.cores, memory=self.memory, end=self.end, alone=self.need.alone)


@dataclass(slots=True)
class _Room:
    """What is free on a worker, while cells are being placed; `held_until` is when a waiting cell is to start there."""

    seat: Seat
    cores: int = field(init=False)
    memory: int = field(init=False)
    running: list[Running] = field(init=False)
    held_until: float = math.inf

    def __post_init__(self) -> None:
        self.running = list(self.seat.running)
        self.cores = self.seat.cores - sum(item.cores for item in self.running)
        self.memory = self.seat.memory - sum(item.memory for item in self.running)

    @property
    def open(self) -> bool:
        """Whether anything more may start at all."""
        full = self.cores < 1 or len(self.running) >= self.seat.most
        return not full and not any(item.alone for item in self.running)

    def fits(self, need: Need, cores: int, now: float) -> bool:
        """Say whether a cell may start here now."""
        if not cores or not self.open or cores > self.cores or cores * need.memory > self.memory:
            return False
        if need.alone and self.running:
            return False
        return now + _seconds(need, cores) <= self.held_until

    def start(self, placement: Placement) -> None:
        """Take a cell in."""
        self.running.append(placement.running)
        self.cores -= placement.cores
        self.memory -= placement.memory

    def free_for(self, need: Need, cores: int, now: float) -> float:
        """Say when a cell that finds no room now is expected to find it."""
        ends = sorted(self.running, key=lambda item: item.end)
        left, free_cores, free_memory = len(ends), self.cores, self.memory
        for item in ends:
            left, free_cores, free_memory = left - 1, free_cores + item.cores, free_memory + item.memory
            enough = free_cores >= cores and free_memory >= cores * need.memory and left < self.seat.most
            if enough and not (need.alone and left):
                return max(now, item.end)
        return math.inf


def place(waiting: Sequence[Need], seats: Sequence[Seat], now: float) -> tuple[Placement, ...]:
    """Say which cells start now, and where.

    Args:
        waiting: the cells that nobody runs.
        seats: the workers, with what they run.
        now: seconds, on the clock that `Running.end` is on.

    Returns:
        The cells that start, in order; none of them twice, and no worker beyond its cores, memory and number of cells.
    """
    rooms = [_Room(seat) for seat in seats]
    open_rooms = [room for room in rooms if room.open]
    placed: list[Placement] = []
    held = False
    for need in longest_first(waiting):
        if not open_rooms:
            break
        fitting = [room for room in open_rooms if room.fits(need, room.seat.grant(need), now)]
        fitting = _elsewhere(need, fitting, rooms)
        if fitting:
            room = min(fitting, key=_preference)
            placed.append(_start(need, room, now))
            open_rooms = [room for room in open_rooms if room.open]
        elif not held:
            held = _hold(need, rooms, now)
    return tuple(placed)


def longest_first(waiting: Sequence[Need]) -> list[Need]:
    """Sort cells by the time they are expected to take, what was never measured first, equal ones as they came."""
    return sorted(waiting, key=lambda need: -need.seconds)


def misfits(waiting: Sequence[Need], seats: Sequence[Seat]) -> tuple[Need, ...]:
    """Give the cells that none of these workers could run even if it ran nothing else."""
    return tuple(need for need in waiting if not any(seat.grant(need) for seat in seats))


def _elsewhere(need: Need, fitting: list[_Room], rooms: Sequence[_Room]) -> list[_Room]:
    """Leave out the hosts that a cell avoids, unless no worker on another host could ever run it."""
    if not need.avoid or not any(room.seat.grant(need) for room in rooms if room.seat.host not in need.avoid):
        return fitting
    return [room for room in fitting if room.seat.host not in need.avoid]


def _preference(room: _Room) -> tuple[int, int, str]:
    """Order workers: machines with little memory first, which leaves the others to cells that need more; then idle."""
    return round(math.log2(max(1, room.seat.memory))), -room.cores, room.seat.name


def _start(need: Need, room: _Room, now: float) -> Placement:
    cores = room.seat.grant(need)
    placement = Placement(
        need=need, seat=room.seat.name, cores=cores, memory=cores * need.memory, end=now + _seconds(need, cores)
    )
    room.start(placement)
    return placement


def _hold(need: Need, rooms: Sequence[_Room], now: float) -> bool:
    """Hold the worker that will have room for a cell first; gives whether there is one."""
    able = [(room, cores) for room in rooms if (cores := room.seat.grant(need))]
    away = [(room, cores) for room, cores in able if room.seat.host not in need.avoid]
    if not able:
        return False
    times = [(room.free_for(need, cores, now), len(room.running), room) for room, cores in away or able]
    when, _, room = min(times, key=lambda item: item[:2])
    # If nobody knows when, nothing more starts there.
    room.held_until = when if when < math.inf else now
    return True


def _seconds(need: Need, cores: int) -> float:
    """Give the time on fewer cores than a cell could use, taken to be in proportion."""
    return need.seconds * need.cores / cores
