"""Faults put into the wheel's answers on purpose; a suite that does not notice one of them proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from cudawheel.verify.suite import Changes, Sabotage
from cudawheel.verify.suites.chamferdist.subject import Neighbours, Subject, Tensor

Change = Callable[[Tensor, Tensor, Neighbours], Neighbours]


def after(change: Change) -> Callable[[Subject, Changes], Subject]:
    """Make a fault of a function that spoils neighbours; it counts where they are others then."""

    def breaks(subject: Subject, changes: Changes) -> Subject:
        def knn(one: Tensor, other: Tensor, lengths1: Tensor | None, lengths2: Tensor | None, k: int) -> Neighbours:
            found = subject.knn(one, other, lengths1, lengths2, k)
            spoilt = change(one, other, found)
            changes.count += not all(torch.equal(a, b) for a, b in zip(found, spoilt, strict=True))
            return spoilt

        return replace(subject, knn=knn)

    return breaks


def one_off(one: Tensor, other: Tensor, found: Neighbours) -> Neighbours:  # noqa: ARG001 - one of several changes
    """Name the point behind the right one, and keep the distance."""
    distances, indices = found
    return distances, (indices + 1) % max(1, other.shape[1])


def second_nearest(one: Tensor, other: Tensor, found: Neighbours) -> Neighbours:
    """Give the next neighbour of the first point instead of its nearest."""
    distances, indices = (part.clone() for part in found)
    if one.shape[1] and other.shape[1] > 1:
        apart = (one[:, :1] - other).square().sum(-1)
        far, named = apart.topk(2, dim=1, largest=False)
        distances[:, 0, 0], indices[:, 0, 0] = far[:, 1].detach(), named[:, 1]
    return distances, indices


def first_cloud_only(one: Tensor, other: Tensor, found: Neighbours) -> Neighbours:  # noqa: ARG001 - as above
    """Give the first cloud's neighbours to all clouds."""
    distances, indices = found
    return distances[:1].expand_as(distances).clone(), indices[:1].expand_as(indices).clone()


def without_last(one: Tensor, other: Tensor, found: Neighbours) -> Neighbours:  # noqa: ARG001 - as above
    """Leave out the last point of each cloud."""
    distances, indices = (part.clone() for part in found)
    distances[:, -1:], indices[:, -1:] = 0, 0
    return distances, indices


def without_lengths(subject: Subject, changes: Changes) -> Subject:
    """Take all points, whatever the lengths say."""

    def knn(one: Tensor, other: Tensor, lengths1: Tensor | None, lengths2: Tensor | None, k: int) -> Neighbours:
        changes.count += lengths1 is not None or lengths2 is not None
        return subject.knn(one, other, None, None, k)

    return replace(subject, knn=knn)


def swapped(subject: Subject, changes: Changes) -> Subject:
    """Take the target for the source."""

    def chamfer(source: Tensor, target: Tensor, **options: Any) -> Tensor:  # noqa: ANN401 - passed on
        changes.count += 1
        return subject.chamfer(target, source, **options)

    return replace(subject, chamfer=chamfer)


def one_way_only(subject: Subject, changes: Changes) -> Subject:
    """Forget the way back."""

    def chamfer(source: Tensor, target: Tensor, **options: Any) -> Tensor:  # noqa: ANN401 - passed on
        changes.count += bool(options.get("bidirectional"))
        return subject.chamfer(source, target, **{**options, "bidirectional": False})

    return replace(subject, chamfer=chamfer)


