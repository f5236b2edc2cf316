"""Meshes as files: OBJ, PLY and GLB with a colour for each vertex, OBJ and GLB with a texture.

OBJ is written by our own hand: digits are taken off all numbers at once, on the device that the mesh is on, since a
mesh of 256^3 has half a million lines. It and PLY keep the scene's axes, z up; GLB prescribes y up, and gets a node
that turns the mesh so that it stands upright and faces the viewer.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cudawheel.errors import UsageError
from cudawheel.triposr.mesh import Mesh
from cudawheel.triposr.texture import Texture

if TYPE_CHECKING:
    import numpy as np
    import trimesh

FORMATS = ("obj", "glb", "ply")
TEXTURED_FORMATS = ("obj", "glb")

# glTF: y is up and what faces forward looks along +z. A scene has z up and faces +x.
_UPRIGHT = [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
_MATERIAL = "newmtl scene\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {picture}\n"

_PLACE_DECIMALS, _COLOUR_DECIMALS = 7, 4
_SPACE, _NEWLINE, _MINUS, _POINT, _ZERO, _SLASH = b" \n-.0/"


def mesh_files(mesh: Mesh, kind: str, *, texture: Texture | None = None, stem: str = "mesh") -> dict[str, bytes]:
    """Give the files of a mesh by their names, the mesh's own first.

    Args:
        mesh: the mesh.
        kind: one of `FORMATS`.
        texture: takes the place of the vertices' colours; an OBJ names it, a GLB holds it.
        stem: of the files' names.

    Raises:
        UsageError: files of that kind cannot have a texture.
    """
    require_format(kind, textured=texture is not None)
    name = f"{stem}.{kind}"
    if kind == "glb":
        return {name: _glb(mesh, texture)}
    if kind == "ply":
        return {name: as_trimesh(mesh).export(file_type="ply")}
    if texture is None:
        return {name: bytes(obj_bytes(mesh))}
    picture, material = f"{stem}.png", f"{stem}.mtl"
    return {
        name: f"mtllib {material}\nusemtl scene\n".encode() + bytes(textured_obj_bytes(mesh, texture)),
        material: _MATERIAL.format(picture=picture).encode(),
        picture: png_bytes(texture),
    }


def require_format(kind: str, *, textured: bool) -> None:
    """Let pass a format that can hold what is asked for.

    Raises:
        UsageError: there is no such format, or it cannot have a texture.
    """
    if kind not in FORMATS:
        raise UsageError(f"there is no format {kind!r}", remedy=f"There are {', '.join(FORMATS)}.")
    if textured and kind not in TEXTURED_FORMATS:
        raise UsageError(
            f"a {kind.upper()} file has no texture",
            remedy=f"Choose {' or '.join(TEXTURED_FORMATS)} with --format, or leave --bake-texture out: vertices have "
            "colours.",
        )


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


def png_bytes(texture: Texture) -> bytes:
    """Give the picture of a texture as a PNG file."""
    sink = io.BytesIO()
    texture.picture.save(sink, format="PNG")
    return sink.getvalue()


def _glb(mesh: Mesh, texture: Texture | None) -> bytes:
    import trimesh  # noqa: PLC0415 - as above

    scene = trimesh.Scene()
    shape = as_trimesh(mesh) if texture is None else _as_textured_trimesh(mesh, texture)
    scene.add_geometry(shape, node_name="scene", geom_name="mesh", transform=_UPRIGHT)
    exported: bytes = scene.export(file_type="glb")
    return exported


def _as_textured_trimesh(mesh: Mesh, texture: Texture) -> trimesh.Trimesh:
    import trimesh  # noqa: PLC0415 - as above

    # A corner of a GLB has one place in space and one on the texture: vertices on cuts are there several times.
    vertices: np.ndarray = mesh.vertices.cpu().numpy()[texture.vertices]
    material = trimesh.visual.material.PBRMaterial(
        baseColorTexture=texture.picture, metallicFactor=0.0, roughnessFactor=0.9
    )
    visual = trimesh.visual.TextureVisuals(uv=texture.places, material=material)
    return trimesh.Trimesh(vertices=vertices, faces=texture.faces, visual=visual, process=False)


def obj_bytes(mesh: Mesh) -> memoryview:
    """Give a mesh as the text of an OBJ file: `v x y z red green blue`, with 7 and 4 decimals, and `f a b c`."""
    places = _decimals(mesh.vertices, _PLACE_DECIMALS)
    colours = _decimals(mesh.colours, _COLOUR_DECIMALS)
    vertices = _lines(b"v", torch.cat([places, colours], dim=1))
    faces = _lines(b"f", _integers(mesh.faces + 1).flatten(1))
    return memoryview(torch.cat([vertices, faces]).cpu().numpy())


def textured_obj_bytes(mesh: Mesh, texture: Texture) -> memoryview:
    """Give the lines of an OBJ file with a texture: `v x y z`, `vt u v` and `f a/p b/q c/r`."""
    device = mesh.vertices.device
    flat = torch.from_numpy(texture.faces).to(device)
    vertices = _lines(b"v", _decimals(mesh.vertices, _PLACE_DECIMALS))
    places = _lines(b"vt", _decimals(torch.from_numpy(texture.places).to(device), _PLACE_DECIMALS))
    corners = torch.cat([_integers(mesh.faces + 1), _integers(flat + 1, before=_SLASH)], dim=-1)
    return memoryview(torch.cat([vertices, places, _lines(b"f", corners.flatten(1))]).cpu().numpy())


def _lines(keyword: bytes, text: Tensor) -> Tensor:
    """Put a keyword before and a newline behind each row of text, and take out all that is 0.

    Args:
        keyword: what each line begins with.
        text: (N, W), ASCII, uint8.
    """
    begin = text.new_tensor(list(keyword)).expand(len(text), -1)
    end = text.new_tensor([_NEWLINE]).expand(len(text), -1)
    whole = torch.cat([begin, text, end], dim=1).flatten()
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


def _integers(values: Tensor, *, before: int = _SPACE) -> Tensor:
    """Write numbers that are not negative, (N, K), as (N, K, W): a character, then ASCII with 0 for leading zeros."""
    digits = _digits(values)
    return torch.cat([torch.full_like(digits[..., :1], before), digits], dim=-1)


def _digits(values: Tensor) -> Tensor:
    """Give the digits of integers as ASCII in a new last dimension, 0 in place of zeros that lead."""
    places = len(str(int(values.max()))) if values.numel() else 1
    written = []
    for place in reversed(range(places)):
        rest = values // 10**place
        digit = rest % 10 + _ZERO
        written.append(digit if place == 0 else digit * (rest > 0))
    return torch.stack(written, dim=-1).to(torch.uint8)
