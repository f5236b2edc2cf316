"""The one pool of memory and slots that every compiler of every build draws from.

Plain bookkeeping: no clock, no thread, no process of its own, so that it can be held to its word by a test. What the
machine has left comes in as `room`, from whoever looks at it.
"""

from __future__ import annotations

from collections.abc import Iterator

from cudawheel.schedule.allocation import choose_threads, longest_first
from cudawheel.schedule.demand import Demand, Lease
from cudawheel.schedule.neighbours import Claims

# How long smaller demands may be let past one that finds no room, in seconds; then what comes free is kept for it.
_PATIENCE = 30.0


class Pool:
    """Who holds what, and who waits.

    Args:
        slots: compilers, or threads of one, at once.
        room: bytes that may be taken beyond what is in use now.
        spare: slots beyond those for the last one that waits: sharing a core from now on, it ends sooner than if it
            waited for one, and no core is idle while it runs alone at the end.

    Attributes:
        room: to be set whenever the machine was looked at, together with `resident` of the leases.
        withheld: why nothing new may start now; empty when it may.
        elsewhere: what other pools on this machine have promised.
    """

    def __init__(self, *, slots: int, room: int, spare: int = 0) -> None:
        self.slots = slots
        self._spare = spare
        self.room = room
        self.withheld = ""
        self.elsewhere = Claims()
        self._waiting: dict[Demand, float] = {}
        self._held: list[Lease] = []

    @property
    def held(self) -> tuple[Lease, ...]:
        """The leases that are out, oldest first."""
        return tuple(self._held)

    @property
    def waiting(self) -> tuple[Demand, ...]:
        """The demands that have not been met, in the order in which they came."""
        return tuple(self._waiting)

    @property
    def unclaimed(self) -> int:
        """Bytes that no lease holds or may still grow into, here or elsewhere."""
        return self.room - self.elsewhere.memory - self.claims.memory

    @property
    def free_slots(self) -> int:
        """Slots that nobody holds; one is always left to a pool of which nothing runs."""
        free = self.slots - self.elsewhere.threads - self.claims.threads
        return free if self._held else max(1, free)

    @property
    def claims(self) -> Claims:
        """What the leases may still take."""
        return Claims(
            memory=sum(lease.growth for lease in self._held), threads=sum(lease.threads for lease in self._held)
        )

    def ask(self, demand: Demand, now: float) -> None:
        """Put a demand into the queue."""
        self._waiting[demand] = now

    def withdraw(self, demand: Demand) -> None:
        """Take a demand back, if it still waits."""
        self._waiting.pop(demand, None)

    def give_back(self, lease: Lease) -> None:
        """Take back what a lease held; giving back twice is giving back once."""
        if lease in self._held:
            self._held.remove(lease)

    def stuck(self) -> Demand | None:
        """Give the demand that waits although nothing runs, because it finds no room even so."""
        return None if self._held else next(iter(longest_first(self.waiting)), None)

    def grant(self, now: float) -> Iterator[Lease]:
        """Hand out whatever can start now, the longest first."""
        if self.withheld and self._held:
            return
        order = longest_first(self.waiting)
        # The expected end of what runs is counted from its start; what is overdue may end at any moment.
        running = [(held, max(0.0, held.started + held.demand.seconds(held.threads) - now)) for held in self._held]
        memory = self.unclaimed + sum(held.reserved for held in self._held)
        slots = self.free_slots + self.claims.threads
        threads = choose_threads(order, running, slots=slots, memory=memory)
        for demand in order:
            lease = self._try(demand, threads[demand], now)
            if lease is not None:
                yield lease
            elif now - self._waiting[demand] > _PATIENCE:
                return

    def grant_regardless(self, demand: Demand, now: float) -> Lease:
        """Let a demand start on one thread, whatever room there is."""
        return self._start(demand, 1, now)

    def _try(self, demand: Demand, threads: int, now: float) -> Lease | None:
        if self._held and (demand.alone or self.withheld):
            return None
        if any(held.demand.alone for held in self._held):
            return None
        affordable = self.unclaimed // max(1, demand.cost.memory)
        possible = min(threads, self._slots_for_one(), affordable)
        return self._start(demand, possible, now) if possible >= 1 else None

    def _slots_for_one(self) -> int:
        """Give the slots for the next one to start: those that are free, or a spare one for the last."""
        is_last = len(self._waiting) == 1
        return max(self.free_slots, min(1, self.free_slots + self._spare)) if is_last else self.free_slots

    def _start(self, demand: Demand, threads: int, now: float) -> Lease:
        del self._waiting[demand]
        lease = Lease(demand=demand, threads=threads, started=now)
        self._held.append(lease)
        return lease
