"""Textures: a mesh cut open and laid flat, and the field's colour at every texel of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from cudawheel.errors import ExtraMissingError
from cudawheel.triposr.field import TriplaneField
from cudawheel.triposr.mesh import Mesh
from cudawheel.triposr.portions import Progress, Tell
from cudawheel.triposr.raster import rasterise

TEXTURE_RESOLUTION = 2048
"""Texels of a texture's side, as in the original."""

_SMALLEST_GAP = 2
_GAP = 1 / 256
# Points of a triangle, by the weights of its corners.
_LATTICE = (
    np.array([[4, 0, 0], [0, 4, 0], [0, 0, 4], [2, 2, 0], [0, 2, 2], [2, 0, 2], [2, 1, 1], [1, 2, 1], [1, 1, 2]]) / 4
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Texture:
    """A picture and where on it the corners of a mesh's faces lie.

    Attributes:
        picture: mode RGB, square.
        places: (U, 2), from the lower left corner to the right and up, in 0..1.
        vertices: (U,), which vertex of the mesh each place belongs to; one that lies on a cut has several places.
        faces: (F, 3), indices of places; the faces are the mesh's, in its order.
    """

    picture: Image.Image
    places: npt.NDArray[np.float32]
    vertices: npt.NDArray[np.int64]
    faces: npt.NDArray[np.int64]


def bake_texture(
    mesh: Mesh,
    field: TriplaneField,
    resolution: int = TEXTURE_RESOLUTION,
    *,
    chunk_size: int | None = None,
    progress: Progress | None = None,
    tell: Tell | None = None,
) -> Texture:
    """Lay a mesh flat and look the field's colour up at every texel.

    Args:
        mesh: the mesh.
        field: what it is the surface of.
        resolution: texels of the texture's side.
        chunk_size: points at a time; by default as many as memory allows.
        progress: is called with the texels done and all of them.
        tell: is called with a sentence when memory ran out and portions become smaller.

    Raises:
        DeviceMemoryError: memory does not suffice.
        ExtraMissingError: xatlas is not installed.
    """
    gap = max(_SMALLEST_GAP, round(resolution * _GAP))
    vertices = mesh.vertices.cpu().numpy()
    owners, faces, places = _unwrapped(vertices, mesh.faces.cpu().numpy(), resolution, gap)
    texels, of_faces, weights = _covered(places, faces, resolution)
    points = np.einsum("nk,nkc->nc", weights, vertices[owners[faces[of_faces]]])
    raw = field.raw(torch.from_numpy(points).to(field.planes), chunk_size=chunk_size, progress=progress, tell=tell)
    picture = np.zeros((resolution**2, 3), dtype=np.uint8)
    picture[texels] = (field.colour(raw) * 255).round().clamp(0, 255).byte().cpu().numpy()
    covered = np.zeros(resolution**2, dtype=bool)
    covered[texels] = True
    square = (resolution, resolution)
    return Texture(
        picture=Image.fromarray(_spread(picture.reshape(*square, 3), covered.reshape(square), gap)),
        places=places,
        vertices=owners,
        faces=faces,
    )


def _covered(
    places: npt.NDArray[np.float32], faces: npt.NDArray[np.int64], resolution: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Say which texels faces cover: their numbers (N,), the face on each (N,), and the weights of its corners (N, 3).

    A texel belongs to the face on its middle. Where none is, some face may touch it all the same, and thin ones may
    have no middle on them at all: those get the texels that a few points of theirs lie on.
    """
    # Rows of a picture go down, the places go up.
    at = np.stack([places[:, 0], 1 - places[:, 1]], axis=1).astype(np.float64) * resolution
    seen = rasterise(at, np.zeros(len(at)), faces, resolution, resolution)
    points = np.einsum("lk,fkc->flc", _LATTICE, at[faces]).reshape(-1, 2)
    columns, rows = np.clip(points.astype(np.int64), 0, resolution - 1).T
    touched, first = np.unique(rows * resolution + columns, return_index=True)
    fresh = ~seen.covered.ravel()[touched]
    face, point = np.divmod(first[fresh], len(_LATTICE))
    return (
        np.concatenate([np.flatnonzero(seen.covered), touched[fresh]]),
        np.concatenate([seen.face[seen.covered], face]),
        np.concatenate([seen.weights[seen.covered], _LATTICE[point]]),
    )


def _unwrapped(
    vertices: npt.NDArray[np.float32], faces: npt.NDArray[np.int64], resolution: int, gap: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Cut a mesh into charts and pack them: vertices (U,), faces (F, 3) and places (U, 2), as `Texture` has them."""
    try:
        import xatlas  # noqa: PLC0415 - an extra of its own
    except ImportError as error:
        raise ExtraMissingError(
            "a texture needs xatlas, and it is not installed",
            why=str(error),
            extra="triposr-texture",
            otherwise="leave --bake-texture out: vertices have colours.",
        ) from error
    atlas = xatlas.Atlas()
    atlas.add_mesh(vertices, faces.astype(np.uint32))
    options = xatlas.PackOptions()
    options.resolution = resolution
    options.padding = gap
    options.bilinear = True
    atlas.generate(pack_options=options)
    owners, flat, places = atlas[0]
    return owners.astype(np.int64), flat.astype(np.int64), places


def _spread(picture: npt.NDArray[np.uint8], covered: npt.NDArray[np.bool_], steps: int) -> npt.NDArray[np.uint8]:
    """Fill the gaps between charts from their rims, so that whoever samples between texels sees no other colour.

    Args:
        picture: (H, W, 3).
        covered: (H, W), which texels have a colour.
        steps: by how many texels charts grow.
    """
    covered = covered.copy()
    for _ in range(steps):
        before = covered.copy()
        for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
            fresh = np.roll(before, step, axis) & ~covered
            picture[fresh] = np.roll(picture, step, axis)[fresh]
            covered |= fresh
    return picture
