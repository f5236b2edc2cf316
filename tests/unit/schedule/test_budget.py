"""The budget of all builds: the tightest of what there is and what is allowed, and when that is too little."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_machine import V2, set_memory, set_up_machine, write
from hypothesis import given
from hypothesis import strategies as st

from cudawheel.errors import MemoryBudgetError
from cudawheel.schedule.budget import (
    Budget,
    BudgetRequest,
    measure_budget,
    require_room,
    slots_for,
    tightest_limit,
)
from cudawheel.schedule.limits import GIB, MIB, memory_limits

CORES = 16
NOTHING_ASKED = BudgetRequest()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 16 cores and 20 GiB, of which 12 are free, in a cgroup of 10 GiB that holds one."""
    set_up_machine(tmp_path, monkeypatch, cores=CORES)
    set_memory(tmp_path, total=20 * GIB, available=12 * GIB)
    write(tmp_path, {"proc/self/cgroup": "0::/job", f"{V2}/job/memory.max": 10 * GIB, f"{V2}/job/memory.current": GIB})
    return tmp_path


def make_budget(memory: int) -> Budget:
    return Budget(memory=memory, reserve=2 * GIB, cores=8, slots=10, limited_by="9.0 GiB free within the machine")


@pytest.mark.parametrize(
    ("free", "allowed", "name"),
    [
        (12, None, "the cgroup job"),
        (5, None, "the machine"),
        (12, 4, "--memory"),
        (12, 9, "the cgroup job"),
        (5, 4, "the machine"),
    ],
)
def test_the_limit_that_leaves_the_least_room_counts(free: int, allowed: int | None, name: str, root: Path) -> None:
    set_memory(root, total=20 * GIB, available=free * GIB)
    request = BudgetRequest(memory=None if allowed is None else allowed * GIB)
    budget = measure_budget(request, root)
    limit = tightest_limit(request.memory, root=root)
    assert limit.name == name
    assert (budget.memory, budget.reserve) == (limit.room, limit.reserve)
    assert budget.limited_by == f"{limit.available / GIB:.1f} GiB free within {name}"


def test_the_reserve_is_taken_off(root: Path) -> None:
    cgroup = memory_limits(root)[1]
    assert measure_budget(NOTHING_ASKED, root).memory == 9 * GIB - cgroup.reserve
    assert 96 * MIB < cgroup.reserve < GIB


def test_all_that_a_person_allows_may_be_used(root: Path) -> None:
    budget = measure_budget(BudgetRequest(memory=4 * GIB), root)
    assert (budget.memory, budget.reserve) == (4 * GIB, 0)


def test_a_person_cannot_allow_more_than_there_is(root: Path) -> None:
    assert measure_budget(BudgetRequest(memory=999 * GIB), root) == measure_budget(NOTHING_ASKED, root)


def test_what_the_builds_hold_already_is_taken_off_what_a_person_allows(root: Path) -> None:
    assert tightest_limit(4 * GIB, held=3 * GIB, root=root).room == GIB
    assert tightest_limit(4 * GIB, held=5 * GIB, root=root).room == -GIB


def test_a_budget_is_never_less_than_nothing(root: Path) -> None:
    set_memory(root, total=20 * GIB, available=GIB)
    assert measure_budget(NOTHING_ASKED, root).memory == 0


@pytest.mark.parametrize(("cores", "slots"), [(1, 1), (2, 2), (3, 5), (16, 18)])
def test_a_few_more_compilers_than_cores_keep_many_busy_and_hinder_few(cores: int, slots: int) -> None:
    assert slots_for(cores) == slots


@pytest.mark.parametrize(("jobs", "slots"), [(None, 18), (1, 1), (5, 5), (18, 18), (19, 18), (1000, 18)])
def test_jobs_are_what_a_person_says_and_no_more_than_the_cores_carry(jobs: int | None, slots: int, root: Path) -> None:
    budget = measure_budget(BudgetRequest(jobs=jobs), root)
    assert (budget.slots, budget.cores) == (slots, CORES)
    assert budget.slots_by == ("--jobs" if jobs is not None and jobs == slots < slots_for(CORES) else "cores")


def test_a_quota_of_processor_time_lowers_the_slots(root: Path) -> None:
    write(root, {f"{V2}/job/cpu.max": "200000 100000"})
    budget = measure_budget(BudgetRequest(jobs=1000), root)
    assert (budget.cores, budget.slots, budget.spare) == (2, 2, 1)


def test_a_budget_says_what_there_is_and_why() -> None:
    budget = make_budget(7 * GIB)
    assert str(budget) == "7.0 GiB of memory (9.0 GiB free within the machine, 2.0 GiB kept in reserve), 8 cores"
    one = Budget(memory=GIB, reserve=0, cores=1, slots=2, limited_by="1.0 GiB free within --memory")
    assert str(one).endswith(", 1 core")


def test_a_budget_survives_as_plain_values() -> None:
    budget = make_budget(7 * GIB)
    assert Budget(**budget.to_json()) == budget


def test_a_compiler_that_does_not_fit_is_refused_with_the_figures() -> None:
    with pytest.raises(MemoryBudgetError) as caught:
        require_room(make_budget(7 * GIB), 8 * GIB, force=False)
    assert caught.value.exit_code == 21
    text = str(caught.value)
    assert "needs 8.0 GiB, and 7.0 GiB may be used" in text
    assert "9.0 GiB free within the machine" in caught.value.why
    assert "2.0 GiB of it" in caught.value.why
    assert "--force" in caught.value.remedy


@given(st.integers(0, 64 * GIB), st.integers(0, 64 * GIB), st.booleans())
def test_only_what_does_not_fit_is_refused_and_only_without_force(memory: int, needed: int, force: bool) -> None:
    refused = False
    try:
        require_room(make_budget(memory), needed, force=force)
    except MemoryBudgetError:
        refused = True
    assert refused == (needed > memory and not force)


def test_what_was_measured_is_not_blamed_on_the_recipe() -> None:
    with pytest.raises(MemoryBudgetError) as measured:
        require_room(make_budget(GIB), 2 * GIB, force=False, measured=True)
    with pytest.raises(MemoryBudgetError) as unknown:
        require_room(make_budget(GIB), 2 * GIB, force=False)
    assert "memory-per-job" not in measured.value.remedy
    assert "memory-per-job" in unknown.value.remedy
    assert "--force" in measured.value.remedy
