"""What `cudawheel doctor` says of the GPU of this machine, held against what torch says of it.

    pytest -s tests/gpu/test_doctor_on_gpu.py

What is printed is for docs/doctor.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from cudawheel.doctor.examine import examine
from cudawheel.doctor.machine import DriverState
from cudawheel.doctor.world import World
from cudawheel.toolchain.gpus import visible_gpus

GPUS = visible_gpus()

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not GPUS, reason="no NVIDIA GPU is visible")]


def doctor(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cudawheel", "doctor", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_the_driver_and_its_own_tool_see_the_same_gpus() -> None:
    driver = examine(World(environ=dict(os.environ), running=sys.executable)).driver
    assert driver.state is DriverState.WORKS
    assert {gpu.capability for gpu in driver.gpus} == set(GPUS)
    assert driver.version
    assert driver.cuda is not None


def test_torch_runs_natively_where_doctor_says_so() -> None:
    torch = pytest.importorskip("torch")
    findings = json.loads(doctor("--json", "--offline").stdout)["findings"]
    codes = [finding["code"] for finding in findings if finding["section"] == "torch"]
    ran = torch.ones(3, device="cuda").sum().item() == 3
    assert ("torch-no-kernel-image" not in codes) == ran


def test_what_it_looks_like() -> None:
    for words in ((), ("--checklist",), ("--installed",)):
        answer = doctor(*words, "--offline")
        print("$ cudawheel doctor", *words, "\n" + answer.stdout)
        assert answer.returncode in {0, 60, 61}, answer.stderr
