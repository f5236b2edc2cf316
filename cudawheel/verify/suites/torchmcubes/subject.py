"""The wheel under test, and how its answers are taken: nothing is believed of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cudawheel.verify.oracles.crossings import Crossings, Matching, find_crossings, match
from cudawheel.verify.oracles.fields import Array
from cudawheel.verify.oracles.mesh import open_edges
from cudawheel.verify.suite import Measured, WrongError

Tensor = Any  # torch.Tensor; the environment that checks types has no torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The two functions of the wheel, or of a wheel broken on purpose.

    Attributes:
        marching_cubes: volume (Nz, Ny, Nx), threshold -> vertices (V, 3), faces (F, 3).
        grid_interp: volume (C, Nz, Ny, Nx), points (P, 3) -> values (P, C).
        libraries: its shared objects.
        quick: whether small sizes are asked for.
    """

    marching_cubes: Callable[[Tensor, float], tuple[Tensor, Tensor]]
    grid_interp: Callable[[Tensor, Tensor], Tensor]
    libraries: tuple[Path, ...] = ()
    quick: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """A mesh that the wheel made, as arrays, and the crossings that its vertices belong to.

    Attributes:
        vertices: (V, 3), float64, as they came.
        faces: (F, 3), int64, as they came.
        crossings: where the vertices should be.
        matching: which vertex is at which crossing.
    """

    vertices: Array
    faces: Array
    crossings: Crossings
    matching: Matching

    @property
    def welded(self) -> Array:
        """The faces (F, 3) in crossings instead of vertices: they share whatever lies on the same edge of the grid."""
        return self.matching.of[self.faces].reshape(-1, 3)

    @property
    def open_edges(self) -> Array:
        """Edges, as pairs of crossings, at which the surface ends inside the volume."""
        return open_edges(self.crossings.points, self.welded, self.crossings.shape)


def load(*, quick: bool) -> Subject:
    """Import the wheel."""
    package = importlib.import_module("torchmcubes")
    folder = Path(str(package.__file__)).parent
    libraries = {*folder.rglob("*.so"), *folder.parent.glob("torchmcubes*.so")}
    return Subject(
        marching_cubes=package.marching_cubes,
        grid_interp=package.grid_interp,
        libraries=tuple(sorted(libraries)),
        quick=quick,
    )


def run(subject: Subject, volume: Tensor, level: float) -> tuple[Array, Array]:
    """Call marching cubes and look whether its answer is a mesh at all.

    Args:
        subject: whose function is called.
        volume: on the device that it is to run on.
        level: the threshold.

    Returns:
        Vertices (V, 3), float64, and faces (F, 3), int64.

    Raises:
        WrongError: it is none.
    """
    vertices, faces = subject.marching_cubes(volume, level)
    if vertices.device != volume.device or faces.device != volume.device:
        raise WrongError(f"the mesh is on {vertices.device} and {faces.device}, the volume on {volume.device}")
    if (vertices.dtype, faces.dtype) != (torch.float32, torch.int32):
        raise WrongError(f"vertices are {vertices.dtype} and faces {faces.dtype}, not float32 and int32")
    if any(part.dim() != 2 or part.shape[1] != 3 for part in (vertices, faces)):
        raise WrongError(f"vertices have shape {tuple(vertices.shape)} and faces {tuple(faces.shape)}")
    points = vertices.cpu().numpy().astype(np.float64)
    corners = faces.cpu().numpy().astype(np.int64)
    if len(corners) and not (corners.min() >= 0 and corners.max() < len(points)):
        raise WrongError(f"faces name vertices {corners.min()} to {corners.max()}; there are {len(points)}")
    if not np.isfinite(points).all():
        raise WrongError(f"{(~np.isfinite(points)).any(1).sum()} vertices are not finite")
    return points, corners


def extract(subject: Subject, volume: Array, level: float, device: str, *, tolerance: float = 1e-4) -> Surface:
    """Run marching cubes on a float32 array and match its vertices with the crossings.

    Raises:
        WrongError: what came back is no mesh.
    """
    vertices, faces = run(subject, torch.from_numpy(np.ascontiguousarray(volume)).to(device), level)
    crossings = find_crossings(volume, level)
    matching = match(vertices, crossings, tolerance=tolerance)
    if len(faces) and not len(crossings):
        raise WrongError(f"{len(faces)} faces where there is no surface")
    return Surface(vertices=vertices, faces=faces, crossings=crossings, matching=matching)


_LIMITS = {
    "farthest vertex from its crossing (voxels)": 1e-4,
    "vertices on no crossing": 0.0,
    "crossings without a vertex": 0.0,
    "open edges inside": 0.0,
    "vertices in no face": 0.0,
}


def figures(surface: Surface) -> dict[str, float]:
    """Give what holds for every surface of a field with no values near the threshold; see `limits`."""
    used = len(np.unique(surface.faces)) if len(surface.faces) else 0
    return {
        "farthest vertex from its crossing (voxels)": surface.matching.farthest,
        "vertices on no crossing": surface.matching.strays,
        "crossings without a vertex": surface.matching.missed,
        "open edges inside": len(surface.open_edges),
        "vertices in no face": len(surface.vertices) - used,
        "triangles": len(surface.faces),
    }


def limits() -> dict[str, float]:
    """Give the tolerances of `figures`."""
    return dict(_LIMITS)


def worst(reports: list[tuple[str, dict[str, float]]], tolerance: dict[str, float], detail: str) -> Measured:
    """Join the figures of several volumes: the largest of each counts, and the first volume that fails is named."""
    joined = {name: max(report[name] for _, report in reports) for name in tolerance}
    failing = [what for what, report in reports if any(not report[name] <= limit for name, limit in tolerance.items())]
    if failing:
        detail = f"{detail}; wrong for {len(failing)} of {len(reports)}, the first {failing[0]}"
    return Measured(values=joined, tolerance=tolerance, detail=detail)
