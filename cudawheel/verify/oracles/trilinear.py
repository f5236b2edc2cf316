"""Trilinear interpolation by its definition, in float64."""

from __future__ import annotations

import itertools

import numpy as np

from cudawheel.verify.oracles.fields import Array


def interpolate(volume: Array, points: Array) -> Array:
    """Sample the channels of a volume, each coordinate moved to the border of its own axis first.

    Args:
        volume: (C, Nz, Ny, Nx).
        points: (P, 3), (x, y, z) in voxels.

    Returns:
        (P, C), float64.
    """
    volume, points = volume.astype(np.float64), points.astype(np.float64)
    last = np.array(volume.shape[:0:-1]) - 1
    inside = np.clip(points, 0, last)
    low = np.minimum(np.floor(inside), last).astype(np.int64)
    part = inside - low
    result = np.zeros((len(points), len(volume)))
    for corner in itertools.product((0, 1), repeat=3):
        weight = np.where(corner, part, 1 - part).prod(1)
        x, y, z = np.minimum(low + corner, last).T
        result += weight[:, None] * volume[:, z, y, x].T
    return result
