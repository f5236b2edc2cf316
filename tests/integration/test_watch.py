"""`cudawheel watch` around a bare pip: what it is for, in a cgroup of the real kernel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import psutil
import pytest

from cudawheel.process import stream
from cudawheel.schedule.confinement import confine
from cudawheel.schedule.limits import GIB

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

UNITS = 4
# Takes 600 MiB for two seconds: two of them do not fit into a gibibyte.
NVCC = """#!/bin/sh
case "$*" in *--dryrun*) exit 1 ;; esac
case "$*" in
*.cu*) exec {python} -IS -c "import time; held = b'x' * (600 << 20); time.sleep(2); open('$4', 'w').close()" ;;
esac
echo 'Cuda compilation tools, release 13.0, V13.0.88'
"""
# What setuptools and torch's extension builder do, in few lines: all units at once, and a wheel of what comes out.
BACKEND = """
import shutil, subprocess, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    nvcc = shutil.which("nvcc")
    units = [subprocess.Popen([nvcc, "-c", f"k{n}.cu", "-o", f"k{n}.o"]) for n in range(4)]
    codes = [unit.wait() for unit in units]
    if any(codes):
        raise SystemExit(f"nvcc failed: {codes}")
    with zipfile.ZipFile(f"{folder}/watched_ext-1.0-py3-none-any.whl", "w") as wheel:
        info = "watched_ext-1.0.dist-info"
        wheel.writestr("watched_ext.py", "units = 4")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: watched-ext\\nVersion: 1.0\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return "watched_ext-1.0-py3-none-any.whl"
"""


@pytest.fixture
def sdist(tmp_path: Path) -> Path:
    """A project that compiles four CUDA sources at once, and asks for nothing that would have to be fetched."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "watched-ext"\nversion = "1.0"\n'
    )
    (project / "backend.py").write_text(textwrap.dedent(BACKEND))
    for number in range(UNITS):
        (project / f"k{number}.cu").write_text("__global__ void k() {}\n")
    return project


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment with a compiler of the greedy kind on PATH, as an installed CUDA toolkit would be."""
    nvcc = tmp_path / "toolkit" / "bin" / "nvcc"
    nvcc.parent.mkdir(parents=True)
    nvcc.write_text(NVCC.format(python=sys.executable))
    nvcc.chmod(0o755)
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("CUDA", "CMAKE_", "PYTORCH_"))}
    return {
        **ours,
        "PATH": f"{nvcc.parent}:{os.environ['PATH']}",
        "CUDAWHEEL_CACHE": str(tmp_path / "cache"),
        "PIP_CACHE_DIR": str(tmp_path / "pip"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def pip_install(project: Path, target: Path) -> list[str]:
    return [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--target", str(target), str(project)]


def watched(*words: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cudawheel", "watch", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def gibibyte() -> None:
    if psutil.swap_memory().total:
        pytest.skip("what does not fit into a cgroup goes to swap here, and nothing is killed")
    with confine(GIB) as confinement:
        if confinement.group is None:
            pytest.skip("needs a cgroup whose memory this user may limit, such as root has on a machine of its own")


@pytest.mark.usefixtures("gibibyte")
def test_a_pip_install_that_is_killed_bare_survives_under_watch(
    sdist: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    with confine(GIB) as limit:
        bare = stream(pip_install(sdist, tmp_path / "bare"), log=tmp_path / "log", env=environment, hold=limit.command)
        assert bare.code != 0
        assert limit.kills() > 0
    assert not (tmp_path / "bare" / "watched_ext.py").exists()

    plot = tmp_path / "plot.svg"
    command = pip_install(sdist, tmp_path / "target")
    done = watched("--memory", "1G", "--plot", str(plot), "--", *command, environment=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "target" / "watched_ext.py").is_file()
    assert "Successfully installed watched-ext-1.0" in done.stdout
    assert f"{UNITS} compilations, 1 at once at most" in done.stderr
    assert "the kernel ended" not in done.stderr
    assert f"plot: {plot}" in done.stderr
    drawn = "".join(ET.parse(plot).getroot().itertext())  # noqa: S314 - we wrote it ourselves
    assert all(f"k{number}.cu" in drawn for number in range(UNITS))


@pytest.mark.usefixtures("gibibyte")
def test_a_command_that_does_not_fit_at_all_is_explained(environment: dict[str, str]) -> None:
    hog = [sys.executable, "-c", "hog = b'x' * (2 << 30)"]
    done = watched("--memory", "1G", "--", *hog, environment=environment)
    assert done.returncode == 128 + signal.SIGKILL
    assert "--memory 1G was too small: the kernel ended a process of it for want of memory" in done.stderr
    assert "Give it more" in done.stderr
    assert "cudawheel watch" not in done.stderr


def test_killing_watch_leaves_nothing_running(environment: dict[str, str], tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "cudawheel",
        "watch",
        "sh",
        "-c",
        f"setsid sleep 600 & echo $! >{tmp_path}/pid; wait",
    ]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
        sleeper = int((tmp_path / "pid").read_text())
    finally:
        process.kill()
        process.wait()
    eventually(lambda: not psutil.pid_exists(sleeper) or psutil.Process(sleeper).status() == psutil.STATUS_ZOMBIE)


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
