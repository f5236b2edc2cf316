"""Checks of the chamfer distance: both directions, and all ways to sum up."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch

from cudawheel.verify.oracles.fields import Array
from cudawheel.verify.oracles.neighbours import squared_distances
from cudawheel.verify.suite import Check, Measured, WrongError
from cudawheel.verify.suites.chamferdist.subject import Subject, cloud

_ERROR = "largest error (relative)"
_TOLERANCE = 1e-5
_REDUCTIONS = ("sum", "mean", None)


def reduce(values: Array, how: str | None, axis: int) -> Array:
    """Sum up along an axis, average, or leave as it is."""
    if how is None:
        return values
    return values.sum(axis) if how == "sum" else values.mean(axis)


def reference(source: Array, target: Array, *, points: str | None, batch: str | None) -> Array:
    """Give the chamfer distance from source (N, P1, D) to target (N, P2, D) in float64.

    Args:
        source: the points that look for a neighbour.
        target: those among which they look.
        points: how squared distances of a cloud are summed up: "sum", "mean" or None.
        batch: how those of all clouds are.
    """
    pairs = zip(source, target, strict=True)
    each = np.stack([squared_distances(one, other, 1)[:, 0] for one, other in pairs])
    of_clouds = reduce(each, points, 1)
    # Where no cloud was summed up, an average over the batch is one over all its points.
    return of_clouds if batch is None else reduce(of_clouds.reshape(-1), batch, 0)


def compare(subject: Subject, device: str, source: Array, target: Array, **options: Any) -> float:  # noqa: ANN401
    """Give the largest relative error of one call.

    Raises:
        WrongError: its answer has another shape, type or device than it should have.
    """
    one, other = torch.from_numpy(source).to(device), torch.from_numpy(target).to(device)
    found = subject.chamfer(one, other, **options)
    how = {
        "points": options.get("point_reduction", "sum"),
        "batch": options.get("batch_reduction", "mean"),
    }
    forward = not options.get("reverse") or options.get("bidirectional")
    backward = options.get("reverse") or options.get("bidirectional")
    parts = [reference(source, target, **how)] * bool(forward) + [reference(target, source, **how)] * bool(backward)
    expected = np.asarray(sum(parts))
    if tuple(found.shape) != expected.shape or found.dtype != torch.float32 or found.device != one.device:
        raise WrongError(f"{options}: {found.dtype} of shape {tuple(found.shape)} on {found.device}")
    error = np.abs(found.detach().cpu().numpy() - expected) / (1 + np.abs(expected))
    return float(np.where(np.isnan(error), np.inf, error).max(initial=0))


def one_way(subject: Subject, device: str) -> Measured:
    """Go from the source to the target, with the documented default of sums and averages."""
    errors = [compare(subject, device, cloud(30, 3, 40, d), cloud(31, 3, 57, d)) for d in (2, 3, 5)]
    return Measured(values={_ERROR: max(errors)}, tolerance={_ERROR: _TOLERANCE}, detail="in 2, 3 and 5 dimensions")


def other_way(subject: Subject, device: str) -> Measured:
    """Go from the target to the source."""
    error = compare(subject, device, cloud(32, 3, 40, 3), cloud(33, 3, 57, 3), reverse=True)
    return Measured(values={_ERROR: error}, tolerance={_ERROR: _TOLERANCE}, detail="40 points and 57")


def both_ways(subject: Subject, device: str) -> Measured:
    """Go both ways."""
    error = compare(subject, device, cloud(34, 3, 40, 3), cloud(35, 3, 57, 3), bidirectional=True)
    return Measured(values={_ERROR: error}, tolerance={_ERROR: _TOLERANCE}, detail="40 points and 57")


def reductions(subject: Subject, device: str) -> Measured:
    """Sum up in all ways, both of points and of clouds, one way and the other."""
    source, target = cloud(36, 4, 21, 3), cloud(37, 4, 30, 3)
    ways = list(itertools.product(_REDUCTIONS, _REDUCTIONS, (False, True)))
    errors = [
        compare(subject, device, source, target, point_reduction=points, batch_reduction=batch, reverse=reverse)
        for points, batch, reverse in ways
    ]
    return Measured(values={_ERROR: max(errors)}, tolerance={_ERROR: _TOLERANCE}, detail=f"{len(ways)} ways")


def same_cloud(subject: Subject, device: str) -> Measured:
    """Compare a cloud with itself, in another order."""
    source = cloud(38, 2, 50, 3)
    found = subject.chamfer(
        torch.from_numpy(source).to(device), torch.from_numpy(source[:, ::-1].copy()).to(device), bidirectional=True
    )
    return Measured(values={"distance": float(found)}, tolerance={"distance": 0.0}, detail="50 points, turned round")


CHECKS = (
    Check(name="chamfer", claim="The chamfer distance is that from the source to the target.", run=one_way),
    Check(name="chamfer, reverse", claim="Reversed it is that from the target to the source.", run=other_way),
    Check(name="chamfer, both ways", claim="Bidirectional it is the sum of both.", run=both_ways),
    Check(name="reductions", claim="Points and clouds are summed up, averaged, or left as they are.", run=reductions),
    Check(name="same cloud", claim="Between a cloud and itself the distance is 0.", run=same_cloud),
)
