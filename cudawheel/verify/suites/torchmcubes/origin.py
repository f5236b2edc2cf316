"""Checks that it is the wheel's own device code that answers, and not the CPU."""

from __future__ import annotations

import torch

from cudawheel.verify.oracles.fields import white_noise
from cudawheel.verify.suite import Check, Measured
from cudawheel.verify.suites.evidence import Calls, look_for_device_code, look_for_kernels
from cudawheel.verify.suites.torchmcubes.subject import Subject


def device_code(subject: Subject, device: str) -> Measured:  # noqa: ARG001 - every check is called alike
    """Look for device code in the wheel."""
    return look_for_device_code(subject.libraries)


def kernels_ran(subject: Subject, device: str) -> Measured:
    """Look for the kernels of both functions."""
    n = 48 if subject.quick else 64  # of noise: a CPU path that welds through a hash table takes half a second for it
    volume = torch.from_numpy(white_noise((n, n, n), 18))
    points = torch.rand((400_000, 3), generator=torch.Generator().manual_seed(1)) * (n - 1)
    there, there_points = volume.to(device), points.to(device)
    functions = {
        "marching_cubes": Calls(
            here=lambda: subject.marching_cubes(volume, 0.0),
            there=lambda: subject.marching_cubes(there, 0.0),
            size=volume.nbytes,
        ),
        "grid_interp": Calls(
            here=lambda: subject.grid_interp(volume[None], points),
            there=lambda: subject.grid_interp(there[None], there_points),
            size=points.nbytes,
        ),
    }
    return look_for_kernels(functions, subject.libraries)


CHECKS = (
    Check(
        name="device code",
        claim="The wheel carries device code.",
        run=device_code,
        devices=("cpu",),
    ),
    Check(
        name="kernels ran",
        claim="On the GPU the wheel's own kernels do the work, and the CPU does not.",
        run=kernels_ran,
        devices=("cuda",),
    ),
)
