"""Which compiler gets how many threads, so that all of them together are done soonest.

Splitting nvcc's device passes over threads shortens one translation unit and lengthens the wait of the others: a unit's
fixed part keeps one core busy whatever it was given. So threads go where the end is decided: to the unit that would
finish last, as long as that brings the end of all forward.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from cudawheel.schedule.demand import Demand, Lease

# Beyond so many units waiting, one thread each keeps every core busy until close to the end.
_MOST_CONSIDERED = 48


def longest_first(demands: Sequence[Demand]) -> list[Demand]:
    """Sort demands by the time they are expected to take on one thread, equal ones as they came."""
    return sorted(demands, key=lambda demand: -demand.seconds())


def choose_threads(
    waiting: Sequence[Demand], running: Sequence[tuple[Lease, float]], *, slots: int, memory: int
) -> dict[Demand, int]:
    """Say how many threads each waiting demand is to get once its turn comes.

    Args:
        waiting: in the order in which they will be started.
        running: leases that are held, each with the seconds until it is expected back.
        slots: threads that may run at once, the running ones included.
        memory: bytes for all, the running ones included.
    """
    threads = best = dict.fromkeys(waiting, 1)
    considered = waiting[:_MOST_CONSIDERED]
    end, last = _simulate(considered, threads, running, slots=slots, memory=memory)
    while last is not None:
        wider = _wider(last, threads[last], slots=slots, memory=memory)
        if wider is None:
            break
        threads = {**threads, last: wider}
        new_end, last = _simulate(considered, threads, running, slots=slots, memory=memory)
        if new_end > end:
            break
        # Of several that end together each has to become wider before the end of all comes forward.
        if new_end < end:
            best, end = threads, new_end
    return best


def expected_seconds(waiting: Sequence[Demand], threads: dict[Demand, int], *, slots: int, memory: int) -> float:
    """Say how long all of them take together, started in this order on these threads, in seconds."""
    return _simulate(waiting, threads, (), slots=slots, memory=memory)[0]


def _wider(demand: Demand, threads: int, *, slots: int, memory: int) -> int | None:
    """Give the next number of threads that makes a demand shorter, or None where there is none or no room for it."""
    most = min(demand.useful, slots, memory // max(1, demand.cost.memory))
    now = demand.seconds(threads)
    return next((more for more in range(threads + 1, most + 1) if demand.seconds(more) < now), None)


def _simulate(
    waiting: Sequence[Demand],
    threads: dict[Demand, int],
    running: Sequence[tuple[Lease, float]],
    *,
    slots: int,
    memory: int,
) -> tuple[float, Demand | None]:
    """Play the schedule through; give its end, and the waiting demand that ends last, if it is one of those."""
    ends: list[tuple[float, int, int, int, Demand | None]] = [
        (seconds, number, lease.threads, lease.reserved, None) for number, (lease, seconds) in enumerate(running)
    ]
    heapq.heapify(ends)
    free_slots = slots - sum(lease.threads for lease, _ in running)
    free_memory = memory - sum(lease.reserved for lease, _ in running)
    now, end, last = 0.0, 0.0, None
    for number, demand in enumerate(waiting, start=len(running)):
        needed = threads[demand] * demand.cost.memory
        while ends and (free_slots < threads[demand] or free_memory < needed):
            now, _, slots_back, memory_back, over = heapq.heappop(ends)
            free_slots, free_memory = free_slots + slots_back, free_memory + memory_back
            end, last = (now, over) if now >= end else (end, last)
        heapq.heappush(ends, (now + demand.seconds(threads[demand]), number, threads[demand], needed, demand))
        free_slots, free_memory = free_slots - threads[demand], free_memory - needed
    for finish, _, _, _, over in sorted(ends, key=lambda item: item[:2]):
        end, last = (finish, over) if finish >= end else (end, last)
    return end, last
