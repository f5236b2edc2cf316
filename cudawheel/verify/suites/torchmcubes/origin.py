"""Checks that it is the wheel's own device code that answers, and not the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from cudawheel.verify.oracles.fields import white_noise
from cudawheel.verify.oracles.gpu_trace import trace
from cudawheel.verify.suite import Check, Measured
from cudawheel.verify.suites.torchmcubes.subject import Subject, Tensor

_PROCESSOR = "processor time of {} against the CPU path's (ratio)"
_KERNELS = "missing kernels of the wheel's own, {}"
_COPIES = "copied between GPU and CPU by {} (part of its input)"


def device_code(subject: Subject, device: str) -> Measured:  # noqa: ARG001 - every check is called alike
    """Look for the section that holds device code."""
    holding = [path.name for path in subject.libraries if b".nv_fatbin" in path.read_bytes()]
    name = "shared objects with device code, fewer than one"
    detail = (
        f"in {', '.join(holding)}; it did not run here" if holding else f"of {len(subject.libraries)} shared objects"
    )
    return Measured(values={name: float(not holding)}, tolerance={name: 0}, detail=detail)


def kernels_ran(subject: Subject, device: str) -> Measured:
    """Record both functions on the GPU: their kernels stand in the wheel, and their input is not copied away.

    Where nothing can be recorded the processor's time remains as evidence: a fallback takes as long as the CPU path.
    """
    n = 96 if subject.quick else 160
    volume = torch.from_numpy(white_noise((n, n, n), 18))
    points = torch.rand((400_000, 3), generator=torch.Generator().manual_seed(1)) * (n - 1)
    functions: dict[str, tuple[Callable[[Tensor, Tensor], object], int]] = {
        "marching_cubes": (lambda values, _: subject.marching_cubes(values, 0.0), volume.nbytes),
        "grid_interp": (lambda values, at: subject.grid_interp(values[None], at), points.nbytes),
    }
    there, there_points = volume.to(device), points.to(device)
    values: dict[str, float] = {}
    tolerance: dict[str, float] = {}
    detail = []
    for name, (call, size) in functions.items():
        here = _processor_seconds(lambda call=call: call(volume, points))
        away = _processor_seconds(lambda call=call: call(there, there_points))
        values[_PROCESSOR.format(name)], tolerance[_PROCESSOR.format(name)] = away / here, 0.5
        recorded = trace(lambda call=call: call(there, there_points))
        if recorded is None:
            detail.append(f"nothing could be recorded of {name}: the processor's time alone speaks for it")
            continue
        own = recorded.within(subject.libraries)
        values[_KERNELS.format(name)], tolerance[_KERNELS.format(name)] = float(not own), 0
        moved = (recorded.to_host + recorded.to_device) / size
        values[_COPIES.format(name)], tolerance[_COPIES.format(name)] = moved, 0.05
        detail.append(f"{name}: {', '.join(own) or 'no kernel of its own'}")
    return Measured(values=values, tolerance=tolerance, detail="; ".join(detail))


def _processor_seconds(call: Callable[[], object]) -> float:
    """Give the least processor time, of all threads, of three calls after a first one."""
    times = []
    for _ in range(4):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return max(min(times[1:]), 1e-6)


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
