"""Checks on shapes whose surface, volume and topology are known exactly."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
from skimage.measure import marching_cubes as reference_marching_cubes

from cudawheel.verify.oracles.fields import Grid, Shape, grid_of, gyroid, keep_away, pad, sphere, torus
from cudawheel.verify.oracles.mesh import area, euler, euler_of_solid, signed_volume
from cudawheel.verify.oracles.picture import draw_mesh
from cudawheel.verify.suite import Check, Measured
from cudawheel.verify.suites.torchmcubes.subject import Subject, Surface, extract, figures, limits

_N = 64  # voxels along an axis at which the tolerances of volume and area hold

_DISTANCE = "farthest vertex from the exact surface (voxels)"
_VOLUME = "error of the volume (relative)"
_AREA = "error of the area (relative)"
_EULER = "error of the Euler characteristic"


def solid(shape: Shape, distance: float, subject: Subject, device: str) -> Measured:
    """Hold a closed shape's mesh against all that is known of it.

    Args:
        shape: the shape.
        distance: how far from the surface a vertex may be, in voxels.
        subject: the wheel.
        device: where it runs.
    """
    grid = grid_of(_N)
    surface = extract(subject, keep_away(shape.sample(grid), 0.0, 1e-3), 0.0, device)
    faces, points = surface.welded, grid.to_world(surface.vertices)
    # Turned over, as TripoSR does with these vertices, the surface has its volume outside in.
    turned = signed_volume(points[:, ::-1], surface.faces)
    assert shape.volume is not None and shape.area is not None and shape.euler is not None  # noqa: PT018, S101
    values = {
        **figures(surface),
        _DISTANCE: float(shape.distance(points).max(initial=0)) / grid.h,
        _VOLUME: abs(turned / shape.volume - 1),
        _AREA: abs(area(points, surface.faces) / shape.area - 1),
        _EULER: abs(euler(faces) - shape.euler),
    }
    tolerance = {**limits(), _DISTANCE: distance, _VOLUME: 5e-3, _AREA: 2e-3, _EULER: 0}
    return Measured(
        values=values,
        tolerance=tolerance,
        detail=f"signed volume {turned:.5f} with the coordinates turned over, {shape.volume:.5f} exactly",
        pictures={shape.name: functools.partial(_draw, surface, grid)},
    )


def thin_gyroid(subject: Subject, device: str) -> Measured:
    """Hold a surface of high genus, cut by the border of the grid, against all that is known of it."""
    shape, grid = gyroid(), grid_of(40 if subject.quick else _N)
    volume = keep_away(shape.sample(grid), 0.0, 1e-3)
    surface = extract(subject, volume, 0.0, device)
    points = grid.to_world(surface.vertices)
    vertices, faces, *_ = reference_marching_cubes(volume, 0.0, method="lorensen")
    reference = area(vertices.astype(np.float64), faces) * grid.h**2
    padded = pad(volume, -1.0)
    closed = extract(subject, padded, 0.0, device)
    values = {
        **figures(surface),
        _DISTANCE: float(shape.distance(points).max(initial=0)) / grid.h,
        _AREA: abs(area(points, surface.faces) / reference - 1),
        _EULER: abs(euler(closed.welded) - euler_of_solid(padded >= 0)),
    }
    return Measured(
        values=values,
        tolerance={**limits(), _DISTANCE: 0.04, _AREA: 2e-3, _EULER: 0},
        detail=f"Euler characteristic {euler(closed.welded)} when closed, as counted from the grid's voxels; area as "
        "scikit-image's mesh has it",
        pictures={shape.name: functools.partial(_draw, surface, grid)},
    )


def convergence(subject: Subject, device: str) -> Measured:
    """Halve the voxels twice, and see the mean distance from a sphere fall by four each time."""
    shape, errors = sphere(), []
    for n in (17, 33, 65):
        grid = grid_of(n)
        vertices = extract(subject, shape.sample(grid), 0.0, device).vertices
        errors.append(float(shape.distance(grid.to_world(vertices)).mean()) if len(vertices) else math.inf)
    orders = [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors)]
    return Measured(
        values={"order of convergence, off 2 by": max(abs(order - 2) for order in orders)},
        tolerance={"order of convergence, off 2 by": 0.2},
        detail=f"orders {', '.join(f'{order:.2f}' for order in orders)}",
    )


def _draw(surface: Surface, grid: Grid) -> object:
    return draw_mesh(grid.to_world(surface.crossings.points), surface.welded, surface.open_edges)


CHECKS = (
    Check(
        name="sphere",
        claim="A sphere is in its place, closed, turned as documented, with its volume, area and Euler number 2.",
        run=functools.partial(solid, sphere(), 0.02),
    ),
    Check(
        name="torus",
        claim="A torus is in its place, closed, turned as documented, with its volume, area and Euler number 0.",
        run=functools.partial(solid, torus(), 0.04),
    ),
    Check(
        name="gyroid",
        claim="A gyroid is in its place, without a hole, with its area and its many handles.",
        run=thin_gyroid,
    ),
    Check(
        name="convergence",
        claim="The distance from the exact surface falls with the square of the voxel's size.",
        run=convergence,
    ),
)
