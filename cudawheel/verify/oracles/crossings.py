"""Where a surface has to cross the edges of the grid, by linear interpolation in float64, and the vertices against it.

A kernel's vertices are exactly these points, whatever triangles it joins them to. That takes no case table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from cudawheel.verify.oracles.fields import Array

TOLERANCE = 1e-4  # voxels
SNAP = 1e-4  # a voxel whose value is so close to the threshold may be taken for the crossing itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossings:
    """All crossings of a volume.

    Attributes:
        points: (M, 3), float64, in voxels: where linear interpolation puts each.
        positions: (P, 3): `points`, and after them the voxels to which some of them may be moved.
        owners: (P,): which crossing each position belongs to.
        ends: (M, 3): the voxel at the inside end of each crossing's grid edge.
        shape: (Nz, Ny, Nx) of the volume.
    """

    points: Array
    positions: Array
    owners: Array
    ends: Array
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        return len(self.points)


def find_crossings(volume: Array, level: float) -> Crossings:
    """Find the grid edges of a float32 volume whose ends lie on two sides of the level; not below it is inside.

    Edges with an end that is not finite have no crossing that could be told.
    """
    values = volume.astype(np.float64)
    level = float(np.float32(level))
    points, corners, owners, ends, count = [], [], [], [], 0
    for axis in range(3):
        low = np.take(values, range(values.shape[axis] - 1), axis)
        high = np.take(values, range(1, values.shape[axis]), axis)
        cut = ((low < level) != (high < level)) & np.isfinite(low) & np.isfinite(high)
        start = np.argwhere(cut).astype(np.float64)
        stop = start.copy()
        stop[:, axis] += 1
        low, high = low[cut], high[cut]
        found = start.copy()
        found[:, axis] += (level - low) / (high - low)
        points.append(found)
        ends.append(np.where((low < level)[:, None], stop, start))
        for end, value in ((start, low), (stop, high)):
            near = np.abs(value - level) < SNAP
            corners.append(end[near])
            owners.append(count + np.flatnonzero(near))
        count += len(found)
    return Crossings(
        points=np.concatenate(points)[:, ::-1],
        positions=np.concatenate([*points, *corners])[:, ::-1],
        owners=np.concatenate([np.arange(count), *owners]),
        ends=np.concatenate(ends)[:, ::-1],
        shape=(values.shape[0], values.shape[1], values.shape[2]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """A kernel's vertices held against the crossings.

    Attributes:
        of: (V,), which crossing each vertex is.
        farthest: the largest distance of a vertex from its crossing, in voxels.
        strays: how many vertices lie on no crossing.
        missed: how many crossings have no vertex.
    """

    of: Array
    farthest: float
    strays: int
    missed: int


def match(vertices: Array, crossings: Crossings, *, tolerance: float = TOLERANCE) -> Matching:
    """Give each vertex (V, 3) the crossing nearest to it, and count those that are alone on either side."""
    if not len(crossings) or not len(vertices):
        nothing = np.zeros(len(vertices), np.int64)
        far = float("inf") if len(vertices) else 0.0
        return Matching(of=nothing, farthest=far, strays=len(vertices), missed=len(crossings))
    distance, nearest = cKDTree(crossings.positions).query(vertices)
    back, _ = cKDTree(vertices).query(crossings.positions)
    reached = np.zeros(len(crossings), bool)
    reached[crossings.owners[back <= tolerance]] = True
    return Matching(
        of=crossings.owners[nearest],
        farthest=float(distance.max()),
        strays=int((distance > tolerance).sum()),
        missed=int((~reached).sum()),
    )
