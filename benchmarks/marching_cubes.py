"""Marching cubes of two torchmcubes wheels on one GPU, turn by turn: time and memory, and their ratios.

    python benchmarks/marching_cubes.py FIRST.whl SECOND.whl

Needs torch and a GPU. Each wheel runs in a process of its own, since both have one import name; the processes take
turns of ten extractions, and the median of all is compared.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

ROUNDS = 5

WORKER = """
import json, sys, torch
from torchmcubes import marching_cubes

def sphere(n):
    axis = torch.arange(n, device="cuda", dtype=torch.float32) - (n - 1) / 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    return (0.4 * n - torch.sqrt(x * x + y * y + z * z)).contiguous()

torch.manual_seed(0)
fields = {"sphere 256": sphere(256), "sphere 512": sphere(512), "noise 256": torch.randn(256, 256, 256, device="cuda")}
for line in sys.stdin:
    field = fields[line.strip()]
    for _ in range(3):
        marching_cubes(field, 0.0)
    times = []
    for _ in range(10):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record(); mesh = marching_cubes(field, 0.0); end.record(); torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    outputs = sum(part.numel() * part.element_size() for part in mesh)
    faces = len(mesh[1])
    del mesh
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    mesh = marching_cubes(field, 0.0)
    extra = (torch.cuda.max_memory_allocated() - before - outputs) / field.numel()
    del mesh
    print(json.dumps({"milliseconds": times, "faces": faces, "bytes_a_cell": extra}), flush=True)
"""
FIELDS = ("sphere 256", "sphere 512", "noise 256")


def start(wheel: Path, folder: Path) -> subprocess.Popen[str]:
    """Start a worker that imports the wheel's torchmcubes."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-c", WORKER], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def ask(worker: subprocess.Popen[str], field: str) -> dict[str, Any]:
    """Let a worker have its turn on one field."""
    print(field, file=worker.stdin, flush=True)
    answer: dict[str, Any] = json.loads(worker.stdout.readline() if worker.stdout else "")
    return answer


def main() -> None:
    """Compare the two wheels of the command line."""
    first, second = map(Path, sys.argv[1:3])
    print(f"A {first.name}\nB {second.name}")
    with tempfile.TemporaryDirectory() as folder:
        workers = [start(first, Path(folder, "a")), start(second, Path(folder, "b"))]
        heads = ("A ms", "B ms", "A/B", "A faces", "B faces", "A bytes/cell", "B bytes/cell")
        print(f"{'field':<12}", *(f"{head:>13}" for head in heads))
        for field in FIELDS:
            turns = [[ask(worker, field) for worker in workers] for _ in range(ROUNDS)]
            times = [[time for turn in turns for time in turn[side]["milliseconds"]] for side in (0, 1)]
            a, b = map(statistics.median, times)
            faces = [turns[0][side]["faces"] for side in (0, 1)]
            extra = [turns[0][side]["bytes_a_cell"] for side in (0, 1)]
            cells = (f"{a:.3f}", f"{b:.3f}", f"{a / b:.2f}", *faces, *(f"{each:.1f}" for each in extra))
            print(f"{field:<12}", *(f"{cell:>13}" for cell in cells))
        for worker in workers:
            worker.communicate()


if __name__ == "__main__":
    main()
