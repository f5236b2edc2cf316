"""Meshes with colours: from a field to vertices, faces and what colour each vertex has."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from torch import Tensor

from cudawheel.triposr.field import TriplaneField
from cudawheel.triposr.grid import density_on_grid
from cudawheel.triposr.portions import Progress, Tell
from cudawheel.triposr.surface import SURFACE_DENSITY, MarchingCubes, extract_surface

Stage = Callable[[str], AbstractContextManager[object]]
"""Gives a context in which the stage of that name runs: what measures the time of each."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mesh:
    """A coloured surface.

    Attributes:
        vertices: (V, 3), x, y, z, float32.
        faces: (F, 3), int64, counter-clockwise seen from outside.
        colours: (V, 3), red, green and blue in 0..1.
    """

    vertices: Tensor
    faces: Tensor
    colours: Tensor

    def cpu(self) -> Mesh:
        """Give it in the main memory."""
        return Mesh(vertices=self.vertices.cpu(), faces=self.faces.cpu(), colours=self.colours.cpu())


def extract_mesh(
    field: TriplaneField,
    resolution: int,
    *,
    marching_cubes: MarchingCubes,
    threshold: float = SURFACE_DENSITY,
    chunk_size: int | None = None,
    progress: Progress | None = None,
    tell: Tell | None = None,
    stage: Stage = nullcontext,
) -> Mesh:
    """Make a mesh of a field.

    Args:
        field: the field.
        resolution: points of the grid a direction.
        marching_cubes: the kernel.
        threshold: the density on the surface.
        chunk_size: points at a time; by default as many as memory allows.
        progress: is called with the points of the grid done and all of them.
        tell: is called with a sentence when memory ran out and portions become smaller.
        stage: is entered for the stages "density", "marching cubes" and "colours".

    Raises:
        DeviceMemoryError: memory does not suffice.
        FieldError: a density is infinite or no number.
        SurfaceError: there is no surface.
    """
    with stage("density"):
        density = density_on_grid(field, resolution, chunk_size=chunk_size, progress=progress, tell=tell)
    with stage("marching cubes"):
        vertices, faces = extract_surface(
            density, radius=field.radius, marching_cubes=marching_cubes, threshold=threshold
        )
    with stage("colours"):
        colours = field.colour(field.raw(vertices, chunk_size=chunk_size, tell=tell))
    return Mesh(vertices=vertices, faces=faces, colours=colours)
