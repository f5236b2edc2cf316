"""Checks on fitted scenes: what TripoSR's decoder makes of a triplane, through the wheel, against the shape it is of.

A scene was fitted to a shape whose distance, volume and Euler characteristic are known exactly. Its density is what
marching cubes is there for: it varies by orders of magnitude from voxel to voxel, and was made on the same device.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes as reference_marching_cubes

from cudawheel.triposr.shapes import SHAPES
from cudawheel.verify.oracles.crossings import TOLERANCE
from cudawheel.verify.oracles.fields import Array, keep_away
from cudawheel.verify.oracles.mesh import euler, inside_of, largest_part, signed_volume
from cudawheel.verify.oracles.picture import draw_mesh
from cudawheel.verify.suite import Check, Measured, UnprovenError
from cudawheel.verify.suites.torchmcubes.subject import Subject, Surface, extract, figures, limits

_RESOLUTION, _SMALL = 128, 112
_POINTS = 15_000  # at so many of the grid's points, drawn at random, the exact distance is asked for
_VERTICES = 3000  # and at so many vertices
_MARGIN = 1e-3  # beside densities that change by some 25 a voxel where they are 25

_UNION = "1 - intersection over union with the shape"
_DISTANCE = "mean distance of the vertices from the shape (voxels)"
_VOLUME = "error of the volume (relative)"
_EULER = "error of the Euler characteristic of the largest part"
_SPECKS = "triangles of other parts (of all)"
_REFERENCE = "vertices that only one of this mesh and scikit-image's has"
_REFERENCE_VOLUME = "volume against that of scikit-image's mesh (relative)"
# What a fit of 16 features reaches, with room; the figures of the mesh itself have none.
_TOLERANCE = {
    _UNION: 0.05,
    _DISTANCE: 0.25,
    _VOLUME: 0.04,
    _EULER: 0.0,
    _SPECKS: 1e-3,
    _REFERENCE: 0.0,
    _REFERENCE_VOLUME: 1e-3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cube:
    """The grid of a scene.

    Attributes:
        resolution: voxels along each axis.
        radius: half the edge of the cube that they fill.
    """

    resolution: int
    radius: float

    @property
    def voxel(self) -> float:
        """The edge of a voxel."""
        return 2 * self.radius / (self.resolution - 1)

    def to_world(self, points: Array) -> Array:
        """Turn vertices (V, 3) in voxels, whose x runs along dimension 2, into places; there dimension 0 is x."""
        return points[:, ::-1] * self.voxel - self.radius

    def some_voxels(self) -> Array:
        """Give the indices of some voxels, (N, 3); a regular choice would meet flat faces all at once, or never."""
        return np.random.default_rng(1).integers(0, self.resolution, (_POINTS, 3))


def density(name: str, resolution: int, device: str) -> tuple[Array, Cube]:
    """Give a scene's density less that of the surface, (R, R, R) float32, from the device it was decoded on.

    Raises:
        UnprovenError: the scene is not there.
    """
    values, radius = _decoded(name, resolution, device)
    return keep_away(values, 0.0, _MARGIN), Cube(resolution=resolution, radius=radius)


@functools.lru_cache(maxsize=4)
def _decoded(name: str, resolution: int, device: str) -> tuple[Array, float]:
    """Decode a scene; kept, since a fault that is put in on purpose is tried with what was there without it."""
    try:
        from cudawheel.triposr.grid import density_on_grid  # noqa: PLC0415 - only this check needs what they need
        from cudawheel.triposr.scene import load_scene, scene_names  # noqa: PLC0415
        from cudawheel.triposr.surface import SURFACE_DENSITY  # noqa: PLC0415
    except ImportError as missing:
        raise UnprovenError(f"the fitted scenes cannot be read here: {missing}") from missing
    if name not in scene_names():
        raise UnprovenError("there is no fitted scene of this name")
    field = load_scene(name, device=device).field
    return density_on_grid(field, resolution, fused=False).cpu().numpy() - np.float32(SURFACE_DENSITY), field.radius


def fitted(name: str, subject: Subject, device: str) -> Measured:
    """Hold the mesh of a scene against its shape, and against scikit-image's mesh of the same density."""
    volume, cube = density(name, _SMALL if subject.quick else _RESOLUTION, device)
    surface = extract(subject, volume, 0.0, device)
    shape = SHAPES[name]
    voxels = cube.some_voxels()
    places = voxels * cube.voxel - cube.radius
    whole = largest_part(surface.welded)
    used = surface.crossings.points[np.unique(surface.welded)]
    points = cube.to_world(surface.vertices)
    # Their coordinates are turned over already, so that the faces are seen from outside.
    enclosed = signed_volume(points, surface.faces)
    some = np.random.default_rng(0).permutation(len(points))[:_VERTICES]
    values = {
        **figures(surface),
        _UNION: _difference(inside_of(used, surface.crossings.shape)[tuple(voxels.T)], shape.inside(places)),
        _DISTANCE: float(np.abs(shape.sdf(points[some])).mean()) / cube.voxel if len(points) else np.inf,
        _VOLUME: abs(enclosed / shape.volume - 1),
        # A fit may leave a speck beside its shape, which is not the wheel's doing.
        _EULER: abs(euler(whole) - shape.euler_characteristic),
        _SPECKS: 1 - len(whole) / max(1, len(surface.faces)),
        **_against_reference(volume, surface, abs(enclosed) / cube.voxel**3),
    }
    return Measured(
        values=values,
        tolerance={**limits(), **_TOLERANCE},
        detail=f"{len(surface.faces)} triangles at {cube.resolution}^3, volume {enclosed:.5f}; the shape's is "
        f"{shape.volume:.5f}, its Euler characteristic {shape.euler_characteristic}",
        pictures={f"scene-{name}": functools.partial(_draw, surface, cube)},
    )


def _difference(found: Array, expected: Array) -> float:
    """Give 1 - intersection / union."""
    union = (found | expected).sum()
    return float(1 - (found & expected).sum() / union) if union else 0.0


def _against_reference(volume: Array, surface: Surface, enclosed: float) -> dict[str, float]:
    reference, faces, *_ = reference_marching_cubes(volume, 0.0, method="lorensen")
    reference = reference.astype(np.float64)
    expected, found = reference[:, ::-1], surface.vertices
    if not len(found):
        return {_REFERENCE: float(len(expected)), _REFERENCE_VOLUME: 1.0}
    there, back = cKDTree(expected).query(found)[0], cKDTree(found).query(expected)[0]
    return {
        _REFERENCE: float((there > TOLERANCE).sum() + len(np.unique(expected[back > TOLERANCE], axis=0))),
        _REFERENCE_VOLUME: abs(enclosed / abs(signed_volume(reference, faces)) - 1),
    }


def _draw(surface: Surface, cube: Cube) -> object:
    return draw_mesh(cube.to_world(surface.crossings.points), surface.welded, surface.open_edges)


CHECKS = tuple(
    Check(
        name=f"scene {name}",
        claim=f"The mesh of the fitted scene {name!r} is closed, has the shape, volume and Euler characteristic of "
        "what it was fitted to, and the vertices of scikit-image's.",
        run=functools.partial(fitted, name),
    )
    for name in SHAPES
)
