"""Checks of the surface itself: every cell case, every crossing, no hole, for any size and threshold."""

from __future__ import annotations

import functools

import numpy as np
import torch
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes as reference_marching_cubes

from cudawheel.verify.oracles.cells import CASES, case_volume, cases_of, cell_fault
from cudawheel.verify.oracles.crossings import TOLERANCE
from cudawheel.verify.oracles.fields import Array, blurred_noise, grid_of, gyroid, keep_away, torus, white_noise
from cudawheel.verify.oracles.picture import draw_mesh, draw_squares
from cudawheel.verify.suite import Check, Measured, WrongError
from cudawheel.verify.suites.torchmcubes.subject import Subject, Surface, extract, figures, limits, run, worst


def cell_cases(subject: Subject, device: str) -> Measured:
    """Try each of the 256 cases alone, against rules that need no table."""
    faults, triangles = [], 0
    for case in range(1, CASES - 1):
        volume = case_volume(case)
        try:
            vertices, faces = run(subject, torch.from_numpy(volume).to(device), 0.0)
        except WrongError as found:
            faults.append(str(found))
            continue
        faults.append(cell_fault(volume, 0.0, vertices, faces))
        triangles += len(faces)
    # The first and the last case have no surface, which is a check of its own.
    wrong = [case for case, fault in enumerate(faults, start=1) if fault]
    detail = f"{CASES - len(wrong)} of {CASES} cases right, {triangles} triangles"
    if wrong:
        detail += f"; case {wrong[0]}: {faults[wrong[0] - 1]}"
    squares = np.array([True, *(not fault for fault in faults), True])
    return Measured(
        values={"wrong cases": len(wrong), "triangles": triangles},
        tolerance={"wrong cases": 0},
        detail=detail,
        pictures={"cell-cases": functools.partial(draw_squares, squares)},
    )


def closed(volume: Array, subject: Subject, device: str, picture: str) -> Measured:
    """Hold the surface of a noise volume against its crossings, and look for holes."""
    volume = keep_away(volume, 0.0)
    present = len(np.unique(cases_of(volume, 0.0)))
    surface = extract(subject, volume, 0.0, device)
    return Measured(
        values={**figures(surface), "cell cases present": present},
        tolerance=limits(),
        detail=f"{len(surface.faces)} triangles; {present} of {CASES} cell cases occur",
        pictures={picture: functools.partial(draw_corner, surface)},
    )


def draw_corner(surface: Surface, size: float = 9.0) -> Array:
    """Draw the part of a surface near the origin, its open edges in red."""
    points, faces = surface.crossings.points, surface.welded
    near = (points < size).all(1)
    holes = surface.open_edges
    return draw_mesh(points, faces[near[faces].all(1)], holes[near[holes].all(1)] if len(holes) else None)


def white(subject: Subject, device: str) -> Measured:
    """White noise."""
    return closed(white_noise((16, 17, 19) if subject.quick else (26, 28, 31), 1), subject, device, "white-noise")


def blurred(subject: Subject, device: str) -> Measured:
    """Blurred noise."""
    return closed(blurred_noise((18, 17, 21) if subject.quick else (34, 31, 38), 2), subject, device, "blurred-noise")


def sizes(subject: Subject, device: str) -> Measured:
    """Noise on grids of odd sizes, with an extent of 2, long and thin, and some drawn at random."""
    fixed = [
        (2, 2, 2),
        (2, 2, 3),
        (3, 2, 2),
        (2, 3, 300),
        (300, 2, 3),
        (17, 2, 31),
        (5, 200, 7),
        (9, 8, 7),
        (16, 16, 16),
    ]
    random = np.random.default_rng(3).integers(2, 26, (4 if subject.quick else 20, 3)).tolist()
    reports = []
    for seed, shape in enumerate([*fixed, *map(tuple, random)]):
        volume = keep_away(white_noise(shape, seed), 0.1)
        reports.append((f"{shape}", figures(extract(subject, volume, 0.1, device))))
    return worst(reports, limits(), f"{len(reports)} sizes from 2 x 2 x 2 to 5 x 200 x 7")


