"""Many processes at one store at once, and processes killed while they work on it: the programs, for a shorter time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SUPPORT = Path(__file__).parents[1] / "support"


def run(program: str, *options: str) -> dict[str, Any]:
    command = [sys.executable, SUPPORT / program, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.stderr == ""
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.mark.parametrize("seed", ["0"])
def test_twenty_processes_build_read_pull_and_prune_one_store(seed: str) -> None:
    said = run("store_crowd.py", "--processes", "20", "--seconds", "8", "--seed", seed)
    assert said["errors"] == []
    done = said["done"]
    # All of it has happened, or nothing was shown.
    assert min(done[name] for name in ("built", "found", "publish", "pulled", "push: uploaded", "removed", "in use"))


def test_a_store_is_sound_after_every_kill() -> None:
    said = run("store_killing.py", "--rounds", "30")
    assert said["faults"] == []
    assert said["rounds"] == 30
    assert said["rounds with work interrupted"] > 5
