"""chamferdist's functions in plain torch: what a suite has to find right, and has to find broken."""

from __future__ import annotations

from typing import Any

import torch

Tensor = Any


def knn(one: Tensor, other: Tensor, lengths1: Tensor | None, lengths2: Tensor | None, k: int) -> tuple[Tensor, Tensor]:
    """As `chamferdist.chamfer.knn_points` should be."""
    if one.dim() != 3 or other.dim() != 3 or one.shape[0] != other.shape[0] or one.shape[2] != other.shape[2]:
        raise ValueError("the clouds do not belong together")
    if one.dtype != other.dtype or one.dtype not in {torch.float32, torch.float64}:
        raise TypeError("both clouds must be float32 or float64")
    if any(part is not None and part.dtype != torch.int64 for part in (lengths1, lengths2)):
        raise TypeError("lengths must be int64")
    distances = one.new_zeros((*one.shape[:2], k))
    indices = torch.zeros((*one.shape[:2], k), dtype=torch.int64)
    for n in range(len(one)):
        count1 = one.shape[1] if lengths1 is None else int(lengths1[n])
        count2 = other.shape[1] if lengths2 is None else int(lengths2[n])
        apart = (one[n, :count1, None] - other[n, None, :count2]).square().sum(-1)
        few = min(k, count2)
        far, named = apart.topk(few, dim=1, largest=False, sorted=True)
        distances[n, :count1, :few] = far
        indices[n, :count1, :few] = named
    return distances, indices


def chamfer(  # noqa: PLR0917 - as the original
    source: Tensor,
    target: Tensor,
    bidirectional: bool = False,
    reverse: bool = False,
    batch_reduction: str | None = "mean",
    point_reduction: str | None = "sum",
) -> Tensor:
    """As `chamferdist.ChamferDistance` should be."""

    def one_way(first: Tensor, second: Tensor) -> Tensor:
        result = knn(first, second, None, None, 1)[0][..., 0]
        if point_reduction is not None:
            result = getattr(result, point_reduction)(1)
        return result if batch_reduction is None else getattr(result, batch_reduction)()

    if bidirectional:
        return one_way(source, target) + one_way(target, source)
    return one_way(target, source) if reverse else one_way(source, target)
