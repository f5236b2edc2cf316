"""The child of marching_cubes.py: has one torchmcubes, and extracts surfaces when it is told to.

A line of its standard input names what to do, {"field": "sphere", "size": 256}; a line of its output says how it went.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torchmcubes
from torch import Tensor

# Of one turn, as many extractions as fit into this many seconds, within these bounds.
SECONDS = 0.2
LEAST, MOST = 3, 10

DEVICE = torch.device(sys.argv[1])


def sphere(size: int) -> Tensor:
    """Give the distance to a sphere, positive inside, in voxels."""
    axis = torch.arange(size, device=DEVICE, dtype=torch.float32) - (size - 1) / 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    return (0.4 * size - torch.sqrt(x * x + y * y + z * z)).contiguous()


def noise(size: int) -> Tensor:
    """Give white noise: more than half of all edges are cut, which no field of use comes near."""
    return torch.randn((size, size, size), generator=torch.Generator(DEVICE).manual_seed(0), device=DEVICE)


FIELDS: dict[str, Callable[[int], Tensor]] = {"sphere": sphere, "noise": noise}


@cache
def field_of(name: str, size: int) -> Tensor:
    """Give a field, made once."""
    return FIELDS[name](size)


def milliseconds(field: Tensor) -> float:
    """Extract once; on a GPU by its own clock."""
    if DEVICE.type != "cuda":
        start = time.perf_counter()
        torchmcubes.marching_cubes(field, 0.0)
        return (time.perf_counter() - start) * 1000
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    mesh = torchmcubes.marching_cubes(field, 0.0)
    last.record()
    torch.cuda.synchronize()
    del mesh
    return first.elapsed_time(last)


def bytes_a_cell(field: Tensor) -> float | None:
    """Give what an extraction takes of the GPU's memory at its height, besides the field and the mesh."""
    if DEVICE.type != "cuda":
        return None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    mesh = torchmcubes.marching_cubes(field, 0.0)
    torch.cuda.synchronize()
    outputs = sum(part.numel() * part.element_size() for part in mesh)
    return (torch.cuda.max_memory_allocated() - before - outputs) / field.numel()


def turn(name: str, size: int) -> dict[str, Any]:
    """Extract a surface several times."""
    field = field_of(name, size)
    extra = bytes_a_cell(field)  # warms up as well
    faces = len(torchmcubes.marching_cubes(field, 0.0)[1])
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < LEAST or (len(times) < MOST and time.perf_counter() - start < SECONDS):
        times.append(milliseconds(field))
    return {"milliseconds": times, "faces": faces, "bytes_a_cell": extra}


def main() -> None:
    """Do what each line asks for."""
    print(json.dumps({"file": torchmcubes.__file__}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = turn(asked["field"], asked["size"])
        except (RuntimeError, MemoryError) as error:
            answer = {"error": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"}
        print(json.dumps(answer), flush=True)
        # The others share the GPU: what is not in use now goes back to it.
        gc.collect()
        if DEVICE.type == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