class _Half(torch.autograd.Function):  # type: ignore[misc]
    """What it is given, with half its gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: ANN401, ARG004 - torch's signature
        return values.clone()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:  # noqa: ANN401, ARG004 - torch's signature
        return slope / 2


def half_gradient(subject: Subject, changes: Changes) -> Subject:
    """Forget the factor 2 of the derivative of a square."""

    def knn(one: Tensor, other: Tensor, lengths1: Tensor | None, lengths2: Tensor | None, k: int) -> Neighbours:
        changes.count += one.requires_grad or other.requires_grad
        distances, indices = subject.knn(one, other, lengths1, lengths2, k)
        return _Half.apply(distances), indices

    return replace(subject, knn=knn)


def fall_back_to_cpu(subject: Subject, changes: Changes) -> Subject:
    """Compute on the CPU, and copy the answer to where it was asked for."""

    def knn(one: Tensor, other: Tensor, lengths1: Tensor | None, lengths2: Tensor | None, k: int) -> Neighbours:
        changes.count += one.is_cuda
        counts = [None if part is None else part.cpu() for part in (lengths1, lengths2)]
        distances, indices = subject.knn(one.cpu(), other.cpu(), counts[0], counts[1], k)
        return distances.to(one.device), indices.to(one.device)

    def chamfer(source: Tensor, target: Tensor, **options: Any) -> Tensor:  # noqa: ANN401 - passed on
        changes.count += source.is_cuda
        return subject.chamfer(source.cpu(), target.cpu(), **options).to(source.device)

    return replace(subject, knn=knn, chamfer=chamfer)


def ignore_stream(subject: Subject, changes: Changes) -> Subject:
    """Work in the default stream, whatever the current one is."""

    def knn(one: Tensor, other: Tensor, lengths1: Tensor | None, lengths2: Tensor | None, k: int) -> Neighbours:
        changes.count += 1
        with torch.cuda.stream(torch.cuda.default_stream()):
            return subject.knn(one, other, lengths1, lengths2, k)

    return replace(subject, knn=knn)


CONTROLS = (
    Sabotage(
        name="one off",
        what="each index is one too high",
        breaks=after(one_off),
        checks=("nearest neighbour", "ties"),
    ),
    Sabotage(
        name="second nearest",
        what="for the first point of each cloud the second nearest is given",
        breaks=after(second_nearest),
        checks=("nearest neighbour", "batches"),
    ),
    Sabotage(
        name="roots",
        what="distances are not squared",
        breaks=after(lambda _one, _other, found: (found[0].sqrt(), found[1])),
        checks=("nearest neighbour", "sizes"),
    ),
    Sabotage(
        name="dropped batch",
        what="all clouds of a batch get the first one's neighbours",
        breaks=after(first_cloud_only),
        checks=("batches", "nearest neighbour"),
    ),
    Sabotage(
        name="dropped point",
        what="the last point of each cloud gets no neighbour",
        breaks=after(without_last),
        checks=("sizes", "many points"),
    ),
    Sabotage(
        name="farthest first",
        what="neighbours are in descending order",
        breaks=after(lambda _one, _other, found: (found[0].flip(2), found[1].flip(2))),
        checks=("several neighbours", "any number"),
    ),
    Sabotage(
        name="ignored lengths",
        what="points behind the end of a cloud count",
        breaks=without_lengths,
        checks=("lengths", "fewer than asked for"),
    ),
    Sabotage(
        name="swapped arguments",
        what="the distance is that from the target to the source",
        breaks=swapped,
        checks=("chamfer", "chamfer, reverse"),
    ),
    Sabotage(
        name="one way only",
        what="of both ways only the first is taken",
        breaks=one_way_only,
        checks=("chamfer, both ways",),
    ),
    Sabotage(
        name="half a gradient",
        what="gradients are half of what they should be",
        breaks=half_gradient,
        checks=("gradients", "gradients with lengths"),
    ),
    Sabotage(
        name="fallback to the CPU",
        what="the answer is computed on the CPU and copied to the GPU",
        breaks=fall_back_to_cpu,
        checks=("kernels ran",),
        devices=("cuda",),
    ),
    Sabotage(
        name="other stream",
        what="the work is done in the default stream",
        breaks=ignore_stream,
        checks=("streams",),
        devices=("cuda",),
    ),
)
