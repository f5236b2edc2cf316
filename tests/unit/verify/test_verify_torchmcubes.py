"""The suite for torchmcubes: it passes a right implementation, notices every control, and sees each known defect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

REASON = "the suite needs torch and scikit-image"
torch = pytest.importorskip("torch", reason=REASON)
pytest.importorskip("skimage", reason=REASON)

import marching_cubes_stand_in as stand_in
import numpy as np

from cudawheel.triposr.shapes import SHAPES
from cudawheel.verify.oracles.cells import case_volume, cell_fault
from cudawheel.verify.suite import Changes, Measured, UnprovenError, WrongError, load_suite
from cudawheel.verify.suites.torchmcubes import scenes
from cudawheel.verify.suites.torchmcubes.subject import Subject

SUITE = load_suite("torchmcubes")
RIGHT = Subject(marching_cubes=stand_in.marching_cubes, grid_interp=stand_in.grid_interp, quick=True)
CHECKS = {check.name: check for check in SUITE.checks(RIGHT)}
ON_CPU = [check for check in CHECKS.values() if "cpu" in check.devices]
CONTROLS = [control for control in SUITE.controls(RIGHT) if "cpu" in control.devices]
# Of the stand-in nothing is compiled, and of the scenes there is a test of their own.
ELSEWHERE = {"device code", *(f"scene {name}" for name in SHAPES)}

MarchingCubes = Callable[[Any, float], tuple[Any, Any]]


def passes(name: str, subject: Subject) -> bool:
    try:
        measured = CHECKS[name].run(subject, "cpu")
    except WrongError:
        return False
    return not measured.exceeded


def failing(marching_cubes: MarchingCubes) -> set[str]:
    broken = replace(RIGHT, marching_cubes=marching_cubes)
    return {check.name for check in ON_CPU if check.name not in ELSEWHERE and not passes(check.name, broken)}


@pytest.mark.parametrize("name", [check.name for check in ON_CPU if check.name not in ELSEWHERE])
def test_a_right_implementation_passes(name: str) -> None:
    measured = CHECKS[name].run(RIGHT, "cpu")
    assert measured.exceeded == (), measured.explain()


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
def test_each_control_changes_answers_and_is_noticed(control: Any) -> None:
    changes = Changes()
    broken = control.breaks(RIGHT, changes)
    noticed = [name for name in control.checks if name not in ELSEWHERE and not passes(name, broken)]
    assert noticed
    assert changes.count > 0


def test_names_of_checks_are_unique_and_controls_name_them() -> None:
    checks = SUITE.checks(RIGHT)
    assert len(CHECKS) == len(checks)
    assert {name for control in SUITE.controls(RIGHT) for name in control.checks} <= set(CHECKS)


def test_every_device_has_controls_for_both_functions() -> None:
    on_gpu = [control.name for control in SUITE.controls(RIGHT) if "cuda" in control.devices]
    assert {"fallback to the CPU", "other stream", "dropped fifth triangle", "swapped axes of points"} <= set(on_gpu)


def test_every_case_of_a_cell_is_right_and_none_is_with_a_triangle_less() -> None:
    for case in range(1, 255):
        volume = case_volume(case, seed=5)
        vertices, faces = (
            part.numpy().astype(float) for part in stand_in.marching_cubes(torch.from_numpy(volume), 0.0)
        )
        faces = faces.astype(int)
        assert cell_fault(volume, 0.0, vertices, faces) == "", case
        assert cell_fault(volume, 0.0, vertices, faces[1:]), case
        assert cell_fault(volume, 0.0, vertices, faces[:, ::-1]), case
        assert cell_fault(volume, 0.0, vertices, np.concatenate([faces, faces[:1]])), case
        assert cell_fault(volume, 0.0, vertices + np.array([0.5, 0, 0]), faces), case


def test_a_soup_of_triangles_is_as_right_as_shared_vertices() -> None:
    def soup(volume: Any, level: float) -> tuple[Any, Any]:
        vertices, faces = stand_in.marching_cubes(volume, level)
        return vertices[faces.long()].reshape(-1, 3), torch.arange(faces.numel(), dtype=torch.int32).reshape(-1, 3)

    assert failing(soup) == set()


def test_only_what_it_is_about_sees_the_missing_fifth_triangle() -> None:
    (control,) = [control for control in CONTROLS if control.name == "dropped fifth triangle"]
    broken = control.breaks(RIGHT, Changes())
    assert failing(broken.marching_cubes) == {"cell cases", "white noise", "blurred noise", "sizes", "thresholds"}


def test_only_the_empty_surface_shows_a_fake_triangle() -> None:
    def fake(volume: Any, level: float) -> tuple[Any, Any]:
        vertices, faces = stand_in.marching_cubes(volume, level)
        if len(faces) or not volume.numel():
            return vertices, faces
        return torch.zeros((3, 3)), torch.arange(3, dtype=torch.int32)[None]

    assert failing(fake) == {"empty surface"}


def test_garbage_beside_voxels_that_are_not_finite_is_seen_and_by_nothing_else() -> None:
    def garbage(volume: Any, level: float) -> tuple[Any, Any]:
        return stand_in.marching_cubes(torch.nan_to_num(volume, nan=9.0, posinf=9.0, neginf=-9.0), level)

    assert failing(garbage) == {"not finite"}


@pytest.mark.parametrize(
    "answer",
    [
        lambda vertices, faces: (vertices.double(), faces),
        lambda vertices, faces: (vertices, faces.long()),
        lambda vertices, faces: (vertices[:, :2], faces),
        lambda vertices, faces: (vertices, faces + 1),
        lambda vertices, faces: (vertices, faces - 1),
        lambda vertices, faces: (vertices * float("nan"), faces),
    ],
)
def test_what_is_no_mesh_is_wrong_and_said(answer: Callable[[Any, Any], tuple[Any, Any]]) -> None:
    broken = replace(RIGHT, marching_cubes=lambda volume, level: answer(*stand_in.marching_cubes(volume, level)))
    with pytest.raises(WrongError, match=r"are|name|have"):
        CHECKS["white noise"].run(broken, "cpu")


def nudged(place: Callable[[Any, Any], Any]) -> Subject:
    return replace(RIGHT, grid_interp=lambda volume, points: stand_in.grid_interp(volume, place(volume, points)))


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("interpolation", lambda _, points: points + 1e-3),
        (
            "interpolation in tall volumes",
            lambda volume, points: torch.minimum(points, torch.tensor([9e9, 9e9, volume.shape[3] - 1])),
        ),
        ("interpolation outside", lambda _, points: points.abs()),
        (
            "interpolation above flat volumes",
            lambda volume, points: torch.where(points > torch.tensor([9e9, 9e9, volume.shape[1] - 1]), 0.0, points),
        ),
        (
            "interpolation before the first voxel",
            lambda _, points: torch.where((points < 0) & (points > -1), -points, points),
        ),
    ],
)
def test_each_check_of_interpolation_sees_its_own_fault(name: str, place: Callable[[Any, Any], Any]) -> None:
    broken = nudged(place)
    assert not passes(name, broken)
    if name != "interpolation":
        assert passes("interpolation", broken)


@cache
def exact_density(name: str, resolution: int) -> tuple[Any, scenes.Cube]:
    """The exact shape, sampled once: that takes longer than all that is done with it."""
    cube = scenes.Cube(resolution=resolution, radius=0.87)
    ticks = np.arange(resolution) * cube.voxel - cube.radius
    points = np.stack(np.meshgrid(ticks, ticks, ticks, indexing="ij"), -1).reshape(-1, 3)
    values = -SHAPES[name].sdf(points).reshape(resolution, resolution, resolution) / cube.voxel
    return scenes.keep_away(values.astype(np.float32), 0.0, 1e-3), cube


@pytest.fixture(params=["torus", "chair"])
def scene(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put the exact shape in place of its fitted scene."""

    def density(name: str, resolution: int, device: str) -> tuple[Any, scenes.Cube]:  # noqa: ARG001 - as the original
        values, cube = exact_density(name, resolution)
        return values.copy(), cube

    monkeypatch.setattr(scenes, "density", density)
    return str(request.param)


