"""Checks of what the functions are given: views, other types, nothing at all, and values that are no numbers."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch

from cudawheel.verify.oracles.crossings import find_crossings, match
from cudawheel.verify.oracles.fields import Array, grid_of, keep_away, torus, white_noise
from cudawheel.verify.suite import Check, Measured, WrongError
from cudawheel.verify.suites.torchmcubes.subject import Subject, Tensor, extract, figures, limits, run

REFUSALS = (TypeError, ValueError, RuntimeError, IndexError)


def views(volume: Tensor) -> dict[str, tuple[Tensor, bool]]:
    """Give views with the values of a volume, and whether they are contiguous and so cannot be refused."""
    spare = torch.zeros(volume.numel() + 1, device=volume.device)
    spare[1:] = volume.reshape(-1)
    return {
        "transposed": (volume.transpose(0, 2).contiguous().transpose(0, 2), False),
        "every second row": (volume.repeat_interleave(2, 1)[:, ::2], False),
        "every second value": (torch.stack((volume, volume), -1)[..., 0], False),
        "a part of a larger one": (torch.nn.functional.pad(volume, (1, 2, 3, 1, 2, 1))[2:-1, 3:-1, 1:-2], False),
        "behind others in memory": (torch.cat((volume, volume))[len(volume) :], True),
        "at an odd address": (spare[1:].view(volume.shape), True),
    }


def strides(subject: Subject, device: str) -> Measured:
    """Give marching cubes the same values in memory that is laid out otherwise.

    The values are a smooth shape's: this is not about cells that few surfaces have.
    """
    array = keep_away(torus().sample(grid_of(17)), 0.0)
    crossings = find_crossings(array, 0.0)
    refused: list[str] = []
    wrong: list[str] = []
    for name, (view, contiguous) in views(torch.from_numpy(array).to(device)).items():
        try:
            vertices, faces = run(subject, view, 0.0)
        except REFUSALS:
            (wrong if contiguous else refused).append(name)
            continue
        except WrongError:
            wrong.append(name)
            continue
        found = match(vertices, crossings)
        if found.strays or found.missed or not len(faces):
            wrong.append(name)
    detail = f"refused: {', '.join(refused) or 'none'}" + (f"; wrong: {', '.join(wrong)}" if wrong else "")
    return Measured(values={"wrong answers": len(wrong)}, tolerance={"wrong answers": 0}, detail=detail)


def flat(subject: Subject, device: str) -> Measured:
    """Give marching cubes a volume whose slices are one and the same memory."""
    slices = keep_away(white_noise((1, 8, 9), 8), 0.0)
    array = np.repeat(slices, 6, 0)
    try:
        vertices, _ = run(subject, torch.from_numpy(slices).to(device).expand(6, 8, 9), 0.0)
    except REFUSALS as refusal:
        return Measured(values={"wrong answers": 0}, tolerance={"wrong answers": 0}, detail=f"refused: {refusal}"[:200])
    found = match(vertices, find_crossings(array, 0.0))
    return Measured(values={"wrong answers": found.strays + found.missed}, tolerance={"wrong answers": 0})


def refusals(subject: Subject, device: str) -> Measured:
    """Count what is taken although it is neither documented nor could be right."""
    others = (torch.float64, torch.float16, torch.bfloat16, torch.int32, torch.uint8, torch.bool)
    points = torch.zeros((2, 3), device=device)
    attempts: dict[str, Callable[[], object]] = {}
    for kind in others:
        volume = torch.ones((4, 4, 4), dtype=kind, device=device)
        attempts[f"marching_cubes of {kind}"] = functools.partial(subject.marching_cubes, volume, 0.5)
        attempts[f"grid_interp of {kind}"] = functools.partial(subject.grid_interp, volume[None], points)
        attempts[f"grid_interp at {kind}"] = functools.partial(
            subject.grid_interp, torch.ones((1, 4, 4, 4), device=device), points.to(kind)
        )
    for shape in ((4,), (4, 4), (1, 4, 4, 4)):
        volume = torch.ones(shape, device=device)
        attempts[f"marching_cubes of shape {shape}"] = functools.partial(subject.marching_cubes, volume, 0.5)
    attempts["grid_interp without channels"] = lambda: subject.grid_interp(torch.ones((4, 4, 4), device=device), points)
    taken = [name for name, attempt in attempts.items() if not is_refused(attempt)]
    return Measured(
        values={"wrong arguments taken": len(taken)},
        tolerance={"wrong arguments taken": 0},
        detail=f"{len(attempts) - len(taken)} of {len(attempts)} refused"
        + (f"; taken: {', '.join(taken)}" * bool(taken)),
    )


def is_refused(attempt: Callable[[], object]) -> bool:
    """Whether a call raises instead of answering; a kernel that fails later, when it is waited for, refused nothing."""
    try:
        attempt()
    except REFUSALS:
        return True
    return False


def empty_surface(subject: Subject, device: str) -> Measured:
    """Ask for surfaces that do not exist."""
    noise = torch.from_numpy(np.clip(white_noise((9, 9, 9), 9), -1, 1)).to(device)
    volumes = [(noise, 2.0), (noise, -2.0), (torch.zeros((64, 64, 64), device=device), 1.0)]
    volumes += [(noise[:1].contiguous(), 0.0), (noise[:, :1].contiguous(), 0.0), (noise[..., :1].contiguous(), 0.0)]
    triangles = vertices = 0
    for volume, level in volumes:
        points, faces = run(subject, volume, level)
        triangles, vertices = triangles + len(faces), vertices + len(points)
    return Measured(
        values={"triangles": triangles, "vertices": vertices},
        tolerance={"triangles": 0, "vertices": 0},
        detail=f"{len(volumes)} volumes: all above, all below, constant, and one voxel thin along each axis",
    )


def no_voxels(subject: Subject, device: str) -> Measured:
    """Give marching cubes volumes with an extent of 0."""
    triangles: list[int] = []

    def attempt(shape: tuple[int, int, int]) -> None:
        triangles.append(len(run(subject, torch.zeros(shape, device=device), 0.0)[1]))

    shapes = ((0, 5, 5), (5, 0, 5), (5, 5, 0))
    refused = sum(is_refused(functools.partial(attempt, shape)) for shape in shapes)
    return Measured(
        values={"triangles": sum(triangles)}, tolerance={"triangles": 0}, detail=f"{refused} of {len(shapes)} refused"
    )


def not_finite(subject: Subject, device: str) -> Measured:
    """Spoil a few voxels: the surface may have holes there, but no vertex that is nowhere."""
    values = {"vertices on no crossing": 0, "vertices that are not finite": 0}
    for bad in (np.nan, np.inf, -np.inf):
        array: Array = keep_away(white_noise((12, 13, 15), 10), 0.0)
        array[np.random.default_rng(11).random(array.shape) < 0.01] = bad
        vertices = subject.marching_cubes(torch.from_numpy(array).to(device), 0.0)[0].cpu().numpy().astype(np.float64)
        finite = np.isfinite(vertices).all(1)
        values["vertices that are not finite"] += int((~finite).sum())
        values["vertices on no crossing"] += match(vertices[finite], find_crossings(array, 0.0)).strays
    return Measured(values=values, tolerance=dict.fromkeys(values, 0), detail="NaN, inf and -inf in 1 % of the voxels")


def repeats(subject: Subject, device: str) -> Measured:
    """Extract the same surface several times, between others, which are larger and smaller than it."""
    array = keep_away(torus().sample(grid_of(21)), 0.0)
    wrong = 0
    for seed in range(6):
        extract(subject, keep_away(white_noise((7, 8, 9 + 12 * seed), seed), 0.0), 0.0, device)
        report = figures(extract(subject, array, 0.0, device))
        wrong += any(not report[name] <= limit for name, limit in limits().items())
    return Measured(values={"wrong answers": wrong}, tolerance={"wrong answers": 0}, detail="6 times, between others")


CHECKS = (
    Check(
        name="strides",
        claim="Memory that is laid out in another way is refused or read rightly; what is contiguous is not refused.",
        run=strides,
    ),
    Check(name="repeated slices", claim="A volume with a stride of 0 is refused or read rightly.", run=flat),
    Check(name="refusals", claim="Other types and numbers of dimensions are refused.", run=refusals),
    Check(
        name="empty surface",
        claim="Where there is no surface there are no vertices and no triangles.",
        run=empty_surface,
    ),
    Check(
        name="no voxels",
        claim="A volume without voxels has no surface or is refused, and Python goes on.",
        run=no_voxels,
    ),
    Check(
        name="not finite",
        claim="Voxels that are NaN or infinite make no vertices away from the crossings of the others.",
        run=not_finite,
    ),
    Check(name="repeats", claim="Calls do not leave anything behind for those after them.", run=repeats),
)
