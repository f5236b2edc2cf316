"""What the surface inside one cell of the grid must be, told from its corners alone, without a table of cases.

A cell has 8 corners and 256 ways to lie inside or outside. Whatever triangles a kernel has for one of them: it uses
each crossed edge of the cell, it is open only on the cell's sides, there it cuts off inside corners from outside ones,
it is turned towards the inside, and each closed loop of n crossings on the sides is filled by n - 2 triangles.
"""

from __future__ import annotations

import numpy as np

from cudawheel.verify.oracles.crossings import Crossings, find_crossings, match
from cudawheel.verify.oracles.fields import Array
from cudawheel.verify.oracles.mesh import edges_of

CASES = 256


def case_volume(case: int, seed: int = 0) -> Array:
    """Give a volume of one cell, (2, 2, 2) float32: corner i, in order of the data, is above 0 where bit i is set."""
    size = np.random.default_rng([seed, case]).uniform(0.5, 2.0, 8)
    inside = np.array([case >> corner & 1 for corner in range(8)], bool)
    return np.where(inside, size, -size).astype(np.float32).reshape(2, 2, 2)


def cases_of(volume: Array, level: float) -> Array:
    """Give the number of every cell's case, as `case_volume` counts them: flat, of all cells of a volume."""
    inside = volume >= np.float32(level)
    nz, ny, nx = (n - 1 for n in volume.shape)
    number = np.zeros((nz, ny, nx), np.int64)
    for bit, (z, y, x) in enumerate(np.ndindex(2, 2, 2)):
        number |= inside[z : z + nz, y : y + ny, x : x + nx].astype(np.int64) << bit
    return number.reshape(-1)


def cell_fault(volume: Array, level: float, vertices: Array, faces: Array) -> str:
    """Say what is wrong with the surface in one cell; nothing where it is right.

    Args:
        volume: (2, 2, 2), float32, with no value near the level.
        level: the threshold.
        vertices: (V, 3), as the kernel gave them.
        faces: (F, 3), as the kernel gave them.
    """
    crossings = find_crossings(volume, level)
    found = match(vertices, crossings)
    if found.strays:
        return f"{found.strays} vertices are on no crossed edge"
    if found.missed:
        return f"{found.missed} of {len(crossings)} crossed edges have no vertex"
    ids = found.of[faces].reshape(-1, 3)
    used = np.unique(ids)
    if len(used) != len(crossings):
        return f"{len(crossings) - len(used)} of {len(crossings)} crossed edges are in no triangle"
    return _fault_of_triangles(crossings, ids)


def _fault_of_triangles(crossings: Crossings, ids: Array) -> str:
    edges = edges_of(ids)
    if (np.abs(edges.balance) > 1).any():
        return "triangles lie on one another"
    border = edges.balance != 0
    loops = _loops(edges.ends[border], edges.balance[border])
    if loops is None:
        return "the border of the surface is not made of closed loops"
    for loop in loops:
        for a, b in zip(loop, loop[1:] + loop[:1], strict=True):
            fault = _side_fault(crossings, a, b)
            if fault:
                return fault
    expected = sum(len(loop) - 2 for loop in loops)
    return "" if len(ids) == expected else f"{len(ids)} triangles instead of {expected}"


def _loops(ends: Array, balance: Array) -> list[list[int]] | None:
    """Follow the border, in the direction of the faces; None if it does not run through each point once."""
    follow: dict[int, int] = {}
    for (low, high), sign in zip(ends.tolist(), balance.tolist(), strict=True):
        start, stop = (low, high) if sign > 0 else (high, low)
        if start in follow:
            return None
        follow[start] = stop
    if set(follow) != set(follow.values()):
        return None
    loops = []
    while follow:
        loop = [next(iter(follow))]
        while (after := follow.pop(loop[-1])) != loop[0]:
            loop.append(after)
        loops.append(loop)
    return loops


def _side_fault(crossings: Crossings, a: int, b: int) -> str:
    """Look at one edge of the border: it lies on a side of the cell, with the inside corners to its proper hand."""
    start, stop = crossings.points[a], crossings.points[b]
    # Vertices are in voxels, and the cell goes from 0 to 1 on each axis: they share a side where both are 0 or both 1.
    sides = [axis for axis in range(3) if start[axis] == stop[axis] and start[axis] in {0.0, 1.0}]
    if len(sides) != 1:
        return "a hole inside the cell: an edge that is on no side of it has one triangle"
    outward = np.zeros(3)
    outward[sides[0]] = 2 * start[sides[0]] - 1
    # Faces are counter-clockwise seen from the inside, with the cell to the left of their border as it runs.
    inwards = np.cross(outward, stop - start)
    if min(inwards @ (crossings.ends[a] - start), inwards @ (crossings.ends[b] - stop)) <= 0:
        return "the surface on a side of the cell does not part inside from outside, or is turned over"
    return ""
