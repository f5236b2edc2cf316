"""Pictures of what was checked, drawn with numpy and written as PNG: nothing else is needed where a wheel runs."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

from cudawheel.verify.oracles.fields import Array

_SPREAD = (0.7548776662466927, 0.5698402909980532)  # 1 / g and 1 / g^2 for g^3 = g + 1
WHITE, GREEN, RED, BLUE = (255, 255, 255), (26, 127, 55), (193, 18, 31), (70, 110, 170)
_SIDE = 320
_SAMPLES = 4  # points on a surface for each pixel that it would cover alone
_MOST_SAMPLES = 1_500_000
_DEPTHS = 1 << 16


def write_png(path: Path, pixels: Array) -> None:
    """Write pixels (height, width, 3), uint8."""
    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1).astype(np.uint8)], 1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(rows.tobytes(), 9)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def draw_squares(right: Array, *, columns: int = 16, size: int = 18) -> Array:
    """Draw one square for each truth value, in rows: green where it is right, red where it is wrong."""
    rows = -(-len(right) // columns)
    pixels = np.full((rows * size + 2, columns * size + 2, 3), WHITE, np.uint8)
    for index, good in enumerate(right):
        y, x = (2 + size * part for part in divmod(index, columns))
        pixels[y : y + size - 2, x : x + size - 2] = GREEN if good else RED
    return pixels


def draw_mesh(points: Array, faces: Array, open_ends: Array | None = None) -> Array:
    """Draw a mesh, shaded, seen from a corner above, with its open edges in red on top.

    Args:
        points: (V, 3).
        faces: (F, 3).
        open_ends: (E, 2), indices of the edges to be marked.
    """
    pixels = np.full((_SIDE, _SIDE, 3), WHITE, np.uint8)
    if not len(faces):
        return pixels
    view = _camera()
    seen = points @ view.T
    low, high = seen[np.unique(faces)].min(0), seen[np.unique(faces)].max(0)
    scale = (_SIDE - 21) / max(float((high - low)[:2].max()), 1e-9)
    seen = (seen - (low + high) / 2) * scale
    corners = seen.astype(np.float32)[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    sizes = np.linalg.norm(normals, axis=1)
    # As many points on each triangle as its area asks for, at places that are spread evenly, the same at each run.
    a_pixel = min(_SAMPLES, _MOST_SAMPLES / max(sizes.sum() / 2, 1e-9))
    counts = np.ceil(sizes / 2 * a_pixel + 1).astype(np.int64)
    which = np.repeat(np.arange(len(faces)), counts)
    # Of this sequence any stretch is spread evenly over the square, as random numbers are not.
    u, v = np.modf(np.outer(_SPREAD, np.arange(len(which))))[0].astype(np.float32)
    over = u + v > 1
    u, v = np.where(over, 1 - u, u), np.where(over, 1 - v, v)
    sides = corners[:, 1:] - corners[:, :1]
    place = corners[which, 0] + u[:, None] * sides[which, 0] + v[:, None] * sides[which, 1]
    light = np.abs(normals @ np.array([0.35, 0.45, 0.82])) / np.maximum(sizes, 1e-9)
    _splat(pixels, place, (np.array(BLUE) * (0.35 + 0.65 * light)[:, None]).astype(np.uint8)[which])
    if open_ends is not None and len(open_ends):
        a, b = seen[open_ends[:, 0]], seen[open_ends[:, 1]]
        pixels_long = float(np.linalg.norm(b - a, axis=1).max())
        steps = np.linspace(0, 1, 2 + int(pixels_long))[:, None, None]
        line = (a + steps * (b - a)).reshape(-1, 3)
        line = np.concatenate([line, line + np.array([1.0, 0, 0]), line + np.array([0, 1.0, 0])])
        _splat(pixels, line, np.broadcast_to(np.array(RED, np.uint8), line.shape))
    return pixels


def _camera() -> Array:
    """Give the rows right, up and towards the eye: from a corner above, z up."""
    eye = np.array([0.6, -0.65, 0.5])
    eye /= np.linalg.norm(eye)
    right = np.cross([0.0, 0.0, 1.0], eye)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(eye, right), eye])


def _splat(pixels: Array, place: Array, colours: Array) -> None:
    """Set each pixel to the colour of the point in front."""
    x = np.clip(np.rint(_SIDE / 2 + place[:, 0]), 0, _SIDE - 1).astype(np.int64)
    y = np.clip(np.rint(_SIDE / 2 - place[:, 1]), 0, _SIDE - 1).astype(np.int64)
    depth = place[:, 2] - place[:, 2].min()
    # As whole numbers of 16 bits depths are sorted in a tenth of the time, and a picture needs no more of them.
    depth = (depth * ((_DEPTHS - 1) / max(float(depth.max()), 1e-9))).astype(np.uint16)
    order = np.argsort(depth, kind="stable")  # of equal indices, numpy keeps the last: the one in front
    pixels[y[order], x[order]] = colours[order]
