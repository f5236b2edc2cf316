"""Real builds through the command line, on a machine that is made to look as if it had no CUDA toolkit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from uv import find_uv_bin

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / "tests" / "packages"

RECIPE = """
[package]
name = "{name}"
version = "1.0"

[[sources]]
kind = "path"
label = "here"
path = "{name_}"

[matrix]
python = ["3.10", "3.11", "3.12", "3.13"]
torch = ["2.11"]

[capabilities]
request = "8.0;12.0+PTX"

[build]
capability-list = "cmake"
memory-per-job = 0.5

[wheel]
imports = ["{name_}"]
"""


@dataclass(frozen=True)
class Finished:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Cudawheel:
    """The command line, with a cache of its own and an environment without any CUDA.

    Attributes:
        environment: what every call gets.
        trap: file that an nvcc on PATH writes when somebody runs it.
    """

    environment: dict[str, str]
    trap: Path

    def __call__(self, *arguments: str | Path, **extra: str) -> Finished:
        done = subprocess.run(
            [sys.executable, "-m", "cudawheel", *map(str, arguments)],
            env={**self.environment, **extra},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def build(self, *arguments: str | Path, **extra: str) -> dict[str, Any]:
        done = self("build", "--json", *arguments, **extra)
        assert done.code == 0, done.err
        record: dict[str, Any] = json.loads(done.out)
        return record


@pytest.fixture(scope="session")
def cudawheel(tmp_path_factory: pytest.TempPathFactory) -> Cudawheel:
    folder = tmp_path_factory.mktemp("machine")
    trap = folder / "nvcc-was-run"
    programs = folder / "bin"
    programs.mkdir()
    for name in ("nvcc", "ptxas", "cudafe++"):
        program = programs / name
        program.write_text(f'#!/bin/sh\necho "$0 $@" >> {trap}\nexit 1\n')
        program.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CUDA", "NVCC", "TORCH_"))}
    path = [str(programs), *(entry for entry in os.environ["PATH"].split(":") if not Path(entry, "nvcc").exists())]
    return Cudawheel(
        environment={**environment, "PATH": ":".join(path), "CUDAWHEEL_CACHE": str(folder / "cache")}, trap=trap
    )


@pytest.fixture
def recipe_of(tmp_path: Path) -> Any:
    """Write the recipe of a package of tests/packages, with replacements of its text, and give its path."""

    def write(package: str, **changes: str) -> Path:
        text = RECIPE.format(name=package.replace("_", "-"), name_=package)
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        (tmp_path / package).symlink_to(PACKAGES / package)
        path = tmp_path / f"{package}.toml"
        path.write_text(text)
        return path

    return write


def make_environment(folder: Path, *requirements: str | Path, python: str = sys.executable) -> Path:
    """Make an environment with uv and give its interpreter."""
    uv = find_uv_bin()
    run(uv, "venv", "--quiet", "--python", python, folder)
    interpreter = folder / "bin" / "python"
    run(uv, "pip", "install", "--quiet", "--python", interpreter, *requirements)
    return interpreter


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, cwd=cwd, env=env)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout
