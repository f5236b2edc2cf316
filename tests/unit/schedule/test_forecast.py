"""What a build is expected to do: how much it needs, how long it takes, and what limits it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from schedule_values import BESIDE, FIXED, make_compilation, make_demand, make_key

from cudawheel.schedule.budget import Budget
from cudawheel.schedule.forecast import Forecast, forecast
from cudawheel.schedule.history import History
from cudawheel.schedule.limits import GIB
from cudawheel.schedule.pool import Pool

KEY = make_key(memory=3 * GIB)
MARGIN = 1.1


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "costs.sqlite")


def make_budget(memory: int, slots: int) -> Budget:
    return Budget(memory=memory * GIB, reserve=GIB, cores=slots, slots=slots, limited_by="a test")


@pytest.mark.parametrize(
    ("memory", "slots", "decision"),
    [
        (64, 4, "up to 4 compilers at once (3.0 GiB each, never measured here), limited by cores"),
        (12, 4, "up to 4 compilers at once (3.0 GiB each, never measured here), limited by cores"),
        (11, 4, "up to 3 compilers at once (3.0 GiB each, never measured here), limited by memory"),
        (3, 4, "up to 1 compiler at once (3.0 GiB each, never measured here), limited by memory"),
        (2, 4, "no compiler fits (3.0 GiB each, never measured here); a build ends with exit code 21 without --force"),
        (0, 4, "no compiler fits (3.0 GiB each, never measured here); a build ends with exit code 21 without --force"),
    ],
)
def test_a_build_that_was_never_measured_goes_by_its_recipe(
    memory: int, slots: int, decision: str, history: History
) -> None:
    expected = forecast(KEY, 7, make_budget(memory, slots), history)
    assert expected == Forecast(largest=3 * GIB, seconds=None, decision=decision)


@pytest.mark.parametrize(
    ("memory", "said"),
    [
        (64, "up to 2 compilers at once, and 3 with the last one that waits (3.0 GiB each,"),
        (9, "up to 2 compilers at once, and 3 with the last one that waits (3.0 GiB each,"),
        (8, "up to 2 compilers at once (3.0 GiB each,"),
        (5, "up to 1 compiler at once (3.0 GiB each,"),
    ],
)
def test_a_forecast_promises_as_many_compilers_as_the_pool_starts(memory: int, said: str, history: History) -> None:
    budget = replace(make_budget(memory, 2), spare=1)
    assert forecast(KEY, 1, budget, history).decision.startswith(said)
    pool = Pool(slots=budget.slots, room=budget.memory, spare=budget.spare)
    for number in range(4):
        pool.ask(make_demand(f"{number}.cu", memory=3 * GIB), 0.0)
    started = len(list(pool.grant(0.0)))
    for demand in pool.waiting[1:]:
        pool.withdraw(demand)
    started += len(list(pool.grant(0.0)))
    assert f" {started} " in said


def test_a_unit_that_takes_no_memory_is_limited_by_cores(history: History) -> None:
    assert "limited by cores" in forecast(make_key(memory=0), 7, make_budget(1, 4), history).decision


def test_a_measured_build_goes_by_its_largest_unit(history: History) -> None:
    history.add(
        KEY,
        [
            make_compilation("a.cu", peak=GIB, cpu_seconds=90),
            make_compilation("b.cpp", kind="host", peak=2 * GIB, cpu_seconds=60),
            make_compilation("demo.so", kind="link", peak=GIB // 4, cpu_seconds=1),
        ],
    )
    expected = forecast(KEY, 1, make_budget(8, 2), history)
    assert expected.largest == int(2 * GIB * MARGIN)
    assert expected.seconds == pytest.approx(90)
    assert (
        expected.decision
        == "up to 2 compilers at once (2.2 GiB at most each as measured, about 90 s), limited by cores"
    )


def test_a_core_to_spare_shortens_a_build_by_what_runs_beside_the_passes(history: History) -> None:
    history.add(KEY, [make_compilation("a.cu", passes=1, cpu_seconds=90)])
    alone, spare = (forecast(KEY, 1, make_budget(8, slots), history) for slots in (1, 2))
    assert (alone.seconds, spare.seconds) == (pytest.approx(90), pytest.approx(90 - BESIDE * FIXED))
    assert "threads" not in alone.decision
    assert "nvcc on 2 threads for a.cu, about 81 s" in spare.decision


def test_more_passes_than_were_measured_take_longer_on_one_thread_and_not_on_as_many(history: History) -> None:
    history.add(KEY, [make_compilation("a.cu", passes=1, cpu_seconds=90)])
    assert forecast(KEY, 7, make_budget(64, 1), history).seconds == pytest.approx(59 + 7 * 31)
    wide = forecast(KEY, 7, make_budget(64, 7), history)
    assert wide.seconds == pytest.approx(90)
    assert "nvcc on 7 threads for a.cu, about 90 s" in wide.decision


def test_the_passes_are_those_of_cuda_sources_alone(history: History) -> None:
    history.add(KEY, [make_compilation("a.cpp", kind="host", cpu_seconds=60)])
    expected = forecast(KEY, 7, make_budget(64, 16), history)
    assert expected.seconds == pytest.approx(60)
    assert "threads" not in expected.decision


def test_an_earlier_build_of_other_inputs_tells_what_to_expect(history: History) -> None:
    history.add(make_key(fingerprint="before"), [make_compilation("a.cu", peak=2 * GIB)])
    assert forecast(KEY, 1, make_budget(64, 4), history).largest == int(2 * GIB * MARGIN)


def test_a_forecast_is_given_as_plain_values(history: History) -> None:
    expected = forecast(KEY, 7, make_budget(64, 4), history)
    assert Forecast(**expected.to_json()) == expected
