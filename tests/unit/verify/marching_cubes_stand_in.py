"""A wheel's functions, by scikit-image and torch: what a suite has to find right, and has to find broken."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from skimage.measure import marching_cubes as skimage_marching_cubes

Tensor = Any
Array = Any


def marching_cubes(volume: Tensor, level: float) -> tuple[Tensor, Tensor]:
    """As `torchmcubes.marching_cubes` should be."""
    if volume.dtype != torch.float32:
        raise TypeError("the volume must be float32")
    if volume.dim() != 3:
        raise ValueError("the volume must have 3 dimensions")
    array = volume.detach().cpu().numpy().astype(np.float64)
    bad = ~np.isfinite(array)
    array[bad] = level + 1
    array -= np.float32(level)
    inside = array >= 0
    if min(array.shape) < 2 or inside.all() or not inside.any():
        return torch.zeros((0, 3)), torch.zeros((0, 3), dtype=torch.int32)
    # What is at the level counts as inside, which scikit-image counts as outside.
    moved = np.where(array == 0, 1e-30, array)
    vertices, faces, *_ = skimage_marching_cubes(moved, 0.0, method="lorensen")
    # With their coordinates turned over the faces are too.
    vertices, faces = vertices[:, ::-1].astype(np.float32), faces[:, ::-1]
    if bad.any():
        vertices, faces = _without(bad, vertices, faces)
    return torch.from_numpy(vertices.copy()), torch.from_numpy(faces.astype(np.int32))


def _without(bad: Array, vertices: Array, faces: Array) -> tuple[Array, Array]:
    """Leave out the faces of all cells with a bad corner, and vertices that no face has then."""
    cell = np.floor(vertices[faces].mean(1)).astype(int)
    spoilt = np.zeros(len(faces), bool)
    for corner in np.ndindex(2, 2, 2):
        z, y, x = np.minimum(cell[:, ::-1] + corner, np.array(bad.shape) - 1).T
        spoilt |= bad[z, y, x]
    used, faces = np.unique(faces[~spoilt], return_inverse=True)
    return vertices[used], faces.reshape(-1, 3)


def grid_interp(volume: Tensor, points: Tensor) -> Tensor:
    """As `torchmcubes.grid_interp` should be."""
    if volume.dtype != torch.float32 or points.dtype != torch.float32:
        raise TypeError("both must be float32")
    if volume.dim() != 4 or points.dim() != 2 or points.shape[1] != 3:
        raise ValueError("the volume must have 4 dimensions, and points be of shape (P, 3)")
    last = torch.tensor(volume.shape[:0:-1]) - 1
    places = torch.where(last > 0, points.double() / last.clamp(min=1) * 2 - 1, torch.zeros(()).double())
    sampled = torch.nn.functional.grid_sample(
        volume.double()[None], places[None, None, None], padding_mode="border", align_corners=True
    )
    return sampled[0, :, 0, 0].T.float()
