"""Nearest neighbours by brute force in float64, and a kernel's answer held against them.

Points that are equally near may be named in any order, so that an index is right where its distance is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cudawheel.verify.oracles.fields import Array

_PAIRS = 1 << 22  # at a time: 32 MiB for each coordinate


def squared_distances(queries: Array, points: Array, k: int) -> Array:
    """Give the squared distances (P, min(k, M)), ascending, from queries (P, D) to the nearest of points (M, D)."""
    queries, points = queries.astype(np.float64), points.astype(np.float64)
    k = min(k, len(points))
    nearest = np.zeros((len(queries), k))
    rows = max(1, _PAIRS // max(1, points.size))
    for start in range(0, len(queries) if k else 0, rows):
        part = queries[start : start + rows]
        every = np.square(part[:, None] - points[None]).sum(-1)
        nearest[start : start + rows] = np.sort(np.partition(every, k - 1, axis=1)[:, :k], axis=1)
    return nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What is wrong with nearest neighbours.

    Attributes:
        distance: the largest error of a squared distance, over 1 + the distance.
        index: the same for the distance of the point that an index names, against the one that is reported.
        indices: how many are out of range, or named twice for one query.
        padding: how many numbers are not 0 where there is no neighbour.
    """

    distance: float
    index: float
    indices: int
    padding: int

    @classmethod
    def join(cls, parts: Sequence[Faults]) -> Faults:
        """Give the largest errors and the sums of the counts."""
        return cls(
            distance=max(part.distance for part in parts),
            index=max(part.index for part in parts),
            indices=sum(part.indices for part in parts),
            padding=sum(part.padding for part in parts),
        )


def judge(queries: Array, points: Array, distances: Array, indices: Array) -> Faults:
    """Hold the answer for one cloud against brute force.

    Args:
        queries: (P, D), those that count.
        points: (M, D), those that count.
        distances: (Q, K) squared, ascending, Q >= P; what is beyond P, and beyond M in each row, is to be 0.
        indices: (Q, K), of points.
    """
    count, k = len(queries), min(distances.shape[1], len(points))
    expected = squared_distances(queries, points, k)
    found, named = distances[:count, :k].astype(np.float64), indices[:count, :k]
    padding = np.ones(distances.shape, bool)
    padding[:count, :k] = False
    wrong = ((named < 0) | (named >= len(points))).sum()
    ordered = np.sort(named, axis=1)
    repeated = (ordered[:, 1:] == ordered[:, :-1]).sum()
    if wrong or not found.size:
        index = np.inf if wrong else 0.0
    else:
        own = np.square(queries.astype(np.float64)[:, None] - points.astype(np.float64)[named]).sum(-1)
        index = _largest(found - own, own)
    return Faults(
        distance=_largest(found - expected, expected),
        index=float(index),
        indices=int(wrong + repeated),
        padding=int((distances[padding] != 0).sum() + (indices[padding] != 0).sum()),
    )


def _largest(error: Array, scale: Array) -> float:
    relative = np.abs(error) / (1 + scale)
    return float(np.where(np.isnan(relative), np.inf, relative).max(initial=0))
