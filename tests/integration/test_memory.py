"""Builds that run short of memory, that are killed, that run side by side, and that compile through a cache."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import ROOT, Cudawheel

from cudawheel.schedule.confinement import confine
from cudawheel.schedule.limits import GIB

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

WriteRecipe = Callable[..., Path]

# A host compiler that takes a gibibyte and a half the first time it compiles module.c, and then is itself again.
GREEDY = """#!/bin/sh
case "$*" in
*module.c*) if [ ! -e {marker} ]; then
  touch {marker}
  exec {python} -c "hog = bytearray(3 << 29)"
fi ;;
esac
exec {compiler} "$@"
"""
# One that never comes to an end.
ENDLESS = """#!/bin/sh
case "$*" in
*module.c*) touch {marker}; exec sleep 600 ;;
esac
exec {compiler} "$@"
"""


@pytest.fixture
def compilers(tmp_path: Path) -> Callable[[str], Path]:
    """Write a C and a C++ compiler of a kind, and give the C++ one."""

    def write(text: str) -> Path:
        folder = tmp_path / "compilers"
        folder.mkdir()
        for name in ("g++", "gcc"):
            program = folder / name
            words = {"marker": tmp_path / "marker", "python": sys.executable, "compiler": f"/usr/bin/{name}"}
            program.write_text(text.format(**words))
            program.chmod(0o755)
        return folder / "g++"

    return write


@pytest.fixture
def cgroups() -> None:
    with confine(GIB) as confinement:
        if confinement.group is None:
            pytest.skip("needs a cgroup whose memory this user may limit, such as root has on a machine of its own")


@pytest.mark.usefixtures("cgroups")
def test_a_unit_that_the_kernel_kills_is_compiled_again_and_nothing_else_is(
    cudawheel: Cudawheel, recipe_of: WriteRecipe, compilers: Callable[[str], Path], tmp_path: Path
) -> None:
    greedy = compilers(GREEDY)
    done = cudawheel(
        "build", recipe_of("tiny_cuda"), "--json", "--no-cache", "--memory", "1G", "--wheelhouse", tmp_path / "house",
        CXX=str(greedy),
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "module.c ran out of memory on one thread" in done.err
    timeline = json.loads(done.out)["build"]["timeline"]
    outcomes = [(Path(unit["source"]).name, unit["outcome"]) for unit in timeline["units"]]
    assert outcomes.count(("module.c", "out of memory")) == 1
    assert outcomes.count(("module.c", "ok")) == 1
    assert outcomes.count(("kernel.cu", "ok")) == 1
    assert {"killed", "again"} <= {event["kind"] for event in timeline["events"]}


def test_after_kill_9_no_compiler_lives_on(
    cudawheel: Cudawheel, recipe_of: WriteRecipe, compilers: Callable[[str], Path], tmp_path: Path
) -> None:
    endless = compilers(ENDLESS)
    words = ["build", recipe_of("tiny_cuda"), "--no-cache", "--wheelhouse", tmp_path / "house"]
    process = subprocess.Popen(
        [sys.executable, "-m", "cudawheel", *map(str, words)],
        env={**cudawheel.environment, "CXX": str(endless)},
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    with ended_at_last(process):
        wait_until((tmp_path / "marker").exists, 300)
        below = psutil.Process(process.pid).children(recursive=True)
        assert any("sleep" in one.name() for one in below)
        process.send_signal(signal.SIGKILL)
        process.wait()
        _, alive = psutil.wait_procs(below, timeout=2)
        assert alive == []


def test_a_machine_that_is_too_small_is_said_before_anything_is_installed(
    cudawheel: Cudawheel, recipe_of: WriteRecipe, tmp_path: Path
) -> None:
    recipe = recipe_of("tiny_cuda", **{"memory-per-job = 0.5": "memory-per-job = 3.0"})
    # A cache of its own, where nobody has measured yet what the package really takes.
    words = (recipe, "--memory", "2G", "--cache", tmp_path / "cache", "--wheelhouse", tmp_path / "house")
    done = cudawheel("build", *words)
    assert done.code == 21
    assert "needs 3.0 GiB" in done.err
    assert "--force" in done.err
    assert not (tmp_path / "cache" / "environments").exists()
    assert cudawheel("build", *words, "--force").code == 0
    assert cudawheel("build", *words, "--no-cache").code == 0, "by now it is known that it takes less"


def test_all_variants_are_built_side_by_side_and_one_that_fails_stops_no_other(
    cudawheel: Cudawheel, recipe_of: WriteRecipe, tmp_path: Path
) -> None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    recipe = recipe_of("tiny_cuda", **{'torch = ["2.11"]': 'torch = ["2.11", "2.12"]'})
    done = cudawheel("build", recipe, "--all", "--json", "--python", here, "--wheelhouse", tmp_path / "house")
    assert done.code == 0, done.err
    results = json.loads(done.out)
    assert [result["variant"]["torch"] for result in results] == ["2.11", "2.12"]
    assert len(list((tmp_path / "house").glob("tiny_cuda-*.whl"))) == 2
    assert len(list((tmp_path / "house").glob("tiny_cuda-*.whl.svg"))) == 2
    again = cudawheel("build", recipe, "--all", "--json", "--python", here, "--wheelhouse", tmp_path / "house")
    assert [result["cached"] for result in json.loads(again.out)] == [True, True]


def test_a_compiler_cache_serves_the_second_build_and_leaves_no_server(
    cudawheel: Cudawheel, recipe_of: WriteRecipe, tmp_path: Path
) -> None:
    recipe = recipe_of("tiny_cuda")
    before = {one.pid for one in psutil.process_iter()}
    words = ("--no-cache", "--compiler-cache", "--wheelhouse", tmp_path / "house")
    first, second = cudawheel.build(recipe, *words), cudawheel.build(recipe, *words)
    assert processor_time(second) < processor_time(first)
    assert first["wheel"]["sha256"] == second["wheel"]["sha256"]
    assert [one for one in psutil.process_iter(["name"]) if one.pid not in before and "sccache" in one.name()] == []


def processor_time(record: dict[str, Any]) -> float:
    units = record["build"]["timeline"]["units"]
    return float(sum(unit["end"] - unit["start"] for unit in units if Path(unit["source"]).name == "kernel.cu"))


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@contextmanager
def ended_at_last(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()
        process.wait()
