"""Volumes whose surfaces are known: analytic shapes, and noise.

Grids have the shape (Nz, Ny, Nx), and a point (x, y, z) in voxels lies at the dimensions 2, 1 and 0. World coordinates
are (x, y, z) too, with the origin in the middle of the grid and voxels of edge `h`. Fields are higher inside, and
change by about 1 a voxel at the surface, since some kernels move a crossing to a voxel whose value is within 1e-4 of
the threshold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any  # numpy.ndarray; the environment that checks types has no numpy


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Where a shape is sampled.

    Attributes:
        shape: (Nz, Ny, Nx).
        h: edge of a voxel in world units.
    """

    shape: tuple[int, int, int]
    h: float

    def to_world(self, points: Array) -> Array:
        """Turn points (..., 3) in voxels into world coordinates."""
        return (np.asarray(points, np.float64) - (np.array(self.shape[::-1]) - 1) / 2) * self.h

    def voxels(self) -> Array:
        """Give the world coordinates of all voxels, (Nz, Ny, Nx, 3)."""
        z, y, x = np.meshgrid(*(np.arange(n) for n in self.shape), indexing="ij")
        return self.to_world(np.stack((x, y, z), -1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A solid with an exact description, in world units.

    Attributes:
        name: of it.
        field: value at points (..., 3), positive inside, about the signed distance near the surface.
        distance: distance of points (..., 3) close to the surface from it, exact or to second order.
        euler: Euler characteristic of its surface, if that is closed and known.
        volume: of the solid, if known.
        area: of its surface, if known.
    """

    name: str
    field: Callable[[Array], Array]
    distance: Callable[[Array], Array]
    euler: int | None = None
    volume: float | None = None
    area: float | None = None

    def sample(self, grid: Grid) -> Array:
        """Give the field on a grid in units of a voxel, float32."""
        return (self.field(grid.voxels()) / grid.h).astype(np.float32)


def grid_of(n: int, *, extent: float = 2.0) -> Grid:
    """Give a grid of about n voxels an axis over `extent` world units; no two axes have the same number of voxels.

    A kernel that mixes up axes would pass a cube.
    """
    return Grid(shape=(n, n + 2, n + 5), h=extent / (n - 1))


def sphere(centre: tuple[float, float, float] = (0.05, -0.1, 0.15), radius: float = 0.7) -> Shape:
    """A ball off the middle, so that mixed-up axes show."""

    def field(points: Array) -> Array:
        return radius - np.linalg.norm(points - np.array(centre), axis=-1)

    return Shape(
        name="sphere",
        field=field,
        distance=lambda points: np.abs(field(points)),
        euler=2,
        volume=4 / 3 * np.pi * radius**3,
        area=4 * np.pi * radius**2,
    )


def torus(ring: float = 0.6, tube: float = 0.25) -> Shape:
    """A torus around the z axis."""

    def field(points: Array) -> Array:
        from_ring = np.hypot(points[..., 0], points[..., 1]) - ring
        return tube - np.hypot(from_ring, points[..., 2])

    return Shape(
        name="torus",
        field=field,
        distance=lambda points: np.abs(field(points)),
        euler=0,
        volume=2 * np.pi**2 * ring * tube**2,
        area=4 * np.pi**2 * ring * tube,
    )


def gyroid(waves: float = 6.0) -> Shape:
    """The gyroid sin x cos y + sin y cos z + sin z cos x = 0.2, cut by the borders of the grid.

    Its distance is that to the tangent plane at the foot of a Newton step: wrong by the third order only.
    """

    def value_and_slope(points: Array) -> tuple[Array, Array]:
        sin, cos = np.sin(waves * points), np.cos(waves * points)
        value = (sin * np.roll(cos, -1, -1)).sum(-1) - 0.2
        # The derivative along each axis: it is the sine in one of the three products, and the cosine in another.
        slope = waves * (cos * np.roll(cos, -1, -1) - np.roll(sin, 1, -1) * sin)
        return value, slope

    def distance(points: Array) -> Array:
        foot = np.array(points, np.float64)
        for _ in range(4):
            value, slope = value_and_slope(foot)
            foot -= (value / np.square(slope).sum(-1))[..., None] * slope
        return np.linalg.norm(foot - points, axis=-1)

    # The slope is between 1.2 and 1.8 times `waves` at the surface.
    return Shape(name="gyroid", field=lambda points: value_and_slope(points)[0] / (1.5 * waves), distance=distance)


def white_noise(shape: tuple[int, int, int], seed: int) -> Array:
    """Independent normal values, float32: nearly every cell is cut, and all 256 cases occur."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def blurred_noise(shape: tuple[int, int, int], seed: int) -> Array:
    """White noise, averaged over 3 voxels along each axis and scaled back: surfaces that still meet in odd ways."""
    values = np.random.default_rng(seed).standard_normal(tuple(n + 2 for n in shape))
    for axis in range(3):
        n = shape[axis]
        values = sum(np.take(values, range(start, start + n), axis) for start in range(3)) / np.sqrt(3)
    return np.asarray(values, np.float32)


def keep_away(volume: Array, level: float, margin: float = 0.01) -> Array:
    """Move values that are within a margin of the level away from it, to their own side; gives float32.

    So no crossing comes so close to a voxel that it may be moved there, and two crossings are never the same point.
    """
    from_level = volume.astype(np.float64) - level
    moved = np.where(from_level >= 0, level + margin, level - margin)
    return np.where(np.abs(from_level) < margin, moved, volume).astype(np.float32)


def pad(volume: Array, value: float) -> Array:
    """Put one layer of voxels outside around a volume, so that its surface is closed."""
    return np.pad(volume, 1, constant_values=np.float32(value))
