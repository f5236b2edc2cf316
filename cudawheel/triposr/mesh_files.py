"""Meshes as files: OBJ, PLY and GLB with a colour for each vertex.

OBJ is written by our own hand: digits are taken off all numbers at once, on the device that the mesh is on, since a
mesh of 256^3 has half a million lines.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cudawheel.triposr.mesh import Mesh

if TYPE_CHECKING:
    import trimesh

FORMATS = ("obj", "glb", "ply")

_PLACE_DECIMALS, _COLOUR_DECIMALS = 7, 4
_SPACE, _NEWLINE, _MINUS, _POINT, _ZERO = b" \n-.0"


def write_mesh(mesh: Mesh, file: Path) -> None:
    """Write a mesh in the format that the file's suffix names, one of `FORMATS`."""
    if file.suffix == ".obj":
        file.write_bytes(obj_bytes(mesh))
    else:
        file.write_bytes(as_trimesh(mesh).export(file_type=file.suffix.removeprefix(".")))


def as_trimesh(mesh: Mesh) -> trimesh.Trimesh:
    """Give a mesh as trimesh's, unprocessed: nothing merged, nothing left out."""
    import trimesh  # noqa: PLC0415 - slow, and OBJ needs none of it

    colours = (mesh.colours * 255).round().clamp(0, 255).byte()
    return trimesh.Trimesh(
        vertices=mesh.vertices.cpu().numpy(),
        faces=mesh.faces.cpu().numpy(),
        vertex_colors=colours.cpu().numpy(),
        process=False,
    )


def obj_bytes(mesh: Mesh) -> memoryview:
    """Give a mesh as the text of an OBJ file: `v x y z red green blue`, with 7 and 4 decimals, and `f a b c`."""
    places = _decimals(mesh.vertices, _PLACE_DECIMALS)
    colours = _decimals(mesh.colours, _COLOUR_DECIMALS)
    vertices = _lines(ord("v"), torch.cat([places, colours], dim=1))
    faces = _lines(ord("f"), _integers(mesh.faces + 1).flatten(1))
    return memoryview(torch.cat([vertices, faces]).cpu().numpy())


def _lines(letter: int, text: Tensor) -> Tensor:
    """Put a letter before and a newline behind each row of text, and take out all that is 0.

    Args:
        letter: the first of each line.
        text: (N, W), ASCII, uint8.
    """
    ends = text.new_empty((len(text), 1))
    whole = torch.cat([torch.full_like(ends, letter), text, torch.full_like(ends, _NEWLINE)], dim=1).flatten()
    return whole[whole != 0]


def _decimals(values: Tensor, decimals: int) -> Tensor:
    """Write numbers with a fixed number of decimals.

    Args:
        values: (N, K).
        decimals: how many.

    Returns:
        (N, K x W), ASCII with 0 where a number needs no digit; each begins with a space.
    """
    scaled = (values.double() * 10**decimals).round().long()
    size = scaled.abs()
    whole, part = size // 10**decimals, size % 10**decimals
    sign = torch.where(scaled < 0, _MINUS, 0).to(torch.uint8)[..., None]
    point = torch.full_like(sign, _POINT)
    fraction = torch.stack([(part // 10**place) % 10 for place in reversed(range(decimals))], dim=-1) + _ZERO
    text = [torch.full_like(sign, _SPACE), sign, _digits(whole), point, fraction.to(torch.uint8)]
    return torch.cat(text, dim=-1).flatten(1)


def _integers(values: Tensor) -> Tensor:
    """Write numbers that are not negative, (N, K), as (N, K, W), ASCII with 0 before them; each begins with a space."""
    digits = _digits(values)
    return torch.cat([torch.full_like(digits[..., :1], _SPACE), digits], dim=-1)


def _digits(values: Tensor) -> Tensor:
    """Give the digits of integers as ASCII in a new last dimension, 0 in place of zeros that lead."""
    places = len(str(int(values.max()))) if values.numel() else 1
    written = []
    for place in reversed(range(places)):
        rest = values // 10**place
        digit = rest % 10 + _ZERO
        written.append(digit if place == 0 else digit * (rest > 0))
    return torch.stack(written, dim=-1).to(torch.uint8)
