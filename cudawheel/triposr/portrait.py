"""One picture of a mesh: lit by a lamp and the sky, standing on a floor that it casts a shadow on.

For looking at a result without a viewer; nothing of it is measured. The mesh itself is drawn, flaws and all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from cudawheel.triposr.camera import Camera
from cudawheel.triposr.mesh import Mesh
from cudawheel.triposr.raster import Fragments, rasterise

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

SIDE = 768
"""Pixels of the picture's side."""

_CAMERA = Camera(azimuth=34, elevation=20, field_of_view=28)
_LAMP = Camera(azimuth=80, elevation=55, distance=5.0, field_of_view=26)
_MAP_SIDE = 768
# Drawn so many times as large, and then made smaller, for smooth edges.
_FINER = 2
_GAMMA = 2.2
_LAMP_COLOUR = np.array([1.00, 0.95, 0.86]) * 1.15
_SKY, _GROUND = np.array([0.46, 0.51, 0.60]), np.array([0.27, 0.25, 0.23])
_FLOOR, _BACKDROP = np.array([0.80, 0.80, 0.81]), np.array([0.80, 0.82, 0.85])
_FLOOR_REACH, _SHADE = 1.6, 0.42
_GLOSS, _SHININESS = 0.10, 40
_GRAZING, _TURNED = 0.02, 0.25
# How far the lamp's map of depths may be off before a place counts as in its shadow.
_BIAS = 0.02
_RING = [(float(np.cos(angle)), float(np.sin(angle))) for angle in np.arange(8) * np.pi / 4 + 0.3]
# The lamp is no point: the places on its map, in pixels, at which a shadow is looked up.
_DISC = [(0.0, 0.0), *((radius * x, radius * y) for radius in (3.0, 6.5) for x, y in _RING)]
# Crevices: how far around, in parts of the picture's height, how deep in the scene for each of these, how dark.
_NEIGHBOURHOOD, _DEEP, _CREVICE, _FAR = (0.008, 0.02), 1.2, 0.5, 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lamp:
    """The lamp, and how far it sees.

    Attributes:
        camera: stands where the lamp does.
        reach: the depth of what it lights, by its pixels, with one pixel of nothing around all.
    """

    camera: Camera
    reach: Array

    @classmethod
    def over(cls, vertices: Array, faces: Indices, target: tuple[float, float, float]) -> _Lamp:
        """Let it look at a mesh."""
        camera = replace(_LAMP, target=target)
        seen = rasterise(*camera.project(vertices, _MAP_SIDE, _MAP_SIDE), faces, _MAP_SIDE, _MAP_SIDE)
        return cls(camera=camera, reach=np.pad(seen.depth, 1, constant_values=np.inf))

    def light(self, places: Array) -> Array:
        """Say how much of the lamp is seen from places, (N, 3) -> (N,), 0 to 1."""
        at, depth = self.camera.project(places, _MAP_SIDE, _MAP_SIDE)
        lit = np.zeros(len(places))
        for across, down in _DISC:
            column = np.clip(np.floor(at[:, 0] + across).astype(np.int64) + 1, 0, _MAP_SIDE + 1)
            row = np.clip(np.floor(at[:, 1] + down).astype(np.int64) + 1, 0, _MAP_SIDE + 1)
            lit += depth < self.reach[row, column] + _BIAS
        return lit / len(_DISC)


def portrait(mesh: Mesh, *, side: int = SIDE) -> Image.Image:
    """Draw a mesh.

    Args:
        mesh: what to draw.
        side: pixels of the picture, which is square.

    Returns:
        mode RGB.
    """
    vertices, faces = mesh.vertices.cpu().numpy().astype(np.float64), mesh.faces.cpu().numpy()
    colours = mesh.colours.cpu().numpy().astype(np.float64) ** _GAMMA
    size = side * _FINER
    camera = _framed(vertices)
    seen = rasterise(*camera.project(vertices, size, size), faces, size, size)
    rays = camera.rays(size, size)
    lamp = _Lamp.over(vertices, faces, camera.target)
    picture = _backdrop(camera, rays, seen, floor=float(vertices[:, 2].min()), lamp=lamp)
    # From here on pixels with something in them, (N, ...).
    weights, corners = seen.weights[seen.covered], faces[seen.face[seen.covered]]
    towards = rays[seen.covered]
    places = camera.position + (seen.depth[seen.covered] / (towards @ camera.axes[2]))[:, None] * towards
    normals = _towards(np.einsum("nk,nkc->nc", weights, vertex_normals(vertices, faces)[corners]), camera)
    light = lamp.light(places)
    received = _received(normals, light, _openness(seen)[seen.covered])
    picture[seen.covered] = np.einsum("nk,nkc->nc", weights, colours[corners]) * received
    picture[seen.covered] += _gloss(normals, towards, light)
    bytes_ = (np.clip(picture, 0, 1) ** (1 / _GAMMA) * 255).round().astype(np.uint8)
    return Image.fromarray(bytes_).resize((side, side), Image.Resampling.BOX)


