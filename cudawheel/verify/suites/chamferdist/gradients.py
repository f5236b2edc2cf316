"""Checks of the gradients, against their formula in float64."""

from __future__ import annotations

import functools

import numpy as np
import torch

from cudawheel.verify.oracles.fields import Array
from cudawheel.verify.suite import Check, Measured, WrongError
from cudawheel.verify.suites.chamferdist.subject import Subject, cloud

_ERROR = "largest error (over 1 + gradient)"
_TOLERANCE = 2e-5


def expected(one: Array, other: Array, indices: Array, weights: Array, lengths: Array) -> tuple[Array, Array]:
    """Give the derivatives of sum(weights x squared distances) with respect to both clouds, float64.

    Args:
        one: (N, P1, D).
        other: (N, P2, D).
        indices: (N, P1, K), which neighbours there are.
        weights: (N, P1, K).
        lengths: (N, 2), how many points of either cloud count.
    """
    by_one, by_other = np.zeros(one.shape), np.zeros(other.shape)
    for n, (count1, count2) in enumerate(lengths):
        named, weight = indices[n, :count1, :count2], weights[n, :count1, :count2].astype(np.float64)
        apart = one[n, :count1, None].astype(np.float64) - other[n].astype(np.float64)[named]
        pull = 2 * weight[..., None] * apart
        by_one[n, :count1] = pull.sum(1)
        np.add.at(by_other[n], named, -pull)
    return by_one, by_other


def _error(found: Array, right: Array) -> float:
    error = np.abs(found.astype(np.float64) - right) / (1 + np.abs(right))
    return float(np.where(np.isnan(error), np.inf, error).max(initial=0))


def of_neighbours(k: int, counts: Array | None, subject: Subject, device: str) -> Measured:
    """Differentiate a weighted sum of squared distances."""
    one, other, weights = cloud(40, 3, 30, 3), cloud(41, 3, 25, 3), cloud(42, 3, 30, k)
    first, second = (torch.from_numpy(part).to(device).requires_grad_() for part in (one, other))
    sizes = None if counts is None else torch.from_numpy(counts).to(device)
    distances, indices = subject.knn(
        first, second, None if sizes is None else sizes[:, 0], None if sizes is None else sizes[:, 1], k
    )
    (distances * torch.from_numpy(weights).to(device)).sum().backward()
    if first.grad is None or second.grad is None:
        raise WrongError("there is no gradient")
    lengths = np.array([[30, 25]] * 3) if counts is None else counts
    right = expected(one, other, indices.cpu().numpy(), weights, lengths)
    errors = [_error(leaf.grad.cpu().numpy(), part) for leaf, part in zip((first, second), right, strict=True)]
    return Measured(
        values={f"{_ERROR}, first cloud": errors[0], f"{_ERROR}, second cloud": errors[1]},
        tolerance={f"{_ERROR}, first cloud": _TOLERANCE, f"{_ERROR}, second cloud": _TOLERANCE},
        detail=f"K = {k}" + ("" if counts is None else ", clouds of different lengths"),
    )


def of_chamfer(subject: Subject, device: str) -> Measured:
    """Differentiate the chamfer distance both ways with respect to both clouds."""
    source, target = cloud(43, 2, 40, 3), cloud(44, 2, 50, 3)
    leaves = [torch.from_numpy(part).to(device).requires_grad_() for part in (source, target)]
    found = torch.autograd.grad(subject.chamfer(*leaves, bidirectional=True, batch_reduction="sum"), leaves)
    apart = np.square(source[:, :, None].astype(np.float64) - target[:, None].astype(np.float64)).sum(-1)
    there, back = apart.argmin(2)[..., None], apart.argmin(1)[..., None]
    forward = expected(source, target, there, np.ones(there.shape), np.array([[40, 50]] * 2))
    backward = expected(target, source, back, np.ones(back.shape), np.array([[50, 40]] * 2))
    errors = [
        _error(found[0].cpu().numpy(), forward[0] + backward[1]),
        _error(found[1].cpu().numpy(), forward[1] + backward[0]),
    ]
    return Measured(values={_ERROR: max(errors)}, tolerance={_ERROR: _TOLERANCE}, detail="bidirectional, both clouds")


CHECKS = (
    Check(
        name="gradients",
        claim="Gradients of the nearest neighbour's distance reach both clouds.",
        run=functools.partial(of_neighbours, 1, None),
    ),
    Check(
        name="gradients of several neighbours",
        claim="So do those of several neighbours, where points are named more than once.",
        run=functools.partial(of_neighbours, 6, None),
    ),
    Check(
        name="gradients with lengths",
        claim="Points that do not exist have no gradient.",
        run=functools.partial(of_neighbours, 4, np.array([[30, 25], [11, 25], [30, 2]])),
    ),
    Check(
        name="gradient of chamfer",
        claim="The chamfer distance hands its gradient on to both clouds.",
        run=of_chamfer,
    ),
)
