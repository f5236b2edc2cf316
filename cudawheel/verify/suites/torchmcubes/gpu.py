"""Checks that only a GPU can answer: that the kernels ran there, in their stream, within their memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from cudawheel.verify.oracles.fields import Array, blurred_noise, grid_of, keep_away, torus, white_noise
from cudawheel.verify.oracles.mesh import canonical_triangles
from cudawheel.verify.suite import Check, Measured, UnprovenError, WrongError
from cudawheel.verify.suites.torchmcubes.subject import Subject, Tensor, extract, figures, limits, run

Blocks = list[tuple[Array, Array]]  # each with its corner (x, y, z) in the volume, and its values

_BYTES_A_CELL = 16.0
_ROOM_FOR_256 = 2**33  # what 256^3 voxels of noise take with some 200 bytes a cell, and their mesh
_ROOM_FOR_REST = 2**30  # for the mesh of a large volume, and what torch takes at a time
_HELD_BACK = 100_000_000  # clock cycles that a stream sleeps, about 60 ms: long beside what is launched meanwhile


def streams(subject: Subject, device: str) -> Measured:
    """Call both functions in a stream of its own, with values that arrive there late."""
    volume = torch.from_numpy(torus().sample(grid_of(33))).to(device)
    points = torch.rand((1000, 3), generator=torch.Generator().manual_seed(0)).to(device) * 30
    expected = [*subject.marching_cubes(volume, 0.0), subject.grid_interp(volume[None], points)]
    late, late_points = torch.full_like(volume, -1), torch.zeros_like(points)
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(_HELD_BACK)  # noqa: SLF001 - the one way to hold a stream back
        late.copy_(volume)
        found = [*subject.marching_cubes(late, 0.0)]
        torch.cuda._sleep(_HELD_BACK)  # noqa: SLF001 - as above
        late_points.copy_(points)
        found.append(subject.grid_interp(late[None], late_points))
    torch.cuda.synchronize()
    same = {
        # In any order; the faces are indices into that order, and can only be counted.
        "vertices": _same(*(torch.unique(mesh[0], dim=0) for mesh in (expected, found))),
        "faces": expected[1].shape == found[1].shape,
        "values": _same(expected[2], found[2]),
    }
    wrong = [name for name, good in same.items() if not good]
    detail = f"different from the default stream's: {', '.join(wrong)}" if wrong else "as in the default stream"
    return Measured(values={"wrong answers": len(wrong)}, tolerance={"wrong answers": 0}, detail=detail)


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(torch.equal(one, other))


def second_device(subject: Subject, device: str) -> Measured:
    """Call both functions for another GPU than the current one."""
    if torch.cuda.device_count() == 1:
        raise UnprovenError("needs a second GPU, and there is one")
    array = keep_away(white_noise((12, 13, 15), 14), 0.0)
    other = f"{device}:{torch.cuda.device_count() - 1}"
    before = torch.cuda.current_device()
    try:
        report = figures(extract(subject, array, 0.0, other))
        volume, points = torch.from_numpy(array).to(other)[None], torch.full((4, 3), 1.5, device=other)
        sampled = subject.grid_interp(volume, points)
        after = torch.cuda.current_device()
        values = {
            **report,
            "current device changed": float(after != before),
            "values on another device": float(sampled.device != volume.device),
        }
    finally:
        torch.cuda.set_device(before)
    tolerance = {**limits(), "current device changed": 0, "values on another device": 0}
    return Measured(values=values, tolerance=tolerance, detail=f"{other}, with device {before} as the current one")


def cost(subject: Subject, device: str) -> Measured:
    """Measure the memory that a call takes beside its result, and its time."""
    values: dict[str, float] = {}
    n = 128 if subject.quick or torch.cuda.mem_get_info()[0] < _ROOM_FOR_256 else 256
    noise = torch.randn((n, n, n), device=device)
    for name, volume in {"torus": _torus_on(n, device), "noise": noise}.items():

        def call(volume: Tensor = volume) -> tuple[Tensor, Tensor]:
            return subject.marching_cubes(volume, 0.0)

        values[f"extra memory, {name} (bytes a cell)"] = _extra_memory(call) / volume.numel()
        values[f"time, {name} (ns a cell)"] = _seconds(call) / volume.numel() * 1e9
    points = torch.rand((1_000_000, 3), device=device) * (n - 1)
    values["time, interpolation (ns a point)"] = _seconds(lambda: subject.grid_interp(noise[None], points)) * 1e3
    tolerance = {name: _BYTES_A_CELL for name in values if name.startswith("extra memory")}
    return Measured(values=values, tolerance=tolerance, detail=f"volumes of {n}^3 voxels")


def _torus_on(n: int, device: str) -> Tensor:
    """Make a torus of n^3 voxels on the GPU itself, where that takes no time."""
    ticks = torch.linspace(-1, 1, n, device=device)
    z, y, x = torch.meshgrid(ticks, ticks, ticks, indexing="ij")
    return (0.25 - torch.hypot(torch.hypot(x, y) - 0.6, z)) * ((n - 1) / 2)


def _extra_memory(call: Callable[[], tuple[Tensor, ...]]) -> float:
    """Give the bytes that torch's allocator handed out at most during a call, less those of the result."""
    call()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = call()
    torch.cuda.synchronize()
    size = sum(part.numel() * part.element_size() for part in result)
    return float(torch.cuda.max_memory_allocated() - before - size)


