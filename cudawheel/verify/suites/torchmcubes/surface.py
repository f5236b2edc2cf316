"""Checks of the surface itself: every cell case, every crossing, no hole."""

from __future__ import annotations

import functools

import numpy as np
import torch

from cudawheel.verify.oracles.cells import CASES, case_volume, cases_of, cell_fault
from cudawheel.verify.oracles.fields import Array, blurred_noise, keep_away, white_noise
from cudawheel.verify.oracles.picture import draw_mesh, draw_squares
from cudawheel.verify.suite import Check, Measured, WrongError
from cudawheel.verify.suites.torchmcubes.subject import Subject, Surface, extract, figures, limits, run


def cell_cases(subject: Subject, device: str) -> Measured:
    """Try each of the 256 cases alone, against rules that need no table."""
    faults, triangles = [], 0
    for case in range(CASES):
        volume = case_volume(case)
        try:
            vertices, faces = run(subject, torch.from_numpy(volume).to(device), 0.0)
        except WrongError as found:
            faults.append(str(found))
            continue
        faults.append(cell_fault(volume, 0.0, vertices, faces) if 0 < case < CASES - 1 else "")
        triangles += len(faces) if 0 < case < CASES - 1 else 0
    wrong = [case for case, fault in enumerate(faults) if fault]
    detail = f"{CASES - len(wrong)} of {CASES} cases right, {triangles} triangles"
    if wrong:
        detail += f"; case {wrong[0]}: {faults[wrong[0]]}"
    return Measured(
        values={"wrong cases": len(wrong), "triangles": triangles},
        tolerance={"wrong cases": 0},
        detail=detail,
        pictures={"cell-cases": functools.partial(draw_squares, np.array([not fault for fault in faults]))},
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
    return closed(white_noise((20, 22, 25) if subject.quick else (40, 43, 46), 1), subject, device, "white-noise")


def blurred(subject: Subject, device: str) -> Measured:
    """Blurred noise."""
    return closed(blurred_noise((24, 22, 27) if subject.quick else (48, 43, 54), 2), subject, device, "blurred-noise")


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
)