def of_scene(name: str, subject: Subject) -> Measured:
    return CHECKS[f"scene {name}"].run(subject, "cpu")


def test_a_scene_that_is_its_shape_passes(scene: str) -> None:
    measured = of_scene(scene, RIGHT)
    assert measured.exceeded == (), measured.explain()


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("dropped triangles", "open edges inside"),
        ("swapped axes", "mean distance of the vertices from the shape (voxels)"),
        ("flipped winding", "error of the volume (relative)"),
        ("shifted", "vertices on no crossing"),
    ],
)
def test_a_scene_shows_faults_of_the_wheel(scene: str, fault: str, seen: str) -> None:
    (control,) = [control for control in CONTROLS if control.name == fault]
    assert seen in of_scene(scene, control.breaks(RIGHT, Changes())).exceeded


def test_another_shape_than_that_of_the_scene_is_seen(scene: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other = {"torus": "chair", "chair": "torus"}[scene]
    monkeypatch.setattr(scenes, "SHAPES", {scene: SHAPES[other]})
    assert {
        "1 - intersection over union with the shape",
        "mean distance of the vertices from the shape (voxels)",
        "error of the volume (relative)",
        "error of the Euler characteristic of the largest part",
    } <= set(of_scene(scene, RIGHT).exceeded)


def test_a_scene_that_is_not_there_is_unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    scene_room = pytest.importorskip("cudawheel.triposr.scene", reason="fitted scenes are read with safetensors")
    monkeypatch.setattr(scene_room, "scene_names", lambda: ("chair",))
    with pytest.raises(UnprovenError, match="no fitted scene"):
        of_scene("torus", RIGHT)
