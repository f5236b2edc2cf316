"""Faults put into the wheel's answers on purpose; a suite that does not notice one of them proves nothing."""

from __future__ import annotations

from dataclasses import replace

import torch

from cudawheel.verify.suite import Changes, Sabotage
from cudawheel.verify.suites.torchmcubes.subject import Subject, Tensor


def drop_triangles(subject: Subject, changes: Changes) -> Subject:
    """Leave out every fiftieth triangle, and at least the last."""

    def broken(volume: Tensor, level: float) -> tuple[Tensor, Tensor]:
        vertices, faces = subject.marching_cubes(volume, level)
        if not len(faces):
            return vertices, faces
        changes.count += 1
        keep = torch.arange(len(faces), device=faces.device) % 50 != (len(faces) - 1) % 50
        return vertices, faces[keep].contiguous()

    return replace(subject, marching_cubes=broken)


CONTROLS = (
    Sabotage(
        name="dropped triangles",
        what="every fiftieth triangle is missing",
        breaks=drop_triangles,
        checks=("cell cases", "white noise"),
    ),
)