def vertex_normals(vertices: Array, faces: Indices) -> Array:
    """Give the normals of length 1 of vertices, (V, 3): of the faces around each, the larger ones counting more."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    across = np.cross(b - a, c - a)
    summed: Array = np.stack(
        [np.bincount(faces.ravel(), np.repeat(across[:, axis], 3), len(vertices)) for axis in range(3)], axis=1
    )
    return _unit(summed)


def _framed(vertices: Array) -> Camera:
    """Give the camera from which all of a mesh is seen, and little around it."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    middle = (low + high) / 2
    reach = float(np.linalg.norm(vertices - middle, axis=1).max())
    distance = 1.04 * reach / np.sin(np.radians(_CAMERA.field_of_view) / 2)
    return replace(_CAMERA, distance=float(distance), target=(float(middle[0]), float(middle[1]), float(middle[2])))


def _backdrop(camera: Camera, rays: Array, seen: Fragments, *, floor: float, lamp: _Lamp) -> Array:
    """Draw the floor with the shadow on it, (H, W, 3); it fades into the backdrop with the distance from the object."""
    picture = np.broadcast_to(_BACKDROP, rays.shape).copy()
    row, column = np.nonzero(~seen.covered & (rays[..., 2] < -_GRAZING))
    down = rays[row, column]
    places = camera.position + ((floor - camera.position[2]) / down[:, 2])[:, None] * down
    aside = places[:, :2] - np.array(camera.target[:2])
    near = np.exp(-np.einsum("nc,nc->n", aside, aside) / _FLOOR_REACH**2)[:, None]
    lit = _FLOOR * (_SHADE + (1 - _SHADE) * lamp.light(places)[:, None])
    picture[row, column] = near * lit + (1 - near) * _BACKDROP
    return picture


def _openness(seen: Fragments) -> Array:
    """Say how little of the sky the neighbourhood hides, (H, W), 0 to 1: judged by how far it stands out in depth."""
    height = len(seen.depth)
    hidden = np.zeros_like(seen.depth)
    depth = np.where(seen.covered, seen.depth, _FAR)
    for radius in _NEIGHBOURHOOD:
        for across, down in _RING:
            shift = (round(down * radius * height), round(across * radius * height))
            nearer = depth - np.roll(depth, shift, axis=(0, 1))
            # What stands out by more than its distance belongs to something else in front.
            hidden += np.clip(nearer / (radius * _DEEP), 0, 1) * (nearer < _DEEP * 3 * radius)
    return 1 - _CREVICE * np.clip(hidden / len(_RING), 0, 2)


def _received(normals: Array, light: Array, openness: Array) -> Array:
    """Give the light that the surface receives from sky and lamp, (N, 3)."""
    up = (normals[:, 2:] + 1) / 2
    sky = (up * _SKY + (1 - up) * _GROUND) * openness[:, None]
    facing = np.maximum(normals @ -_LAMP.axes[2], 0) * light
    return sky + facing[:, None] * _LAMP_COLOUR


def _gloss(normals: Array, towards: Array, light: Array) -> Array:
    """Give the lamp's mirror image on the surface, (N, 1)."""
    between = _unit(-towards - _LAMP.axes[2])
    mirrored = np.maximum(np.einsum("nc,nc->n", normals, between), 0) ** _SHININESS
    return (_GLOSS * mirrored * light)[:, None]


def _towards(normals: Array, camera: Camera) -> Array:
    """Turn normals to the camera and to length 1: a mesh may be open, or inside out."""
    normals = _unit(normals)
    turned: Array = np.where((normals @ camera.axes[2])[:, None] > _TURNED, -normals, normals)
    return turned


def _unit(vectors: Array) -> Array:
    """Give vectors, (N, 3), the length 1."""
    squared = np.einsum("nc,nc->n", vectors, vectors)
    return vectors / np.sqrt(np.maximum(squared, 1e-30))[:, None]
