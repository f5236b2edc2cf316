"""The pool keeps its word: no more slots or memory than there are, everything comes back, everyone has a turn."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from schedule_values import make_demand

from cudawheel.schedule.demand import Demand, Lease
from cudawheel.schedule.neighbours import Claims
from cudawheel.schedule.pool import Pool

# How long a demand is passed over by shorter ones before what comes free is kept for it, in seconds.
PATIENCE = 30.0
# More than all demands of a test together can take.
PLENTY = 1 << 20


class PoolMachine(RuleBasedStateMachine):
    """Any order of demands, looks at the machine, and compilers that end."""

    @initialize(slots=st.integers(1, 6), room=st.integers(0, 24), spare=st.integers(0, 1))
    def begin(self, slots: int, room: int, spare: int) -> None:
        self.pool = Pool(slots=slots, room=room, spare=spare)
        self.most = slots + spare
        self.now = 0.0
        self.asked: dict[Demand, float] = {}
        self.started: list[Demand] = []

    @rule(
        passes=st.integers(1, 7),
        memory=st.integers(0, 8),
        fixed=st.integers(0, 60),
        alone=st.booleans(),
    )
    def ask(self, passes: int, memory: int, fixed: int, alone: bool) -> None:
        demand = make_demand(passes=passes, memory=memory, fixed=fixed, alone=alone)
        self.pool.ask(demand, self.now)
        self.asked[demand] = self.now

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(room=st.integers(-4, 24), resident=st.integers(0, 8), why=st.sampled_from(["", "", "stalled"]))
    def look(self, room: int, resident: int, why: str) -> None:
        self.pool.room, self.pool.withheld = room, why
        for lease in self.pool.held:
            lease.resident = resident

    @rule(memory=st.integers(0, 8), threads=st.integers(0, 8))
    def hear_of_neighbours(self, memory: int, threads: int) -> None:
        self.pool.elsewhere = Claims(memory=memory, threads=threads)

    @rule()
    def grant(self) -> None:
        held_before = self.pool.held
        granted = []
        for lease in self.pool.grant(self.now):
            assert self.pool.unclaimed >= 0, "a lease was granted beyond the room that was left"
            free = max(1, self.most - self.pool.elsewhere.threads)
            assert sum(one.threads for one in self.pool.held) <= free, "a lease was granted beyond the slots"
            granted.append(lease)
        if self.pool.withheld:
            assert len(granted) <= (0 if held_before else 1)
        self.check_order(granted)
        self.started += [lease.demand for lease in granted]

    def check_order(self, granted: list[Lease]) -> None:
        seconds = [lease.demand.seconds() for lease in granted]
        assert seconds == sorted(seconds, reverse=True)
        overdue = [one.seconds() for one in self.pool.waiting if self.now - self.asked[one] > PATIENCE]
        if overdue and granted:
            assert min(seconds) >= max(overdue), "a shorter one was let past one that has waited long enough"

    @precondition(lambda self: self.pool.stuck() is not None)
    @rule()
    def grant_regardless(self) -> None:
        stuck = self.pool.stuck()
        assert stuck is not None
        lease = self.pool.grant_regardless(stuck, self.now)
        assert lease.threads == 1
        self.started.append(stuck)

    @precondition(lambda self: self.pool.held)
    @rule(index=st.integers(0, 9), twice=st.booleans())
    def give_back(self, index: int, twice: bool) -> None:
        lease = self.pool.held[index % len(self.pool.held)]
        claims, room = self.pool.claims, self.pool.unclaimed
        for _ in range(1 + twice):
            self.pool.give_back(lease)
        assert self.pool.claims + Claims(memory=lease.growth, threads=lease.threads) == claims
        assert self.pool.unclaimed == room + lease.growth

    @precondition(lambda self: self.pool.waiting)
    @rule(index=st.integers(0, 9))
    def withdraw(self, index: int) -> None:
        demand = self.pool.waiting[index % len(self.pool.waiting)]
        self.pool.withdraw(demand)
        self.pool.withdraw(demand)
        assert demand not in self.pool.waiting
        del self.asked[demand]

    @invariant()
    def keeps_its_word(self) -> None:
        held = self.pool.held
        assert sum(lease.threads for lease in held) <= self.most
        assert all(1 <= lease.threads <= lease.demand.useful for lease in held)
        assert len(held) == 1 or not any(lease.demand.alone for lease in held)
        assert not {lease.demand for lease in held} & set(self.pool.waiting)

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        self.pool.room, self.pool.withheld, self.pool.elsewhere = PLENTY, "", Claims()
        while self.pool.held or self.pool.waiting:
            self.grant()
            assert self.pool.held, "something waits though nothing runs and there is plenty of room"
            self.pool.give_back(self.pool.held[0])
        assert (self.pool.free_slots, self.pool.unclaimed) == (self.pool.slots, PLENTY)
        assert len(self.started) == len(set(self.started))
        assert set(self.started) == set(self.asked)


PoolMachine.TestCase.settings = settings(stateful_step_count=30)
TestAnyOrderOfEvents = PoolMachine.TestCase


def test_only_the_last_that_waits_gets_a_spare_slot_and_only_one_thread() -> None:
    pool = Pool(slots=2, room=PLENTY, spare=1)
    assert [lease.threads for lease in start_all(pool, *[make_demand(passes=3, memory=1) for _ in range(4)])] == [1, 1]
    pool.withdraw(pool.waiting[0])
    assert [lease.threads for lease in pool.grant(1.0)] == [1]
    assert start_all(pool, make_demand(memory=1)) == []


def start_all(pool: Pool, *demands: Demand, now: float = 0.0) -> list[Lease]:
    for demand in demands:
        pool.ask(demand, now)
    return list(pool.grant(now))


def test_the_longest_starts_first() -> None:
    pool = Pool(slots=2, room=PLENTY)
    demands = [make_demand(f"{seconds}.cu", memory=1, fixed=seconds, per_pass=0) for seconds in (5, 60, 1, 30)]
    assert [lease.demand.source for lease in start_all(pool, *demands)] == ["60.cu", "30.cu"]
    assert [demand.source for demand in pool.waiting] == ["5.cu", "1.cu"]


def test_a_smaller_one_is_let_past_one_that_finds_no_room() -> None:
    pool = Pool(slots=4, room=10)
    big, small = make_demand(memory=11, fixed=60), make_demand(memory=4, fixed=5)
    assert [lease.demand for lease in start_all(pool, big, small)] == [small]


def test_what_a_lease_may_grow_into_is_not_given_to_others() -> None:
    pool = Pool(slots=4, room=10)
    (lease,) = start_all(pool, make_demand(memory=6), make_demand(memory=6))
    assert pool.unclaimed == 4
    lease.resident, pool.room = 2, 8
    assert pool.unclaimed == 4
    lease.resident, pool.room = 8, 12
    assert [lease.demand.cost.memory for lease in pool.grant(1.0)] == [6]


def test_threads_are_given_as_far_as_memory_and_slots_are_left() -> None:
    pool = Pool(slots=8, room=9)
    (lease,) = start_all(pool, make_demand(passes=7, memory=2))
    assert lease.threads == 4


@pytest.mark.parametrize(("asked_at", "threads"), [(0, 1), (1000, 7), (2000, 7)])
def test_threads_are_not_spent_on_one_that_is_done_before_what_runs_already(asked_at: int, threads: int) -> None:
    pool = Pool(slots=8, room=PLENTY)
    start_all(pool, make_demand("long.cpp", kind="host", memory=1, fixed=1000, per_pass=0))
    (lease,) = start_all(pool, make_demand(passes=7, memory=1), now=asked_at)
    assert lease.threads == threads


def test_one_that_has_to_run_alone_does_and_lets_nobody_in() -> None:
    pool = Pool(slots=4, room=PLENTY)
    alone = make_demand("alone.cu", memory=1, fixed=60, alone=True)
    (first,) = start_all(pool, make_demand(memory=1))
    assert start_all(pool, alone) == []
    pool.give_back(first)
    (lease,) = start_all(pool, make_demand(memory=1))
    assert lease.demand is alone
    pool.give_back(lease)
    assert len(list(pool.grant(0.0))) == 1


def test_nothing_new_starts_while_it_is_withheld_and_something_runs() -> None:
    pool = Pool(slots=4, room=PLENTY)
    (first,) = start_all(pool, make_demand(memory=1))
    pool.withheld = "the reserve is being eaten"
    assert start_all(pool, make_demand(memory=1), make_demand(memory=1)) == []
    pool.give_back(first)
    assert len(list(pool.grant(0.0))) == 1
    pool.withheld = ""
    assert len(list(pool.grant(0.0))) == 1


def test_the_longest_of_those_that_find_no_room_is_stuck_only_while_nothing_runs() -> None:
    pool = Pool(slots=4, room=4)
    assert pool.stuck() is None
    short, long = (make_demand(memory=8, fixed=seconds) for seconds in (1, 60))
    assert start_all(pool, short, long) == []
    assert pool.stuck() is long
    lease = pool.grant_regardless(long, 0.0)
    assert pool.stuck() is None
    assert pool.unclaimed == -4
    pool.give_back(lease)
    assert pool.stuck() is short


def test_what_neighbours_have_promised_is_not_given_away_again() -> None:
    pool = Pool(slots=4, room=10)
    pool.elsewhere = Claims(memory=5, threads=3)
    assert (pool.unclaimed, pool.free_slots) == (5, 1)
    assert start_all(pool, make_demand(memory=6)) == []
    (lease,) = start_all(pool, make_demand(passes=7, memory=1))
    assert lease.threads == 1
    assert (pool.claims, pool.unclaimed) == (Claims(memory=1, threads=1), 4)


def test_neighbours_that_keep_every_core_busy_leave_one_slot() -> None:
    pool = Pool(slots=4, room=10)
    pool.elsewhere = Claims(threads=9)
    assert len(start_all(pool, make_demand(memory=1), make_demand(memory=1))) == 1
    assert list(pool.grant(0.0)) == []


def run_small_ones_for(pool: Pool, seconds: int) -> list[tuple[int, Lease]]:
    """Let a new demand that takes ten seconds and half of the room come in each second."""
    started = []
    for now in range(seconds):
        for lease in pool.held:
            if now - lease.started >= lease.demand.seconds():
                pool.give_back(lease)
        pool.ask(make_demand("small.cu", memory=4, fixed=10, per_pass=0), now)
        started += [(now, lease) for lease in pool.grant(now)]
    return started


@pytest.mark.parametrize("alone", [False, True])
def test_a_stream_of_smaller_ones_holds_up_nobody_beyond_the_patience(alone: bool) -> None:
    pool = Pool(slots=8, room=10)
    for lease in start_all(pool, make_demand(memory=4, fixed=2, per_pass=0)):
        assert lease.demand.cost.memory == 4
    big = make_demand("big.cu", memory=10, fixed=20, per_pass=0, alone=alone)
    pool.ask(big, 0.0)
    started = run_small_ones_for(pool, 100)
    at = next(now for now, lease in started if lease.demand is big)
    assert PATIENCE < at <= PATIENCE + 10 + 1
    assert any(now < PATIENCE for now, _ in started), "smaller ones were not let past at first"
    assert any(now > at for now, _ in started), "nothing went on after it"
