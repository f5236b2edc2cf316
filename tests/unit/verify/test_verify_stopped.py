"""A verification that is stopped loses nothing of what it has found, and passes for nothing more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from small_packages import path_source, write_recipe, write_wheel

pytest.importorskip("numpy", reason="what runs checks writes pictures with numpy")

from cudawheel.verify.verdict import Verdict

PLACE = Path(__file__).parents[2] / "support" / "fake_verification"
LONG = 60.0
STOPPED = "stopped after 2 of 4 checks and 0 of 1 broken kernels"


@pytest.fixture(autouse=True)
def fake_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four findings, one a check and device, of which the third never comes."""
    values = {"PYTHONPATH": str(PLACE), "FAKE_CHECKS": "good,hangs,size", "FAKE_CONTROLS": "far off"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def wait_for(out: Path, count: int) -> dict[str, Any]:
    """Wait until a verdict has so many findings; it is whole whenever it is there."""
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        if (out / "verdict.json").is_file():
            found: dict[str, Any] = json.loads((out / "verdict.json").read_text(encoding="utf-8"))
            if len(found["findings"]) >= count:
                return found
        time.sleep(0.02)
    raise AssertionError(f"no {count} findings within {LONG} s")


def read(out: Path) -> Verdict:
    return Verdict.from_json(json.loads((out / "verdict.json").read_text(encoding="utf-8")))


@contextmanager
def started(*words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Start a module in a session of its own, all of which is ended afterwards."""
    with subprocess.Popen(
        [sys.executable, "-m", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def order(tmp_path: Path) -> Path:
    path = tmp_path / "request.json"
    request = {"suite": "fake", "package": "tiny", "version": "1.0", "wheel": "w.whl", "wheel_sha256": "0", "gpu": "no"}
    path.write_text(json.dumps({**request, "out": str(tmp_path / "out")}), encoding="utf-8")
    return path


def children_of(process: subprocess.Popen[str]) -> list[int]:
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8")
    return [int(word) for word in text.split()]


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGKILL])
def test_a_child_that_is_ended_leaves_what_it_has_found(
    order: Path, tmp_path: Path, with_signal: signal.Signals
) -> None:
    out = tmp_path / "out"
    with started("cudawheel.verify.child", order) as child:
        wait_for(out, 2)
        os.killpg(child.pid, with_signal)
        assert child.wait(LONG) != 0
    verdict = read(out)
    assert [finding.name for finding in verdict.findings] == ["good", "good"]
    assert not verdict.finished
    assert not verdict.proven
    assert STOPPED in verdict.unproven
    assert [path.name for path in out.glob(".*")] == [], "a file that was half-written"


def test_a_child_that_is_asked_to_end_takes_its_worker_with_it(order: Path, tmp_path: Path) -> None:
    with started("cudawheel.verify.child", order) as child:
        wait_for(tmp_path / "out", 2)
        (worker,) = children_of(child)
        child.terminate()
        assert child.wait(LONG) == 128 + signal.SIGTERM
    assert not Path(f"/proc/{worker}").exists()


def test_before_the_first_finding_there_is_a_verdict_that_proves_nothing(
    order: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CHECKS", "hangs")
    with started("cudawheel.verify.child", order) as child:
        found = wait_for(tmp_path / "out", 0)
        child.terminate()
        child.wait(LONG)
    assert (found["finished"], found["proven"], found["findings"]) == (False, False, [])
    assert found["unproven"] == ["stopped after 0 of 1 checks and 0 of 1 broken kernels"]


def command(tmp_path: Path) -> list[str | Path]:
    wheel = write_wheel(tmp_path, "tiny-ext", "1.0")
    recipe = write_recipe(tmp_path / "recipes", path_source("project"))
    recipe.write_text(recipe.read_text(encoding="utf-8") + '\n[verify]\nsuite = "fake"\n', encoding="utf-8")
    return ["cudawheel", "verify", wheel, "--recipe", recipe, "--installed", "--out", tmp_path / "out"]


@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_shows_what_there_is_and_ends_as_interrupted(
    tmp_path: Path, with_signal: signal.Signals
) -> None:
    out = tmp_path / "out"
    with started(*command(tmp_path)) as parent:
        wait_for(out, 2)
        parent.send_signal(with_signal)
        said, _ = parent.communicate(timeout=LONG)
    assert parent.returncode == 130, said
    verdict = read(out)
    assert len(verdict.findings) == 2
    assert STOPPED in verdict.unproven
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "Stopped before the end: 1 checks had passed" in page
    assert STOPPED in page
    assert "Proven" not in page


def test_a_run_that_is_interrupted_before_it_found_anything_writes_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CHECKS", "hangs")
    out = tmp_path / "out"
    with started(*command(tmp_path)) as parent:
        wait_for(out, 0)
        parent.send_signal(signal.SIGINT)
        said, _ = parent.communicate(timeout=LONG)
    assert parent.returncode == 130, said
    assert not (out / "index.html").exists()


def test_checks_that_are_ended_by_themselves_prove_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_CHECKS", "good,ends the program,size")
    out = tmp_path / "out"
    with started(*command(tmp_path)) as parent:
        said, _ = parent.communicate(timeout=LONG)
    assert parent.returncode == 22, said
    assert "were stopped before the end" in said
    assert STOPPED in read(out).unproven
    assert STOPPED in (out / "index.html").read_text(encoding="utf-8")
