"""Evidence that it is a wheel's own device code that answers, and not the CPU; every suite may use it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from cudawheel.verify.oracles.gpu_trace import trace
from cudawheel.verify.suite import Measured

_CODE = "shared objects with device code, fewer than one"
_PROCESSOR = "processor time of {} against the CPU path's (ratio)"
_KERNELS = "missing kernels of the wheel's own, {}"
_RECORDING = "recording {} (s)"
_COPIES = "copied between GPU and CPU by {} (part of its input)"

# So much processor time is enough to be compared: what a first call sets up is little beside it, and so is the clock's
# resolution.
_ENOUGH_SECONDS = 0.2
_MOST_CALLS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """The same call on both devices, with equal values.

    Attributes:
        here: on the CPU.
        there: on the GPU.
        size: bytes of the input.
    """

    here: Callable[[], object]
    there: Callable[[], object]
    size: int


def look_for_device_code(libraries: Sequence[Path]) -> Measured:
    """Look for the section that holds device code."""
    holding = [path.name for path in libraries if b".nv_fatbin" in path.read_bytes()]
    detail = f"in {', '.join(holding)}" if holding else f"in none of {len(libraries)} shared objects"
    return Measured(values={_CODE: float(not holding)}, tolerance={_CODE: 0}, detail=detail)


def look_for_kernels(functions: Mapping[str, Calls], libraries: Sequence[Path]) -> Measured:
    """Record functions on the GPU: kernels of theirs stand in the wheel, and their input is not copied away.

    Where nothing can be recorded the processor's time remains as evidence: a fallback takes as long as the CPU path.

    Args:
        functions: by name.
        libraries: the wheel's shared objects.
    """
    values: dict[str, float] = {}
    tolerance: dict[str, float] = {}
    detail = []
    for name, calls in functions.items():
        # The first call on a GPU loads kernels, however long that takes; one on the CPU that takes long works long.
        there = _processor_seconds(calls.there, first_counts=False)
        here = _processor_seconds(calls.here, first_counts=True)
        values[_PROCESSOR.format(name)], tolerance[_PROCESSOR.format(name)] = there / here, 0.5
        start = time.perf_counter()
        recorded = trace(calls.there)
        values[_RECORDING.format(name)] = time.perf_counter() - start
        if recorded is None:
            detail.append(f"nothing could be recorded of {name}: the processor's time alone speaks for it")
            continue
        own = recorded.within(libraries)
        values[_KERNELS.format(name)], tolerance[_KERNELS.format(name)] = float(not own), 0
        moved = (recorded.to_host + recorded.to_device) / calls.size
        values[_COPIES.format(name)], tolerance[_COPIES.format(name)] = moved, 0.05
        detail.append(f"{name}: {', '.join(own) or 'no kernel of its own'}")
    return Measured(values=values, tolerance=tolerance, detail="; ".join(detail))


def _processor_seconds(call: Callable[[], object], *, first_counts: bool) -> float:
    """Give the least processor time, of all threads, of up to three calls after a first one.

    No more calls are made than take a fifth of a second, as those of a CPU path may take several.

    Args:
        call: what is to be timed.
        first_counts: whether the first call is the only one where it takes that long by itself.
    """
    first = _timed(call)
    if first_counts and first >= _ENOUGH_SECONDS:
        return first
    times: list[float] = []
    while len(times) < _MOST_CALLS and sum(times) < _ENOUGH_SECONDS:
        times.append(_timed(call))
    return max(min(times), 1e-6)


def _timed(call: Callable[[], object]) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.process_time()
    call()
    return time.process_time() - start
