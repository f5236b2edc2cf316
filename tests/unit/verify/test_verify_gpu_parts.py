"""What can be tried without a GPU of the checks that need one: their judgement of what a GPU would have answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REASON = "the suites need torch and scikit-image"
torch = pytest.importorskip("torch", reason=REASON)
pytest.importorskip("skimage", reason=REASON)

import marching_cubes_stand_in as stand_in
import numpy as np

from cudawheel.verify.oracles.gpu_trace import Trace
from cudawheel.verify.suite import Measured, UnprovenError
from cudawheel.verify.suites import evidence
from cudawheel.verify.suites.torchmcubes import gpu
from cudawheel.verify.suites.torchmcubes.subject import Subject, run

RIGHT = Subject(marching_cubes=stand_in.marching_cubes, grid_interp=stand_in.grid_interp, quick=True)
SHAPE = (40, 43, 52)

Mesh = tuple[Any, Any]


def ends(change: Callable[[Any, Any], Mesh]) -> Measured:
    """Judge a small volume as if it were a large one, with a change of its mesh."""
    blocks, volume = gpu._noise_at_both_ends(SHAPE, 12, "cpu")
    vertices, faces = change(*run(RIGHT, volume, 0.0))
    return gpu._judge_ends(vertices, faces, blocks, SHAPE, "small")


def test_both_ends_of_a_volume_are_right_where_its_mesh_is() -> None:
    measured = ends(lambda vertices, faces: (vertices, faces))
    assert measured.exceeded == (), measured.explain()


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda vertices, faces: (vertices, faces[1:]), "open edges inside"),
        (lambda vertices, faces: (vertices, faces[:-1]), "open edges inside"),
        (lambda vertices, faces: (vertices + 1e-2, faces), "vertices on no crossing"),
        (lambda vertices, faces: (vertices[: vertices.argmax(0)[0]], faces[:0]), "vertices in no face"),
        (
            lambda vertices, faces: (vertices, np.concatenate([faces, [[0, 1, len(vertices) - 1]]])),
            "faces across the volume",
        ),
    ],
)
def test_faults_at_either_end_are_seen(change: Callable[[Any, Any], Mesh], seen: str) -> None:
    assert seen in ends(change).exceeded


def test_the_end_that_is_missing_is_seen() -> None:
    def without_far_end(vertices: Any, faces: Any) -> Mesh:
        near = vertices[:, 0] < SHAPE[2] / 2
        kept = faces[near[faces].all(1)]
        return vertices[near], (np.cumsum(near) - 1)[kept]

    assert "crossings without a vertex" in ends(without_far_end).exceeded


def test_a_quick_run_leaves_the_large_volume_unproven() -> None:
    with pytest.raises(UnprovenError, match="quick"):
        gpu.large_volume(RIGHT, "cuda")


def test_a_torus_made_on_the_device_is_closed() -> None:
    volume = gpu._torus_on(24, "cpu")
    assert volume.shape == (24, 24, 24)
    assert (volume[:, :, 0] < 0).all()
    assert (volume > 0).any()


@pytest.mark.parametrize("check", [gpu.agrees_on_torus, gpu.agrees_on_noise])
def test_two_devices_that_answer_alike_agree_and_others_do_not(check: Callable[[Subject, str], Measured]) -> None:
    assert check(RIGHT, "cpu").exceeded == ()
    calls: list[int] = []

    def another_each_time(volume: Any, level: float) -> Mesh:
        calls.append(len(calls))
        vertices, faces = stand_in.marching_cubes(volume, level)
        return vertices, faces[: len(faces) - len(calls) + 1]

    differs = Subject(marching_cubes=another_each_time, grid_interp=stand_in.grid_interp, quick=True)
    assert check(differs, "cpu").exceeded == ("different",)


def test_device_code_is_found_by_its_section(tmp_path: Path) -> None:
    (tmp_path / "with.so").write_bytes(b"\x7fELF.text\0.nv_fatbin\0")
    (tmp_path / "without.so").write_bytes(b"\x7fELF.text\0")
    both = sorted(tmp_path.glob("*.so"))
    assert evidence.look_for_device_code(both).exceeded == ()
    assert "with.so" in evidence.look_for_device_code(both).detail
    assert evidence.look_for_device_code(both[1:]).exceeded
    assert evidence.look_for_device_code([]).exceeded


def work() -> None:
    end = time.process_time() + 0.02
    while time.process_time() < end:
        pass


@pytest.mark.parametrize(
    ("seconds", "first_counts", "calls", "expected"),
    [
        ([2.0], True, 1, 2.0),
        ([2.0, 0.5], False, 2, 0.5),
        ([0.1, 0.05, 0.04, 0.06], True, 4, 0.04),
        ([0.1, 0.15, 0.12], True, 3, 0.12),
    ],
)
def test_no_more_calls_are_timed_than_it_takes(
    monkeypatch: pytest.MonkeyPatch, seconds: list[float], first_counts: bool, calls: int, expected: float
) -> None:
    clock, made = [0.0], []

    def call() -> None:
        clock[0] += seconds[len(made)]
        made.append(seconds[len(made)])

    monkeypatch.setattr(evidence.time, "process_time", lambda: clock[0])
    assert evidence._processor_seconds(call, first_counts=first_counts) == pytest.approx(expected)
    assert len(made) == calls


OWN = Trace(kernels=("tiny::count_kernel(int)", "at::native::fill(int)"), to_host=8, to_device=0)


@pytest.mark.parametrize(
    ("recorded", "there", "seen"),
    [
        (OWN, lambda: None, ()),
        (None, lambda: None, ()),
        (None, work, ("processor time of it against the CPU path's (ratio)",)),
        (
            Trace(kernels=("at::native::fill(int)",), to_host=0, to_device=0),
            lambda: None,
            ("missing kernels of the wheel's own, it",),
        ),
        (
            Trace(kernels=OWN.kernels, to_host=600, to_device=600),
            lambda: None,
            ("copied between GPU and CPU by it (part of its input)",),
        ),
    ],
)
def test_what_is_recorded_tells_a_kernel_from_a_fallback(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recorded: Trace | None,
    there: Callable[[], object],
    seen: tuple[str, ...],
) -> None:
    library = tmp_path / "a.so"
    library.write_bytes(b"_ZN4tiny12count_kernelEi\0")
    monkeypatch.setattr(evidence, "trace", lambda _call: recorded)
    calls = {"it": evidence.Calls(here=work, there=there, size=1200)}
    measured = evidence.look_for_kernels(calls, [library])
    assert measured.exceeded == seen
    assert ("nothing could be recorded" in measured.detail) == (recorded is None)