def _seconds(call: Callable[[], object]) -> float:
    """Give the median time of a call, with its wait."""
    times = []
    for _ in range(12):
        torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def large_volume(subject: Subject, device: str) -> Measured:
    """Put noise into the first and the last corner of a volume of more than 2^31 bytes, with nothing in between.

    No more memory is given than the claim allows, on large GPUs too, so that the answer is the same on all of them.
    """
    if subject.quick:
        raise UnprovenError("left out of a quick run")
    shape, side = (520, 1025, 1023), 16
    count = shape[0] * shape[1] * shape[2]
    needed = int(count * (4 + _BYTES_A_CELL)) + _ROOM_FOR_REST
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info()
    if free < needed:
        raise UnprovenError(f"needs {needed / 2**30:.0f} GiB of GPU memory, and {free / 2**30:.0f} GiB are free")
    blocks, volume = _noise_at_both_ends(shape, side, device)
    allowed = torch.cuda.memory_reserved() + needed - volume.nbytes
    torch.cuda.set_per_process_memory_fraction(min(1.0, allowed / total))
    try:
        vertices, faces = run(subject, volume, 0.0)
    except torch.cuda.OutOfMemoryError as error:
        first = str(error).partition(". ")[0]
        raise WrongError(f"out of memory with {_BYTES_A_CELL:.0f} bytes a cell beside the volume: {first}") from error
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    return _judge_ends(vertices, faces, blocks, shape, f"{count * 4 / 2**31:.3f} times 2^31 bytes")


def _noise_at_both_ends(shape: tuple[int, int, int], side: int, device: str) -> tuple[Blocks, Tensor]:
    """Give the blocks of noise and the volume that holds them."""
    volume = torch.full(shape, -1.0, device=device)
    blocks: Blocks = []
    for seed, corner in enumerate(((0, 0, 0), tuple(n - side for n in shape))):
        block = np.full((side, side, side), -1, np.float32)
        block[1:-1, 1:-1, 1:-1] = keep_away(white_noise((side - 2, side - 2, side - 2), seed), 0.0)
        z, y, x = corner
        volume[z : z + side, y : y + side, x : x + side] = torch.from_numpy(block).to(device)
        blocks.append((np.array([x, y, z], np.float64), block))
    return blocks, volume


def _judge_ends(vertices: Array, faces: Array, blocks: Blocks, shape: tuple[int, int, int], size: str) -> Measured:
    far = vertices[:, 0] > shape[2] / 2
    values = dict.fromkeys(limits(), 0.0)
    # Coordinates near 1024 are rounded to 2^-14 of a voxel; by half of that a vertex may be off.
    for own, (corner_point, block) in zip((~far, far), blocks, strict=True):
        points = vertices[own] - corner_point
        index = np.cumsum(own) - 1
        mine = own[faces].all(1)
        stand_in = _Fixed(points.astype(np.float32), index[faces[mine]].astype(np.int32))
        report = figures(extract(stand_in.subject, block, 0.0, "cpu", tolerance=1e-4 + 2**-14))
        values = {name: max(value, report[name]) for name, value in values.items()}
    mixed = int((far[faces].any(1) & ~far[faces].all(1)).sum())
    tolerance = limits()
    tolerance["farthest vertex from its crossing (voxels)"] += 2**-14
    return Measured(
        values={**values, "faces across the volume": mixed},
        tolerance={**tolerance, "faces across the volume": 0},
        detail=f"{size}, {len(faces)} triangles",
    )


class _Fixed:
    """A stand-in that answers with a mesh that is there already, so that it is judged like any other."""

    def __init__(self, vertices: Array, faces: Array) -> None:
        answer = torch.from_numpy(vertices), torch.from_numpy(faces)
        self.subject = Subject(marching_cubes=lambda _volume, _level: answer, grid_interp=lambda _volume, _points: None)


def _agree(array: Array, subject: Subject, device: str) -> Measured:
    there, here = (extract(subject, array, 0.0, where) for where in (device, "cpu"))
    one, other = (canonical_triangles(surface.welded) for surface in (there, here))
    same = one.shape == other.shape and bool((one == other).all())
    if there.matching.missed or here.matching.missed:
        raise WrongError(
            f"crossings without a vertex: {there.matching.missed} on {device}, {here.matching.missed} on cpu"
        )
    return Measured(
        values={"different": float(not same)},
        tolerance={"different": 0},
        detail=f"{len(one)} triangles on {device}, {len(other)} on the CPU",
    )


def agrees_on_torus(subject: Subject, device: str) -> Measured:
    """Compare the triangles of both devices on a smooth shape."""
    return _agree(keep_away(torus().sample(grid_of(65)), 0.0, 1e-3), subject, device)


def agrees_on_noise(subject: Subject, device: str) -> Measured:
    """Compare the triangles of both devices on noise."""
    return _agree(keep_away(blurred_noise((30, 31, 34), 17), 0.0), subject, device)


CHECKS = (
    Check(
        name="streams",
        claim="Work goes to the current stream: what arrives there late is waited for.",
        run=streams,
        devices=("cuda",),
    ),
    Check(
        name="second device",
        claim="Volumes on another GPU than the current one are worked on there, and the current one stays what it was.",
        run=second_device,
        devices=("cuda",),
    ),
    Check(
        name="memory and time",
        claim="Marching cubes takes at most 16 bytes a cell beside its result.",
        run=cost,
        devices=("cuda",),
    ),
    Check(
        name="large volume",
        claim="A volume of more than 2^31 bytes is right at both of its ends, with 16 bytes a cell beside it.",
        run=large_volume,
        devices=("cuda",),
    ),
    Check(
        name="cpu against cuda",
        claim="CPU and GPU give the same triangles for a torus, in any order.",
        run=agrees_on_torus,
        devices=("cuda",),
    ),
    Check(
        name="cpu against cuda on noise",
        claim="CPU and GPU give the same triangles for noise, in any order.",
        run=agrees_on_noise,
        devices=("cuda",),
    ),
)