def thresholds(subject: Subject, device: str) -> Measured:
    """The same noise at several thresholds, moved and scaled so that about half of it is inside."""
    reports = []
    cases = [(0.0, 1.0), (-0.7, 1.0), (0.3, 1.0), (1, 2.0), (25.0, 8.0), (-1e4, 100.0), (1e-3, 0.2)]
    random = np.random.default_rng(4).uniform((-50, 0.5), (50, 20), (2 if subject.quick else 8, 2)).tolist()
    for seed, (level, scale) in enumerate([*cases, *map(tuple, random)]):
        noise = white_noise((9, 11, 14), seed) * scale + level + 0.2 * scale
        volume = keep_away(noise, level, 0.02 * scale)
        reports.append((f"threshold {level:g}", figures(extract(subject, volume, level, device))))
    return worst(reports, limits(), f"{len(reports)} thresholds from -10000 to 50")


def near_threshold(subject: Subject, device: str) -> Measured:
    """Noise in which a third of the voxels is at the threshold, or closer to it than some kernels can tell."""
    level = 0.25
    random = np.random.default_rng(5)
    volume = white_noise((12, 13, 15), 5)
    close = random.choice([0.0, 3e-5, -3e-5, 9e-5, -9e-5, 1.2e-4, -1.2e-4], volume.shape)
    volume = np.where(random.random(volume.shape) < 1 / 3, np.float32(level) + close, volume).astype(np.float32)
    found = extract(subject, volume, level, device).matching
    return Measured(
        values={
            "farthest vertex from a crossing or its voxel (voxels)": found.farthest,
            "vertices on no crossing": found.strays,
            "crossings without a vertex": found.missed,
        },
        tolerance={
            "farthest vertex from a crossing or its voxel (voxels)": TOLERANCE,
            "vertices on no crossing": 0,
            "crossings without a vertex": 0,
        },
        detail="values at the threshold count as inside; a crossing within 1e-4 of a voxel may be moved there",
    )


def scikit_image(subject: Subject, device: str) -> Measured:
    """Hold the vertices against those of scikit-image's classic marching cubes; its triangles may differ."""
    fields = {
        "torus": torus().sample(grid_of(33)),
        "gyroid": gyroid().sample(grid_of(33)),
        "blurred noise": blurred_noise((21, 22, 25), 6),
    }
    farthest, different = 0.0, 0
    for field in fields.values():
        volume = keep_away(field, 0.0)
        vertices, _ = run(subject, torch.from_numpy(volume).to(device), 0.0)
        expected = reference_marching_cubes(volume, 0.0, method="lorensen")[0][:, ::-1]
        there = cKDTree(expected).query(vertices)[0] if len(vertices) else np.array([np.inf])
        back = cKDTree(vertices).query(expected)[0] if len(vertices) else np.array([np.inf])
        farthest = max(farthest, float(there.max()), float(back.max()))
        different += int((there > TOLERANCE).sum()) + len(np.unique(expected[back > TOLERANCE], axis=0))
    name = "farthest vertex from its like (voxels)"
    return Measured(
        values={name: farthest, "vertices that only one of them has": different},
        tolerance={name: TOLERANCE, "vertices that only one of them has": 0},
        detail=", ".join(fields),
    )


CHECKS = (
    Check(
        name="cell cases",
        claim="In each of the 256 cases of a cell every crossing is used, nothing is open but on the cell's sides, and "
        "each loop of crossings is filled.",
        run=cell_cases,
    ),
    Check(
        name="white noise",
        claim="The surface of white noise is exactly its crossings and has no hole, in all cell cases side by side.",
        run=white,
    ),
    Check(
        name="blurred noise",
        claim="The surface of blurred noise is exactly its crossings and has no hole.",
        run=blurred,
    ),
    Check(name="sizes", claim="That holds for grids of any size, odd and thin ones too.", run=sizes),
    Check(name="thresholds", claim="That holds for any threshold.", run=thresholds),
    Check(
        name="near the threshold",
        claim="Values at the threshold are inside, and crossings next to a voxel are at their place or at the voxel.",
        run=near_threshold,
    ),
    Check(
        name="scikit-image",
        claim="The vertices are those of scikit-image's classic marching cubes.",
        run=scikit_image,
    ),
)
