"""The suite for chamferdist: it passes a right implementation, and notices every control and more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the suite needs torch")
pytest.importorskip("numpy", reason="the suite needs numpy")

import neighbours_stand_in as stand_in

from cudawheel.verify.suite import Changes, Measured, WrongError, load_suite
from cudawheel.verify.suites.chamferdist.subject import Subject

SUITE = load_suite("chamferdist")
RIGHT = Subject(knn=stand_in.knn, chamfer=stand_in.chamfer, quick=True)
CHECKS = {check.name: check for check in SUITE.checks(RIGHT)}
ON_CPU = [check.name for check in CHECKS.values() if "cpu" in check.devices and check.name != "device code"]
CONTROLS = [control for control in SUITE.controls(RIGHT) if "cpu" in control.devices]

Answer = Callable[[Any, Any, Any, Any, int], tuple[Any, Any]]


def run(name: str, subject: Subject) -> Measured:
    return CHECKS[name].run(subject, "cpu")


def fails(name: str, subject: Subject) -> bool:
    try:
        return bool(run(name, subject).exceeded)
    except WrongError:
        return True


@pytest.mark.parametrize("name", ON_CPU)
def test_a_right_implementation_passes(name: str) -> None:
    measured = run(name, RIGHT)
    assert measured.exceeded == (), measured.explain()


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
def test_each_control_changes_answers_and_is_noticed_by_all_its_checks(control: Any) -> None:
    changes = Changes()
    broken = control.breaks(RIGHT, changes)
    assert [name for name in control.checks if fails(name, broken)] == list(control.checks)
    assert changes.count > 0


def test_names_of_checks_are_unique_and_controls_name_them() -> None:
    assert len(CHECKS) == len(SUITE.checks(RIGHT))
    assert {name for control in SUITE.controls(RIGHT) for name in control.checks} <= set(CHECKS)


def expanded(one: Any, other: Any, _lengths1: Any, _lengths2: Any, k: int) -> tuple[Any, Any]:
    """By a^2 - 2ab + b^2, which is quick and loses digits."""
    apart = one.square().sum(-1)[:, :, None] - 2 * one @ other.mT + other.square().sum(-1)[:, None]
    return apart.topk(k, dim=2, largest=False)


def always_padded(one: Any, other: Any, lengths1: Any, lengths2: Any, k: int) -> tuple[Any, Any]:
    distances, indices = stand_in.knn(one, other, lengths1, lengths2, k)
    return torch.where(distances == 0, float("inf"), distances), indices


def same_point_twice(one: Any, other: Any, lengths1: Any, lengths2: Any, k: int) -> tuple[Any, Any]:
    distances, indices = stand_in.knn(one, other, lengths1, lengths2, k)
    return distances, indices[..., :1].expand_as(indices).clone()


def as_it_lies(one: Any, other: Any, lengths1: Any, lengths2: Any, k: int) -> tuple[Any, Any]:
    """Read memory as if it was contiguous."""
    flat = [torch.as_strided(part, part.shape, torch.empty(part.shape).stride()) for part in (one, other)]
    return stand_in.knn(flat[0], flat[1], lengths1, lengths2, k)


def without_gradient(one: Any, other: Any, lengths1: Any, lengths2: Any, k: int) -> tuple[Any, Any]:
    distances, indices = stand_in.knn(one, other.detach(), lengths1, lengths2, k)
    return distances + 0 * other.sum(), indices


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("far from the origin", expanded),
        ("fewer than asked for", always_padded),
        ("ties", same_point_twice),
        ("strides", as_it_lies),
        ("gradients", without_gradient),
        ("nearest neighbour", lambda *given: stand_in.knn(*given)[::-1]),
        ("nearest neighbour", lambda *given: (stand_in.knn(*given)[0], stand_in.knn(*given)[1].int())),
        ("float64", lambda one, other, *rest: stand_in.knn(one.float().double(), other.float().double(), *rest)),
    ],
)
def test_faults_that_are_no_controls_are_seen_too(name: str, answer: Answer) -> None:
    assert fails(name, replace(RIGHT, knn=answer))


def test_arguments_that_are_taken_are_named() -> None:
    lenient = replace(RIGHT, knn=lambda one, other, *rest: stand_in.knn(one.float(), other.float(), *rest))
    measured = run("other types", lenient)
    assert measured.values["wrong arguments taken"] == 6
    assert "torch.int32" in measured.detail


@pytest.mark.parametrize("name", ["reductions", "chamfer, both ways", "same cloud", "gradient of chamfer"])
def test_a_chamfer_distance_that_is_off_is_seen(name: str) -> None:
    def off(source: Any, target: Any, **options: Any) -> Any:
        return 1.001 * stand_in.chamfer(source, target, **options) + 1e-3

    assert fails(name, replace(RIGHT, chamfer=off))
