"""The surface of a density: marching cubes, by the kernel that is installed, or by one that is passed in."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from cudawheel.errors import FieldError, MarchingCubesError, SurfaceError

SURFACE_DENSITY = 25.0
"""The density on the surface, as in the original."""

MarchingCubes = Callable[[Tensor, float], tuple[Tensor, Tensor]]
"""As `torchmcubes.marching_cubes`: a volume (Nz, Ny, Nx) and a threshold to vertices (V, 3), float32, whose x, y, z
count voxels along dimensions 2, 1 and 0, and faces (F, 3), int32."""

_BUILD = "cudawheel build recipes/torchmcubes.toml"


def find_marching_cubes(device: torch.device) -> MarchingCubes:
    """Give torchmcubes' marching cubes, once it is clear that it runs on a device.

    Raises:
        MarchingCubesError: torchmcubes is not installed, cannot be imported, or has no kernel for that device. It is
            never run on another one instead.
    """
    try:
        # Not imported above: it is on no index, and whoever only wants scene codes does without.
        package = importlib.import_module("torchmcubes")
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "torchmcubes"
        raise MarchingCubesError(
            "torchmcubes is not installed" if missing else "torchmcubes is installed, but cannot be imported",
            why="" if missing else str(error),
            remedy=f"Build its wheel, and install it with the command that ends the build: {_BUILD}",
        ) from error
    if device.type == "cuda" and not _has_cuda_kernel():
        raise MarchingCubesError(
            f"the torchmcubes that is installed has no CUDA kernel, and {device} was asked for",
            why=f"It lies in {package.__file__}; it would run on the CPU.",
            remedy=f"Build a wheel that has one: {_BUILD}; or choose --device cpu.",
        )
    marching_cubes: MarchingCubes = package.marching_cubes
    return marching_cubes


def extract_surface(
    density: Tensor, *, radius: float, marching_cubes: MarchingCubes, threshold: float = SURFACE_DENSITY
) -> tuple[Tensor, Tensor]:
    """Find where a density on a grid crosses the threshold.

    Args:
        density: (R, R, R), float32, indexed x, y, z, over the cube from -radius to radius.
        radius: half the edge of the cube.
        marching_cubes: the kernel.
        threshold: the density on the surface; what is not below it is inside.

    Returns:
        vertices (V, 3), x, y, z in -radius..radius, and faces (F, 3), int64, counter-clockwise seen from outside.

    Raises:
        FieldError: some density is infinite or no number.
        SurfaceError: nothing is inside, or everything is.
    """
    _require_crossing(density, threshold)
    vertices, faces = marching_cubes(density - threshold, 0.0)
    if vertices.device != density.device:
        raise MarchingCubesError(
            f"marching cubes gave back a mesh on {vertices.device} for a density on {density.device}",
            why="It did not run where it was asked to.",
            remedy=f"Build a wheel that does: {_BUILD}",
        )
    if not len(faces):
        raise SurfaceError(
            "marching cubes found no surface, though the density crosses the threshold",
            remedy="Check the kernel: cudawheel verify torchmcubes",
        )
    if len(vertices) == 3 * len(faces):  # each face has vertices of its own
        vertices, faces = weld(vertices, faces)
    steps = density.shape[0] - 1
    return vertices[:, [2, 1, 0]] / steps * (2 * radius) - radius, faces.long()


def weld(vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """Make vertices at the same place one.

    Args:
        vertices: (V, 3).
        faces: (F, 3), indices of them.
    """
    places, number = torch.unique(vertices, dim=0, return_inverse=True)
    return places, number[faces.long()]


def _has_cuda_kernel() -> bool:
    """Say whether the torchmcubes that was imported has a kernel for CUDA tensors."""
    # The original's module offers the function only if it was compiled with CUDA; the bundled port registers an
    # operator for each kind of device.
    original = sys.modules.get("torchmcubes_module")
    if original is not None:
        return hasattr(original, "mcubes_cuda")
    try:
        return bool(torch._C._dispatch_has_kernel_for_dispatch_key("torchmcubes::_count", "CUDA"))  # noqa: SLF001
    except RuntimeError:  # there is no such operator
        return False


def _require_crossing(density: Tensor, threshold: float) -> None:
    low, high = (float(value) for value in torch.aminmax(density))
    if not (abs(low) < float("inf") and abs(high) < float("inf")):
        raise FieldError(
            "the density is not finite everywhere",
            why=f"it goes from {low} to {high}",
            remedy="Check the weights against their sha256.",
        )
    if high < threshold or low >= threshold:
        side = "empty: no point of the grid is" if high < threshold else "full: every point of the grid is"
        raise SurfaceError(
            f"there is no surface; the volume is {side} inside",
            why=f"inside is a density of {threshold:g} or more, and it goes from {low:.3g} to {high:.3g}",
            remedy="Use a picture with one object on a plain or transparent background, or a finer --resolution."
            if high < threshold
            else "Use another picture; one object, cut out, with some room around it.",
        )
