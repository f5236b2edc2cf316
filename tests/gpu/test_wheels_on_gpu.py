"""What `cudawheel inspect` predicts for the GPU of this machine, held against what the GPU does.

    CUDAWHEEL_GPU_WHEELS=wheelhouse pytest tests/gpu

Every torchmcubes wheel in that folder is unpacked beside the torch that is installed, and computes a sphere in a
process of its own: where the wheel is predicted to run, the surface must lie at the analytic radius; where it is
predicted not to, CUDA must say so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cudawheel.audit.inspection import inspect
from cudawheel.model.capability import ComputeCapability, Support
from cudawheel.toolchain.gpus import visible_gpus

GPUS = visible_gpus()

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not GPUS, reason="no NVIDIA GPU is visible")]

SPHERE = """
import json
import torch
from torchmcubes import marching_cubes

size, radius = 256, 100.0
axis = torch.arange(size, device="cuda", dtype=torch.float32) - (size - 1) / 2
z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
volume = radius - torch.sqrt(x * x + y * y + z * z)
vertices, faces = marching_cubes(volume.contiguous(), 0.0)
distance = (vertices.double() - (size - 1) / 2).norm(dim=1)
print(json.dumps({
    "gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "on_gpu": vertices.is_cuda and faces.is_cuda,
    "vertices": len(vertices), "faces": len(faces), "worst": float((distance - radius).abs().max()),
}))
"""


def wheels() -> list[Path]:
    return sorted(Path(os.environ.get("CUDAWHEEL_GPU_WHEELS", "wheelhouse")).rglob("torchmcubes-*.whl"))


def run_sphere(wheel: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", SPHERE], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )


def test_there_are_wheels_to_try() -> None:
    assert wheels(), "build some first, or name their folder in CUDAWHEEL_GPU_WHEELS"


@pytest.mark.parametrize("wheel", wheels(), ids=lambda wheel: f"{wheel.parent.name}/{wheel.name}")
def test_the_gpu_does_what_was_predicted(wheel: Path, tmp_path: Path) -> None:
    gpu: ComputeCapability = GPUS[0]
    predicted = inspect(wheel).support(gpu)
    done = run_sphere(wheel, tmp_path)
    print(f"{wheel.parent.name}/{wheel.name}: {gpu} predicted {predicted}; exit {done.returncode}")
    print(done.stdout.strip() or done.stderr.strip().splitlines()[-1])
    if predicted is Support.NONE:
        assert "no kernel image is available for execution on the device" in done.stdout + done.stderr
        return
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["on_gpu"]
    assert found["faces"] > 100_000
    assert found["worst"] < 0.02  # voxels; linear interpolation of a distance is off by h^2 / 8R
