"""Checks of what the functions are given: views, other types, points that fit nothing, and none at all."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch

from cudawheel.verify.oracles.neighbours import Faults
from cudawheel.verify.suite import Check, Measured
from cudawheel.verify.suites.chamferdist.subject import Subject, Tensor, cloud, judge_all, report

_TAKEN = "wrong arguments taken"


def is_refused(attempt: Callable[[], object]) -> bool:
    """Whether a call raises instead of answering, whatever it raises."""
    try:
        attempt()
    except Exception:  # noqa: BLE001 - packages differ in what they raise
        return True
    return False


def count_taken(attempts: dict[str, Callable[[], object]]) -> Measured:
    """Count the attempts that are not refused."""
    taken = [name for name, attempt in attempts.items() if not is_refused(attempt)]
    detail = f"{len(attempts) - len(taken)} of {len(attempts)} refused" + (
        f"; taken: {', '.join(taken)}" if taken else ""
    )
    return Measured(values={_TAKEN: len(taken)}, tolerance={_TAKEN: 0}, detail=detail)


def strides(subject: Subject, device: str) -> Measured:
    """Give the same points in memory that is laid out otherwise."""
    one, other = cloud(50, 2, 30, 3), cloud(51, 2, 40, 3)
    first, second = torch.from_numpy(one).to(device), torch.from_numpy(other).to(device)
    views: dict[str, Callable[[Tensor], Tensor]] = {
        "transposed": lambda points: points.transpose(1, 2).contiguous().transpose(1, 2),
        "every second point": lambda points: points.repeat_interleave(2, 1)[:, ::2],
        "part of a larger one": lambda points: torch.nn.functional.pad(points, (1, 2, 3, 1))[:, 3:-1, 1:-2],
        "behind others": lambda points: torch.cat((points, points))[len(points) :],
    }
    parts = [
        judge_all(one, other, subject.knn(view(first), view(second), None, None, 3), first, 3)
        for view in views.values()
    ]
    return report(Faults.join(parts), ", ".join(views))


def other_types(subject: Subject, device: str) -> Measured:
    """Give numbers that are not float32 or float64, and clouds of two types."""
    attempts: dict[str, Callable[[], object]] = {}
    for kind in (torch.float16, torch.bfloat16, torch.int32, torch.int64, torch.bool):
        points = torch.ones((1, 5, 3), device=device).to(kind)
        attempts[str(kind)] = functools.partial(subject.knn, points, points, None, None, 1)
    single = torch.ones((1, 5, 3), device=device)
    attempts["float32 among float64"] = lambda: subject.knn(single, single.double(), None, None, 1)
    counts = torch.full((1,), 5, dtype=torch.int32, device=device)
    attempts["lengths of int32"] = lambda: subject.knn(single, single, counts, counts, 1)
    return count_taken(attempts)


def double(subject: Subject, device: str) -> Measured:
    """Give float64: it is refused, or computed as such."""
    one, other = cloud(52, 2, 30, 3).astype(np.float64) / 3, cloud(53, 2, 40, 3).astype(np.float64) / 7
    first = torch.from_numpy(one).to(device)
    try:
        answer = subject.knn(first, torch.from_numpy(other).to(device), None, None, 2)
    except (RuntimeError, TypeError, ValueError) as refusal:
        return Measured(values={_TAKEN: 0}, tolerance={_TAKEN: 0}, detail=f"refused: {str(refusal).splitlines()[0]}")
    faults = judge_all(one, other, answer, first, 2)
    name = "largest error of a squared distance (relative)"
    return Measured(values={name: faults.distance}, tolerance={name: 1e-13}, detail="computed in float64")


def other_shapes(subject: Subject, device: str) -> Measured:
    """Give clouds that do not belong together, or are none."""
    points = torch.ones((2, 5, 3), device=device)
    functions: dict[str, Callable[[Tensor, Tensor], object]] = {
        "neighbours": lambda one, other: subject.knn(one, other, None, None, 1),
        "chamfer": subject.chamfer,
    }
    others = {
        "another number of clouds": torch.ones((3, 5, 3), device=device),
        "another dimension": torch.ones((2, 5, 4), device=device),
        "a single cloud without batch": torch.ones((5, 3), device=device),
    }
    attempts: dict[str, Callable[[], object]] = {
        f"{what}: {name}": functools.partial(call, points, other)
        for what, call in functions.items()
        for name, other in others.items()
    }
    attempts["an array instead of a tensor: chamfer"] = lambda: subject.chamfer(points.cpu().numpy(), points)
    return count_taken(attempts)


def nothing(subject: Subject, device: str) -> Measured:
    """Give clouds without points."""
    full, empty = torch.ones((2, 5, 3), device=device), torch.ones((2, 0, 3), device=device)
    wrong = refused = 0
    for one, other in ((full, empty), (empty, full), (full[:0], full[:0])):
        try:
            distances, indices = subject.knn(one, other, None, None, 1)
        except (RuntimeError, ValueError, IndexError):
            refused += 1
            continue
        wrong += bool(distances.any()) or bool(indices.any()) or tuple(distances.shape) != (*one.shape[:2], 1)
    return Measured(values={"wrong answers": wrong}, tolerance={"wrong answers": 0}, detail=f"{refused} of 3 refused")


def other_device(subject: Subject, device: str) -> Measured:
    """Give clouds, and lengths, that are on different devices."""
    here, there = torch.ones((1, 5, 3)), torch.ones((1, 5, 3), device=device)
    counts = torch.full((1,), 5)
    return count_taken(
        {
            "second cloud on the CPU": lambda: subject.knn(there, here, None, None, 1),
            "first cloud on the CPU": lambda: subject.knn(here, there, None, None, 1),
            "lengths on the CPU": lambda: subject.knn(there, there, counts, counts, 1),
            "chamfer between devices": lambda: subject.chamfer(there, here),
        }
    )


CHECKS = (
    Check(name="strides", claim="Memory that is laid out in another way is read rightly.", run=strides),
    Check(name="other types", claim="Numbers that are not float32 or float64 are refused.", run=other_types),
    Check(name="float64", claim="float64 is refused, or computed in full.", run=double),
    Check(name="other shapes", claim="Clouds that do not belong together are refused.", run=other_shapes),
    Check(name="no points", claim="Clouds without points have no neighbours, or are refused.", run=nothing),
    Check(
        name="other device",
        claim="Clouds and lengths on different devices are refused.",
        run=other_device,
        devices=("cuda",),
    ),
)
