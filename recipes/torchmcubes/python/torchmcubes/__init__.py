"""Marching cubes and trilinear interpolation for PyTorch, on the CPU and on CUDA devices.

Coordinates are in voxels: a vertex or point (x, y, z) lies at dimension 2, 1 and 0 of the volume. Every function works
on the device its tensors are on, on that device's current stream, and leaves the current device as it was.
"""

import math

import torch

from torchmcubes import _C  # noqa: F401  registers torch.ops.torchmcubes

__all__ = ["grid_interp", "marching_cubes"]
__version__ = "0.1.0"

_BLOCK_POINTS = 256  # kBlockPoints of src/cell.h
_MOST_INDICES = 2**31 - 1


def marching_cubes(vol: torch.Tensor, thresh: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Extract the surface on which a volume equals a threshold.

    A voxel is inside where its value is not below the threshold. Faces are counter-clockwise seen from the inside, so
    that a mesh around higher values has a negative signed volume, and a positive one once its coordinates are turned
    over with ``verts[:, [2, 1, 0]]``. Faces share their vertices, and the surface is closed except where it meets the
    border of the volume. Cells with a NaN or infinite corner are left out. The order of vertices and faces is fixed,
    and the same on every device. The result carries no gradient.

    Args:
        vol: values of shape (Nz, Ny, Nx), float32, on the CPU or a CUDA device.
        thresh: the threshold, used in float32.

    Returns:
        Vertices (V, 3), float32, as (x, y, z) in voxels, and faces (F, 3), int32, as indices of vertices. Both have
        no rows where there is no surface.

    Raises:
        TypeError: ``vol`` is not a float32 tensor.
        ValueError: ``vol`` has not three dimensions or is on a device of another kind, or ``thresh`` is NaN.
        RuntimeError: the mesh has more vertices or faces than int32 can number, or a kernel cannot run on the device.
    """
    _check(vol, "vol", dims=("Nz", "Ny", "Nx"))
    level = float(thresh)
    if math.isnan(level):
        raise ValueError("thresh is not a number")
    if min(vol.shape) < 2:  # without a cell there is no surface
        return vol.new_empty((0, 3)), vol.new_empty((0, 3), dtype=torch.int32)

    vol = vol.detach().contiguous()
    threads = torch.get_num_threads()
    blocks = -(-vol.numel() // _BLOCK_POINTS)
    slots = vol.new_empty(vol.numel(), dtype=torch.int16)
    counts = vol.new_empty((2, blocks), dtype=torch.int32)  # of vertices and of faces
    torch.ops.torchmcubes._count(vol, level, slots, counts[0], counts[1], threads)

    ends = vol.new_empty((2, blocks), dtype=torch.int64)
    # One row after the other: of two rows at once, torch would sum each within a single block of threads.
    torch.cumsum(counts[0], 0, dtype=torch.int64, out=ends[0])
    torch.cumsum(counts[1], 0, dtype=torch.int64, out=ends[1])
    vertices, faces = ends[:, -1].tolist()  # the only wait for the device
    if max(vertices, faces) > _MOST_INDICES:
        raise RuntimeError(f"the mesh has {vertices} vertices and {faces} faces, more than int32 can number")

    verts_out = vol.new_empty((vertices, 3))
    faces_out = vol.new_empty((faces, 3), dtype=torch.int32)
    if faces:
        torch.ops.torchmcubes._emit(vol, level, slots, ends[0], ends[1], verts_out, faces_out, threads)
    return verts_out, faces_out


def grid_interp(vol: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Sample the channels of a volume at given points, with trilinear interpolation.

    A coordinate outside the volume is moved to the border, on each axis by that axis' own extent. A point with a NaN
    coordinate gives NaN. The result carries no gradient.

    Args:
        vol: values of shape (C, Nz, Ny, Nx), float32, none of the extents 0, on the CPU or a CUDA device.
        points: points of shape (P, 3), float32, as (x, y, z) in voxels, on the device of ``vol``.

    Returns:
        The values at the points, of shape (P, C), float32.

    Raises:
        TypeError: an argument is not a float32 tensor.
        ValueError: an argument has the wrong shape or is on the wrong device.
        RuntimeError: the kernel cannot run on the device.
    """
    _check(vol, "vol", dims=("C", "Nz", "Ny", "Nx"))
    _check(points, "points", dims=("P", "3"))
    if points.shape[1] != 3:
        raise ValueError(f"points must be of shape (P, 3), not {tuple(points.shape)}")
    if points.device != vol.device:
        raise ValueError(f"the device of points is {points.device}, that of vol is {vol.device}")
    if 0 in vol.shape[1:]:
        raise ValueError(f"vol of shape {tuple(vol.shape)} has no values to interpolate")

    out = vol.new_empty((points.shape[0], vol.shape[0]))
    if out.numel():
        vol, points = vol.detach().contiguous(), points.detach().contiguous()
        torch.ops.torchmcubes._sample(vol, points, out, torch.get_num_threads())
    return out


def _check(tensor: torch.Tensor, name: str, dims: tuple[str, ...]) -> None:
    """Refuse what the kernels are not written for."""
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, not {type(tensor).__name__}")
    if tensor.dtype != torch.float32:
        raise TypeError(f"{name} must be float32, not {str(tensor.dtype).removeprefix('torch.')}")
    if tensor.dim() != len(dims):
        raise ValueError(f"{name} must be of shape ({', '.join(dims)}), not {tuple(tensor.shape)}")
    if tensor.device.type not in ("cpu", "cuda"):
        raise ValueError(f"only cpu and cuda are supported; the device of {name} is {tensor.device}")
    if tensor.layout != torch.strided:
        raise TypeError(f"{name} must be a dense tensor, not {tensor.layout}")
