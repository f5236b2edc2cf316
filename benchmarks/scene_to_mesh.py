"""From a fitted scene to mesh.obj on disk, after the scene is loaded: the time of each stage, and of all.

    python benchmarks/scene_to_mesh.py --scene chair --resolution 256 --json scene.json

Needs a torchmcubes that runs on the device. The first run is told apart: it also loads kernels and libraries. All is
timed without waiting between stages; the stages, in runs of their own, with a wait after each. Prints a line each;
`--json FILE` keeps all of it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from timing import keep, milliseconds, synchronize

from cudawheel.files import write_together
from cudawheel.triposr.device import find_device
from cudawheel.triposr.field import TriplaneField
from cudawheel.triposr.mesh import Mesh, Stage, extract_mesh
from cudawheel.triposr.mesh_files import mesh_files
from cudawheel.triposr.precision import full_float32
from cudawheel.triposr.scene import load_scene
from cudawheel.triposr.surface import MarchingCubes, find_marching_cubes


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scene", default="chair")
    parser.add_argument("--folder", type=Path, default=None, help="of scenes; by default those of cudawheel")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path, default=None)
    return parser.parse_args()


def make(
    field: TriplaneField, resolution: int, marching_cubes: MarchingCubes, file: Path, stage: Stage = nullcontext
) -> Mesh:
    """Go the whole way, once."""
    mesh = extract_mesh(field, resolution, marching_cubes=marching_cubes, stage=stage)
    with stage("mesh file"):
        contents = mesh_files(mesh, "obj", stem=file.stem)
    with stage("writing"):
        write_together({file.with_name(name): content for name, content in contents.items()})
    return mesh


class Stages:
    """Measures stages, each until the device is done with it."""

    def __init__(self, device: torch.device) -> None:
        self.times: dict[str, list[float]] = {}
        self._device = device

    def __call__(self, name: str) -> AbstractContextManager[object]:
        """Measure what happens within the context."""
        return self._measure(name)

    @contextmanager
    def _measure(self, name: str) -> Iterator[None]:
        synchronize(self._device)
        start = time.perf_counter()
        yield
        synchronize(self._device)
        self.times.setdefault(name, []).append((time.perf_counter() - start) * 1000)


def main() -> None:
    """Measure the first run, the others, and the stages."""
    chosen = options()
    device = find_device(chosen.device)
    marching_cubes = find_marching_cubes(device)
    where = {} if chosen.folder is None else {"folder": chosen.folder}
    loading = time.perf_counter()
    field = load_scene(chosen.scene, device=device, **where).field
    synchronize(device)
    found: dict[str, Any] = {"load_milliseconds": (time.perf_counter() - loading) * 1000}
    stages = Stages(device)
    with tempfile.TemporaryDirectory() as folder, full_float32():
        file = Path(folder) / "mesh.obj"
        way = partial(make, field, chosen.resolution, marching_cubes, file)
        found["first_milliseconds"] = milliseconds(way, device)
        found["milliseconds"] = [milliseconds(way, device) for _ in range(chosen.rounds)]
        for _ in range(chosen.rounds):
            mesh = way(stages)
        found |= {"vertices": len(mesh.vertices), "faces": len(mesh.faces), "bytes": file.stat().st_size}
    found["stages"] = stages.times
    print(f"{chosen.scene} at {chosen.resolution}^3: {found['vertices']} vertices, {found['faces']} faces")
    print(f"{'first run':>16}  {found['first_milliseconds']:9.2f} ms")
    print(f"{'all':>16}  {statistics.median(found['milliseconds']):9.2f} ms, median of {chosen.rounds}")
    for name, times in stages.times.items():
        print(f"{name:>16}  {statistics.median(times):9.2f} ms")
    keep(chosen.json, device, {"scene": chosen.scene, "resolution": chosen.resolution, **found})


if __name__ == "__main__":
    main()
