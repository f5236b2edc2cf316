"""How near a mesh is to the shape that its scene was fitted to. numpy alone, and nothing that made the mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cudawheel.triposr.shapes import Shape

Points = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What was found.

    Attributes:
        iou: of the grid points that the scene or the shape has inside, the part that both have.
        distance: mean distance of the mesh's vertices from the shape's surface, in steps of the grid.
        volume_error: of the mesh, as a part of the shape's volume; positive where it is too large.
        euler_characteristic: vertices - edges + faces of the mesh.
        expected_euler_characteristic: of the shape's surface.
        watertight: whether each edge is one of exactly two faces that lie on the same side of it.
    """

    iou: float
    distance: float
    volume_error: float
    euler_characteristic: int
    expected_euler_characteristic: int
    watertight: bool


def score(
    shape: Shape, *, inside: npt.NDArray[np.bool_], radius: float, vertices: Points, faces: npt.NDArray[np.int64]
) -> Score:
    """Compare a scene with its shape.

    Args:
        shape: the truth.
        inside: (R, R, R), indexed x, y, z: which points of the grid from -radius to radius the scene has inside.
        radius: half the edge of the grid's cube.
        vertices: of the mesh, (V, 3); faces with a corner in common share its vertex.
        faces: (F, 3), counter-clockwise seen from outside.
    """
    ticks = np.linspace(-radius, radius, len(inside))
    points = np.stack(np.meshgrid(ticks, ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 3)
    truth = shape.inside(points).reshape(inside.shape)
    return Score(
        iou=float((inside & truth).sum() / (inside | truth).sum()),
        distance=float(np.abs(shape.sdf(vertices)).mean() / (ticks[1] - ticks[0])),
        volume_error=enclosed_volume(vertices, faces) / shape.volume - 1,
        euler_characteristic=euler_characteristic(faces),
        expected_euler_characteristic=shape.euler_characteristic,
        watertight=is_watertight(faces),
    )


def enclosed_volume(vertices: Points, faces: npt.NDArray[np.int64]) -> float:
    """Give the volume that a closed mesh encloses; negative where faces are clockwise seen from outside."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return float(np.einsum("fi,fi->", a, np.cross(b, c)) / 6)


def euler_characteristic(faces: npt.NDArray[np.int64]) -> int:
    """Give vertices - edges + faces; vertices without a face do not count."""
    edges = np.sort(_edges(faces), axis=1)
    return len(np.unique(faces)) - len(np.unique(edges, axis=0)) + len(faces)


def is_watertight(faces: npt.NDArray[np.int64]) -> bool:
    """Say whether every edge is there once in each direction."""
    edges = _edges(faces)
    there, count = np.unique(edges, axis=0, return_counts=True)
    back = np.unique(edges[:, ::-1], axis=0)
    return bool((count == 1).all()) and np.array_equal(there, back)


def _edges(faces: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Give the edges of all faces, (3 F, 2), in the direction in which each goes round."""
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
