"""Checks of trilinear interpolation, against its definition in float64."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import numpy as np
import torch

from cudawheel.verify.oracles.fields import Array
from cudawheel.verify.oracles.trilinear import interpolate
from cudawheel.verify.suite import Check, Measured, WrongError
from cudawheel.verify.suites.torchmcubes.arguments import is_refused
from cudawheel.verify.suites.torchmcubes.subject import Subject

_TOLERANCE = 2e-5  # for values of about 1 in volumes of some dozens of voxels: ten roundings of float32
_ERROR = "largest error (values are about 1)"

Shape = tuple[int, int, int, int]
Points = Callable[[np.random.Generator, Array], Array]


def inside(random: np.random.Generator, last: Array) -> Array:
    """Points within the volume, with its corners and all that lies on voxels."""
    corners = np.array(list(itertools.product((0, 1), repeat=3))) * last
    return np.concatenate([random.uniform(0, 1, (3000, 3)) * last, random.integers(0, last + 1, (300, 3)), corners])


def outside(random: np.random.Generator, last: Array) -> Array:
    """Points of which some coordinates are beyond the last voxel, or at least a voxel before the first."""
    points = inside(random, last)
    beyond = last + random.uniform(0, 30, points.shape)
    before = -random.uniform(1, 30, points.shape)
    return np.choose(random.integers(0, 3, points.shape), [points, beyond, before])


def before_first(random: np.random.Generator, last: Array) -> Array:
    """Points with coordinates less than a voxel before the first."""
    points = inside(random, last)
    return np.where(random.random(points.shape) < 0.5, -random.uniform(0, 1, points.shape), points)


def below_and_above(random: np.random.Generator, last: Array) -> Array:
    """Points whose z alone is outside."""
    points = inside(random, last)
    points[:, 2] = np.where(random.random(len(points)) < 0.3, -2.0, last[2] + random.uniform(0, 30, len(points)))
    return points


def compare(shapes: tuple[Shape, ...], place: Points, subject: Subject, device: str) -> Measured:
    """Interpolate in volumes of noise of some shapes (C, Nz, Ny, Nx), at points of a kind."""
    largest, count = 0.0, 0
    for seed, shape in enumerate(shapes):
        random = np.random.default_rng([13, seed])
        volume = random.standard_normal(shape, np.float32)
        points = place(random, np.array(shape[:0:-1]) - 1).astype(np.float32)
        out = subject.grid_interp(torch.from_numpy(volume).to(device), torch.from_numpy(points).to(device))
        if tuple(out.shape) != (len(points), shape[0]) or out.dtype != torch.float32 or out.device.type != device:
            raise WrongError(f"the answer is {out.dtype} of shape {tuple(out.shape)} on {out.device}")
        error = np.abs(out.cpu().numpy().astype(np.float64) - interpolate(volume, points))
        largest = max(largest, float(np.where(np.isnan(error), np.inf, error).max()))
        count += len(points)
    return Measured(values={_ERROR: largest}, tolerance={_ERROR: _TOLERANCE}, detail=f"{count} points")


def other_shape(subject: Subject, device: str) -> Measured:
    """Give points that are no points in space."""
    volume = torch.ones((1, 4, 4, 4), device=device)
    shapes = ((2, 2), (3,), (2, 4), (1, 2, 3))
    taken = [
        shape
        for shape in shapes
        if not is_refused(functools.partial(subject.grid_interp, volume, torch.zeros(shape, device=device)))
    ]
    detail = f"{len(shapes) - len(taken)} of {len(shapes)} refused" + (f"; taken: {taken}" if taken else "")
    return Measured(values={"wrong shapes taken": len(taken)}, tolerance={"wrong shapes taken": 0}, detail=detail)


def other_device(subject: Subject, device: str) -> Measured:
    """Give points that are on another device than the volume."""
    volume, points = torch.ones((1, 4, 4, 4), device=device), torch.zeros((2, 3))
    taken = []
    if not is_refused(lambda: subject.grid_interp(volume.cpu(), points.to(device))):
        taken.append("points on the GPU, volume on the CPU")
    if not is_refused(lambda: subject.grid_interp(volume, points)):
        taken.append("points on the CPU, volume on the GPU")
    return Measured(
        values={"wrong devices taken": len(taken)},
        tolerance={"wrong devices taken": 0},
        detail=f"taken: {', '.join(taken)}" if taken else "both ways refused",
    )


_COMMON: tuple[Shape, ...] = ((3, 8, 9, 11), (1, 5, 4, 7), (4, 6, 6, 6), (2, 1, 1, 1), (3, 2, 1, 7), (2, 29, 30, 31))
_CUBES: tuple[Shape, ...] = ((3, 8, 5, 8), (1, 13, 17, 13), (2, 1, 1, 1))

CHECKS = (
    Check(
        name="interpolation",
        claim="Values inside the volume are interpolated linearly along each axis.",
        run=functools.partial(compare, _COMMON, inside),
    ),
    Check(
        name="interpolation in tall volumes",
        claim="That holds where Nz is larger than Nx.",
        run=functools.partial(compare, ((1, 30, 4, 5), (3, 9, 9, 8)), inside),
    ),
    Check(
        name="interpolation outside",
        claim="Coordinates outside are moved to the border.",
        run=functools.partial(compare, _CUBES, outside),
    ),
    Check(
        name="interpolation above flat volumes",
        claim="That holds along z where Nz is smaller than Nx.",
        run=functools.partial(compare, ((1, 4, 5, 30), (3, 2, 9, 64)), below_and_above),
    ),
    Check(
        name="interpolation before the first voxel",
        claim="That holds for coordinates between -1 and 0.",
        run=functools.partial(compare, _CUBES, before_first),
    ),
    Check(name="points of another shape", claim="Points that are not of shape (P, 3) are refused.", run=other_shape),
    Check(
        name="points on another device",
        claim="Points on another device than the volume are refused.",
        run=other_device,
        devices=("cuda",),
    ),
)
