"""Measures of a triangle mesh: what is open, how it is turned, its volume, area and Euler characteristic.

Faces (F, 3) hold indices; where they are to be closed, vertices have to be the same index, not only the same place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cudawheel.verify.oracles.fields import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """The undirected edges of a mesh.

    Attributes:
        ends: (E, 2), the lower index first.
        uses: (E,), how many faces have it.
        balance: (E,), how many more of them run upwards than downwards; 0 where the faces on both sides agree.
    """

    ends: Array
    uses: Array
    balance: Array


def edges_of(faces: Array) -> Edges:
    """Find the edges of a mesh; faces with two equal indices have none there."""
    faces = faces.astype(np.int64)
    start, stop = faces.T.reshape(-1), faces[:, [1, 2, 0]].T.reshape(-1)
    real = start != stop
    start, stop = start[real], stop[real]
    # An edge and its direction as one number, since numbers are sorted many times as fast as rows are.
    count = int(faces.max(initial=0)) + 1
    keys = np.sort(2 * (np.minimum(start, stop) * count + np.maximum(start, stop)) + (start < stop))
    edge, upwards = keys >> 1, keys & 1
    first = np.flatnonzero(np.concatenate([[True], edge[1:] != edge[:-1]])) if len(edge) else np.zeros(0, np.int64)
    uses = np.diff(first, append=len(edge))
    balance = 2 * np.add.reduceat(upwards, first) - uses if len(edge) else uses
    return Edges(ends=np.stack(np.divmod(edge[first], count), 1), uses=uses, balance=balance)


def open_edges(points: Array, faces: Array, shape: tuple[int, int, int]) -> Array:
    """Give the edges (E, 2) at which a surface ends although the volume does not.

    At the border of the volume a surface may end, at an edge that lies in one border plane with both ends.

    Args:
        points: (V, 3) in voxels.
        faces: indices of them.
        shape: (Nz, Ny, Nx) of the volume.
    """
    edges = edges_of(faces)
    a, b = points[edges.ends[:, 0]], points[edges.ends[:, 1]]
    last = np.array(shape[::-1]) - 1
    border = (((a == 0) & (b == 0)) | ((a == last) & (b == last))).any(1)
    allowed = np.where(border, 1, 0)
    return edges.ends[np.abs(edges.balance) > allowed]


def signed_volume(points: Array, faces: Array) -> float:
    """Give the volume inside a closed mesh; negative where its faces are clockwise seen from outside."""
    a, b, c = points[faces].transpose(1, 0, 2)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def area(points: Array, faces: Array) -> float:
    """Give the area of a mesh."""
    a, b, c = points[faces].transpose(1, 0, 2)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def euler(faces: Array) -> int:
    """Give the Euler characteristic of the vertices in use, the edges and the faces; degenerate faces do not count."""
    whole = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
    return len(np.unique(whole)) - len(edges_of(whole).ends) + len(whole)


def largest_part(faces: Array) -> Array:
    """Give those faces (F, 3) that hang together by their vertices and are the most."""
    if not len(faces):
        return faces
    links = faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    size = int(faces.max()) + 1
    graph = coo_array((np.ones(len(links), np.int8), (links[:, 0], links[:, 1])), shape=(size, size))
    part = connected_components(graph, directed=False)[1][faces[:, 0]]
    return faces[part == np.bincount(part).argmax()]


def euler_of_solid(inside: Array) -> int:
    """Give the Euler characteristic of the surface around the inside voxels of a volume that has none at its border.

    Counted from the grid alone: points, edges, squares and cubes that are inside with all their corners make a complex
    that the solid shrinks to, and a closed surface has twice the solid's characteristic. That holds as long as the
    surface is well resolved, so that no cell is cut ambiguously.
    """
    total = 0
    for cell in np.ndindex(2, 2, 2):
        whole = inside
        for axis, long in enumerate(cell):
            if long:
                n = whole.shape[axis]
                whole = np.take(whole, range(n - 1), axis) & np.take(whole, range(1, n), axis)
        total += (-1) ** sum(cell) * int(whole.sum())
    return 2 * total


def inside_of(points: Array, shape: tuple[int, int, int]) -> Array:
    """Tell which voxels a surface encloses from its vertices alone, (Nz, Ny, Nx).

    Along a row of voxels, which starts outside, each vertex on the row goes from one side to the other.

    Args:
        points: (V, 3) in voxels, one for each place at which the surface crosses an edge of the grid.
        shape: (Nz, Ny, Nx) of the volume, at whose border nothing is inside.
    """
    whole = points == np.floor(points)
    x, y, z = np.ceil(points[whole[:, 1] & whole[:, 2] & ~whole[:, 0]]).astype(np.int64).T
    passes = np.zeros(shape, np.int64)
    np.add.at(passes, (z, y, x), 1)
    return np.cumsum(passes, axis=2) % 2 == 1


def canonical_triangles(ids: Array) -> Array:
    """Bring faces into an order that depends on nothing but the set of them: each starts at its lowest index."""
    turn = np.argmin(ids, 1)
    turned = np.take_along_axis(ids, (turn[:, None] + np.arange(3)) % 3, 1)
    return turned[np.lexsort(turned.T[::-1])]
