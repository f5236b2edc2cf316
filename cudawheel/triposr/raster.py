"""Triangles to pixels, with a depth buffer, in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

# Pixels that are tried at the same time.
_BATCH = 1 << 21
_NO_AREA = 1e-12
# A pixel whose middle lies on the edge of two triangles belongs to either; rounding must not give it to none.
_EDGE = -1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragments:
    """What is seen in each pixel.

    Attributes:
        face: (H, W), the triangle's index, -1 where there is none.
        weights: (H, W, 3), how much of each of its corners, adding up to 1 on the screen.
        depth: (H, W), infinite where there is none.
    """

    face: Indices
    weights: Array
    depth: Array

    @property
    def covered(self) -> npt.NDArray[np.bool_]:
        """(H, W), where there is a triangle."""
        covered: npt.NDArray[np.bool_] = self.face >= 0
        return covered


def rasterise(places: Array, depth: Array, faces: Indices, height: int, width: int) -> Fragments:
    """Find the nearest triangle of every pixel's middle.

    Args:
        places: corners on the screen, (V, 2), column and row in pixels.
        depth: of the corners, (V,); the least is seen. It is interpolated linearly on the screen.
        faces: (F, 3), indices of corners; both sides are seen.
        height: pixels.
        width: pixels.
    """
    corners = places[faces]
    # The first and the last pixel, a column and a row, whose middle may lie within.
    low = np.maximum(np.ceil(corners.min(axis=1) - 0.5), 0).astype(np.int64)
    high = np.minimum(np.floor(corners.max(axis=1) - 0.5), [width - 1, height - 1]).astype(np.int64)
    spans = high - low + 1
    shown = np.flatnonzero((spans > 0).all(axis=1) & (np.abs(_area(corners)) > _NO_AREA))
    # Triangles of like size are done together, each trying as many pixels as the largest of them.
    sizes = np.ceil(np.log2(spans[shown].max(axis=1))).astype(np.int64)
    nearest = np.full(height * width, np.iinfo(np.uint64).max, dtype=np.uint64)
    for size in np.unique(sizes):
        side = 1 << int(size)
        members = shown[sizes == size]
        batch = max(1, _BATCH // side**2)
        for start in range(0, len(members), batch):
            some = members[start : start + batch]
            pixels = low[some, None] + np.stack(np.divmod(np.arange(side**2), side)[::-1], axis=-1)
            _offer(nearest, some, pixels, corners=corners[some], depth=depth[faces[some]], shape=(height, width))
    return _fragments(nearest, corners, depth[faces], height, width)


def _offer(
    nearest: npt.NDArray[np.uint64],
    members: Indices,
    pixels: Indices,
    *,
    corners: Array,
    depth: Array,
    shape: tuple[int, int],
) -> None:
    """Let pixels, (T, P, 2), have triangles where these cover them and are nearer than what they have."""
    weights = _weights(pixels.astype(np.float64) + 0.5, corners[:, None])
    inside = (weights >= _EDGE).all(axis=-1) & (pixels < np.array(shape[::-1])).all(axis=-1)
    triangle, pixel = np.nonzero(inside)
    at = np.einsum("ij,ij->i", weights[triangle, pixel], depth[triangle])
    # The depth and the triangle in one number, so that one minimum decides: positive floats are in the order of their
    # bits.
    bits = np.maximum(at, 0).astype(np.float32).view(np.uint32).astype(np.uint64)
    key = (bits << np.uint64(32)) | members[triangle].astype(np.uint64)
    place = pixels[triangle, pixel]
    np.minimum.at(nearest, place[:, 1] * shape[1] + place[:, 0], key)


def _fragments(nearest: npt.NDArray[np.uint64], corners: Array, depth: Array, height: int, width: int) -> Fragments:
    face = np.full(height * width, -1, dtype=np.int64)
    covered = np.flatnonzero(nearest != np.iinfo(np.uint64).max)
    face[covered] = (nearest[covered] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    weights = np.zeros((height * width, 3))
    middles = np.stack([covered % width + 0.5, covered // width + 0.5], axis=1)
    weights[covered] = _weights(middles, corners[face[covered]])
    seen = np.full(height * width, np.inf)
    seen[covered] = np.einsum("ij,ij->i", weights[covered], depth[face[covered]])
    return Fragments(
        face=face.reshape(height, width), weights=weights.reshape(height, width, 3), depth=seen.reshape(height, width)
    )


def _area(corners: Array) -> Array:
    """Twice the signed area of triangles, (..., 3, 2)."""
    first, second = corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :]
    area: Array = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    return area


def _weights(places: Array, corners: Array) -> Array:
    """Give the barycentric coordinates, (..., 3), of places, (..., 2), in triangles, (..., 3, 2)."""
    whole = _area(corners)
    parts = []
    for corner in range(2):
        a, b = corners[..., (corner + 1) % 3, :], corners[..., (corner + 2) % 3, :]
        across = (b - a)[..., 0] * (places - a)[..., 1] - (b - a)[..., 1] * (places - a)[..., 0]
        parts.append(across / whole)
    return np.stack([*parts, 1 - parts[0] - parts[1]], axis=-1)
