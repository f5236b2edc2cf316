from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra triposr")
pytest.importorskip("skimage", reason="needs scikit-image, the reference for marching cubes")

import numpy as np
from reference_cubes import marching_cubes
from safetensors.torch import load_file, save_file

from cudawheel.errors import CheckpointError, UsageError
from cudawheel.triposr import scene as scene_module
from cudawheel.triposr.grid import density_on_grid
from cudawheel.triposr.scene import SCENE_RADIUS, load_scene, save_scene, scene_names
from cudawheel.triposr.score import Score, enclosed_volume, euler_characteristic, is_watertight, score
from cudawheel.triposr.shapes import SHAPES
from cudawheel.triposr.surface import SURFACE_DENSITY, extract_surface

RESOLUTION = 64
LARGEST_FILE = 160 * 1024
TETRAHEDRON = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A scene's file that a test may damage."""
    return save_scene(load_scene("torus"), tmp_path)


def score_of(name: str, shape: str) -> Score:
    scene = load_scene(name)
    density = density_on_grid(scene.field, RESOLUTION)
    vertices, faces = extract_surface(density, radius=SCENE_RADIUS, marching_cubes=marching_cubes)
    return score(
        SHAPES[shape],
        inside=(density > SURFACE_DENSITY).numpy(),
        radius=SCENE_RADIUS,
        vertices=vertices.numpy().astype(np.float64),
        faces=faces.numpy(),
    )


def test_every_shape_has_its_scene_and_every_scene_its_shape() -> None:
    assert scene_names() == tuple(sorted(SHAPES))


@pytest.mark.parametrize("name", SHAPES)
def test_a_scene_is_near_to_its_shape(name: str) -> None:
    found = score_of(name, name)
    assert found.iou > 0.95
    assert found.distance < 0.2
    # Between points of so coarse a grid an exponential is far from straight: at 128 this is 0.023 at most.
    assert abs(found.volume_error) < 0.07
    assert found.euler_characteristic == SHAPES[name].euler_characteristic
    assert found.watertight


def test_a_scene_is_not_near_to_another_shape() -> None:
    found = score_of("torus", "chair")
    assert found.iou < 0.5
    assert found.distance > 1
    assert abs(found.volume_error) > 0.1
    assert found.euler_characteristic != found.expected_euler_characteristic


@pytest.mark.parametrize("name", SHAPES)
def test_a_scene_has_the_colours_of_its_shape(name: str) -> None:
    field = load_scene(name).field
    points = np.random.default_rng(1).uniform(-0.8, 0.8, (4000, 3))
    points = points[np.abs(SHAPES[name].sdf(points)) < 0.01]
    colour = field.colour(field.raw(torch.from_numpy(points).float())).numpy()
    assert np.abs(colour - SHAPES[name].colour(points)).mean() < 0.05


@pytest.mark.parametrize("name", SHAPES)
def test_a_scene_is_small(name: str) -> None:
    assert (Path(scene_module.__file__).parent / "scenes" / f"{name}.safetensors").stat().st_size <= LARGEST_FILE


def test_a_scene_that_is_written_and_read_is_the_same(file: Path) -> None:
    original, copy = load_scene("torus"), load_scene("torus", folder=file.parent)
    points = torch.rand(100, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(original.field.raw(points), copy.field.raw(points))


def test_a_scene_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(UsageError, match="'sofa'") as caught:
        load_scene("sofa")
    assert all(name in caught.value.remedy for name in SHAPES)


@pytest.mark.parametrize("name", ["../scenes/chair", "/etc/passwd", ""])
def test_a_scene_is_a_name_and_no_path(name: str) -> None:
    with pytest.raises(UsageError):
        load_scene(name)


def test_a_truncated_scene(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="no fitted scene"):
        load_scene("torus", folder=file.parent)


@pytest.mark.parametrize("lost", ["planes", "decoder.layers.0.weight", "decoder.layers.2.bias"])
def test_a_scene_of_which_something_is_missing(lost: str, file: Path) -> None:
    tensors = load_file(file)
    del tensors[lost]
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match="no fitted scene"):
        load_scene("torus", folder=file.parent)


def test_a_scene_whose_planes_do_not_fit_its_decoder(file: Path) -> None:
    tensors = load_file(file)
    tensors["planes"] = tensors["planes"][:, :-1].contiguous()
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match="no fitted scene"):
        load_scene("torus", folder=file.parent)


def test_the_measures_know_a_closed_mesh_from_an_open_one() -> None:
    corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert enclosed_volume(corners, TETRAHEDRON) == pytest.approx(1 / 6)
    assert enclosed_volume(corners, TETRAHEDRON[:, ::-1]) == pytest.approx(-1 / 6)
    assert euler_characteristic(TETRAHEDRON) == 2
    assert is_watertight(TETRAHEDRON)
    assert not is_watertight(TETRAHEDRON[1:])
    flipped = np.concatenate([TETRAHEDRON[:1, ::-1], TETRAHEDRON[1:]])
    assert not is_watertight(flipped)
    assert not is_watertight(np.concatenate([TETRAHEDRON, TETRAHEDRON[:1]]))
    assert euler_characteristic(np.concatenate([TETRAHEDRON, TETRAHEDRON + 4])) == 4
