"""Unions of boxes whose faces are parallel to the axes: exact distance, volume and Euler characteristic."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class BoxUnion:
    """A solid made of boxes.

    The planes of all faces cut space into cells that are wholly inside or wholly outside, so that everything about
    the solid can be counted in them.

    Attributes:
        low: lower corners, shape (B, 3).
        high: upper corners, shape (B, 3).
    """

    low: Points
    high: Points

    def contains(self, points: Points) -> npt.NDArray[np.bool_]:
        """Say which points, (N, 3), are inside, (N,); those on the faces of boxes are not."""
        inside = np.zeros(len(points), dtype=bool)
        for low, high in zip(self.low, self.high, strict=True):
            inside |= np.all((points > low) & (points < high), axis=1)
        return inside

    def sdf(self, points: Points) -> Points:
        """Give the signed distance to the surface, negative inside; exact on both sides, up to rounding.

        Outside it is the distance to the nearest box. Inside, where boxes overlap, the nearest face of a box need
        not be surface; there it is the distance to the nearest cell that is outside.

        Args:
            points: positions, shape (N, 3).

        Returns:
            Distances, shape (N,).
        """
        nearest = np.full(len(points), np.inf)
        for low, high in zip(self.low, self.high, strict=True):
            nearest = np.minimum(nearest, _distance(points, low, high))
        inside = self.contains(points)
        if inside.any():
            within = points[inside]
            depth = np.full(len(within), np.inf)
            for low, high in self._rim:
                depth = np.minimum(depth, _distance(within, low, high))
            nearest[inside] = -depth
        return nearest

    @property
    def volume(self) -> float:
        """The volume, exact up to rounding."""
        x, y, z = (np.diff(cut) for cut in self._cuts)
        return float(np.einsum("ijk,i,j,k->", self._filled[1:-1, 1:-1, 1:-1], x, y, z))

    @property
    def euler_characteristic(self) -> int:
        """Vertices - edges + faces of the surface: twice that of the closed solid, which is counted in its cells."""
        count = 0
        # A cell has a piece of each dimension for every axis it is open or shut in; a piece that any filled cell
        # touches belongs to the solid.
        for closed in product((False, True), repeat=3):
            touched = self._filled
            for axis, shut in enumerate(closed):
                if shut:
                    first = np.take(touched, range(touched.shape[axis] - 1), axis=axis)
                    touched = first | np.take(touched, range(1, touched.shape[axis]), axis=axis)
            count += (-1) ** (3 - sum(closed)) * int(touched.sum())
        return 2 * count

    @cached_property
    def _cuts(self) -> tuple[Points, Points, Points]:
        x, y, z = (np.unique(np.concatenate([self.low[:, axis], self.high[:, axis]])) for axis in range(3))
        return x, y, z

    @cached_property
    def _filled(self) -> npt.NDArray[np.bool_]:
        """Which cells are inside, with one layer of outside cells around all."""
        centres = np.meshgrid(*((cut[1:] + cut[:-1]) / 2 for cut in self._cuts), indexing="ij")
        filled = np.zeros(centres[0].shape, dtype=bool)
        for low, high in zip(self.low, self.high, strict=True):
            filled |= np.all([(c > a) & (c < b) for c, a, b in zip(centres, low, high, strict=True)], axis=0)
        return np.pad(filled, 1)

    @cached_property
    def _rim(self) -> list[tuple[Points, Points]]:
        """The outside cells that touch the solid; the nearest outside point of any inside point is on one of them."""
        near = self._filled
        for axis in range(3):
            near = near | np.roll(near, 1, axis) | np.roll(near, -1, axis)
        bounds = [np.concatenate([[-np.inf], cut, [np.inf]]) for cut in self._cuts]
        cells = np.argwhere(near & ~self._filled)
        axes = range(3)
        return [
            (np.array([bounds[a][cell[a]] for a in axes]), np.array([bounds[a][cell[a] + 1] for a in axes]))
            for cell in cells
        ]


def _distance(points: Points, low: Points, high: Points) -> Points:
    """The distance to a closed box, 0 inside."""
    beyond = np.maximum(np.maximum(low - points, points - high), 0)
    return np.sqrt(np.einsum("ij,ij->i", beyond, beyond))
