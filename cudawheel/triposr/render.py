"""Pictures of a field by volume rendering: what a ray of light gathers on its way, with no mesh between.

As in the original, each ray is cut into parts of the same length within the cube, and a part's optical depth is its
density divided by the number of parts: lengths are counted in what the ray has of the cube, not in units of the scene.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cudawheel.triposr.camera import Camera
from cudawheel.triposr.field import TriplaneField
from cudawheel.triposr.portions import Progress, Tell

SAMPLES = 128
"""Parts of a ray, as in the published config."""
VIEWS, SIDE = 30, 256
"""Pictures of a turntable and pixels of their sides, as in the original."""

_WHITE = 1.0
# Rays are cut off a little within the cube, as in the original.
_TIGHTENED = 1 - 1e-3
# Rays that have less of the cube than this are white.
_SHORTEST = 0.01
# A direction that is nearly parallel to a face never meets it.
_PARALLEL = 1e-6
_ROUNDING = 1e-10
# Rays at the same time: their samples have to fit into memory, together with the density and colour of each.
_RAYS = 1 << 15


def turntable(views: int = VIEWS) -> list[Camera]:
    """Give the cameras of a turn around the scene, the first on the x axis."""
    return [Camera(azimuth=360 * view / views) for view in range(views)]


@torch.no_grad()
def render(
    field: TriplaneField,
    camera: Camera,
    *,
    side: int = SIDE,
    samples: int = SAMPLES,
    chunk_size: int | None = None,
    tell: Tell | None = None,
) -> Tensor:
    """Render a field on white.

    Args:
        field: the field.
        camera: where it is seen from.
        side: pixels of the picture, which is square.
        samples: parts of a ray.
        chunk_size: points at a time; by default as many as memory allows.
        tell: is called with a sentence when memory ran out and portions become smaller.

    Returns:
        (side, side, 3), red, green and blue in 0..1, the upper row first.

    Raises:
        DeviceMemoryError: memory does not suffice.
    """
    like = field.planes
    directions = torch.from_numpy(camera.rays(side, side)).to(like.device, like.dtype).flatten(0, 1)
    origin = torch.from_numpy(np.asarray(camera.position)).to(like.device, like.dtype)
    near, far = _within(origin, directions, _TIGHTENED * field.radius)
    picture = torch.full_like(directions, _WHITE)
    for rays in torch.nonzero(far - near > _SHORTEST).flatten().split(_RAYS):
        parts = (torch.arange(samples, device=like.device, dtype=like.dtype) + 0.5) / samples
        along = near[rays, None] + (far - near)[rays, None] * parts
        points = origin + along[..., None] * directions[rays, None]
        raw = field.raw(points.flatten(0, 1), chunk_size=chunk_size, tell=tell).view(*along.shape, -1)
        picture[rays] = _composited(field.density(raw) / samples, field.colour(raw))
    return picture.view(side, side, 3)


def render_turntable(
    field: TriplaneField,
    *,
    views: int = VIEWS,
    side: int = SIDE,
    chunk_size: int | None = None,
    progress: Progress | None = None,
    tell: Tell | None = None,
) -> Tensor:
    """Render a field from all around.

    Args:
        field: the field.
        views: how many pictures.
        side: pixels of each.
        chunk_size: points at a time; by default as many as memory allows.
        progress: is called with the pictures done and all of them.
        tell: is called with a sentence when memory ran out and portions become smaller.

    Returns:
        (views, side, side, 3), 8 bits, in the main memory.
    """
    pictures = []
    for number, camera in enumerate(turntable(views), start=1):
        picture = render(field, camera, side=side, chunk_size=chunk_size, tell=tell)
        pictures.append((picture.clamp(0, 1) * 255).round().byte().cpu())
        if progress:
            progress(number, views)
    return torch.stack(pictures)


def _within(origin: Tensor, directions: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Say where rays, (N, 3), enter the cube and where they leave it, (N,) each; those that miss it leave first."""
    steep = torch.where(directions.abs() < _PARALLEL, torch.full_like(directions, _PARALLEL), directions)
    one, other = (radius - origin) / steep, (-radius - origin) / steep
    near = torch.minimum(one, other).amax(dim=-1).clamp_min(0)
    return near, torch.maximum(one, other).amin(dim=-1)


def _composited(depth: Tensor, colour: Tensor) -> Tensor:
    """Give what rays show, (N, 3): the optical depth of each part, (N, S), and its colour, (N, S, 3), before white."""
    opacity = 1 - torch.exp(-depth)
    passed = torch.cumprod(1 - opacity + _ROUNDING, dim=1)
    weights = opacity * torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], dim=1)
    shown = torch.einsum("ns,nsc->nc", weights, colour)
    return shown + (1 - weights.sum(dim=1, keepdim=True)) * _WHITE
