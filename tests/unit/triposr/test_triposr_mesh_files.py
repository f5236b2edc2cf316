from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra triposr")
pytest.importorskip("skimage", reason="needs scikit-image, the reference for marching cubes")

import numpy as np
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from reference_cubes import marching_cubes

from cudawheel.errors import ExtraMissingError, UsageError
from cudawheel.triposr.mesh import Mesh, extract_mesh
from cudawheel.triposr.mesh_files import mesh_files, obj_bytes
from cudawheel.triposr.scene import load_scene
from cudawheel.triposr.texture import Texture, bake_texture

FIELD = load_scene("torus").field
TEXELS = 256


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return extract_mesh(FIELD, 24, marching_cubes=marching_cubes)


@pytest.fixture(scope="module")
def texture(mesh: Mesh) -> Texture:
    pytest.importorskip("xatlas", reason="needs the extra triposr-texture")
    return bake_texture(mesh, FIELD, TEXELS)


def written(files: dict[str, bytes], folder: Path) -> Path:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder / next(iter(files))


@pytest.mark.parametrize("kind", ["obj", "ply", "glb"])
def test_another_reader_finds_the_same_mesh(kind: str, mesh: Mesh, tmp_path: Path) -> None:
    read = trimesh.load_mesh(written(mesh_files(mesh, kind), tmp_path), process=False)
    vertices = mesh.vertices.numpy()
    if kind == "glb":
        # The front, +x, looks along +z there, and z is up, along y.
        vertices = vertices[:, [1, 2, 0]]
    assert np.abs(read.vertices - vertices).max() < 1e-6
    assert np.array_equal(read.faces, mesh.faces.numpy())
    colours = read.visual.vertex_colors[:, :3] / 255
    assert np.abs(colours - mesh.colours.numpy()).max() < 0.01
    assert read.volume > 0


@given(
    values=arrays(np.float32, (5, 3), elements=st.floats(-2, 2, width=32)),
    colours=arrays(np.float32, (5, 3), elements=st.floats(0, 1, width=32)),
    faces=arrays(np.int64, (4, 3), elements=st.integers(0, 4)),
)
def test_the_text_of_an_obj_is_what_formatting_one_number_after_the_other_gives(
    values: np.ndarray, colours: np.ndarray, faces: np.ndarray
) -> None:
    mesh = Mesh(vertices=torch.from_numpy(values), faces=torch.from_numpy(faces), colours=torch.from_numpy(colours))
    lines = bytes(obj_bytes(mesh)).decode("ascii").splitlines()
    assert [line.split()[0] for line in lines] == ["v"] * 5 + ["f"] * 4
    for line, place, colour in zip(lines[:5], values, colours, strict=True):
        numbers = line.split()[1:]
        assert [len(number.partition(".")[2]) for number in numbers] == [7] * 3 + [4] * 3
        assert np.abs(np.array(numbers[:3], dtype=float) - place).max() <= 0.5000001e-7
        assert np.abs(np.array(numbers[3:], dtype=float) - colour).max() <= 0.5000001e-4
        assert not any(number.startswith("-0.0000000") and float(number) == 0 for number in numbers)
    assert [[int(number) - 1 for number in line.split()[1:]] for line in lines[5:]] == faces.tolist()


@pytest.mark.parametrize("count", [9, 10, 99, 100, 101])
def test_indices_of_any_length(count: int) -> None:
    mesh = Mesh(vertices=torch.zeros(count, 3), faces=torch.tensor([[0, 1, count - 1]]), colours=torch.zeros(count, 3))
    assert bytes(obj_bytes(mesh)).decode().splitlines()[-1] == f"f 1 2 {count}"


def test_a_texture_has_the_colour_of_the_field_at_every_place_of_the_surface(mesh: Mesh, texture: Texture) -> None:
    """Points drawn on faces, looked up on the texture with the nearest texel, beside the field's own colour there."""
    rng = np.random.default_rng(5)
    faces = rng.integers(len(mesh.faces), size=3000)
    weights = rng.dirichlet(np.ones(3), size=3000)
    points = np.einsum("nk,nkc->nc", weights, mesh.vertices.numpy()[mesh.faces.numpy()[faces]])
    u, v = np.einsum("nk,nkc->nc", weights, texture.places[texture.faces[faces]]).T
    pixels = np.asarray(texture.picture) / 255
    found = pixels[((1 - v) * TEXELS).astype(int).clip(0, TEXELS - 1), (u * TEXELS).astype(int).clip(0, TEXELS - 1)]
    expected = FIELD.colour(FIELD.raw(torch.from_numpy(points).float())).numpy()
    difference = np.abs(found - expected).max(axis=1)
    assert difference.mean() < 0.01
    assert difference.max() < 0.1
    assert expected.std(axis=0).min() > 0.1


def test_a_texture_lays_every_face_on_the_picture_without_overlap(mesh: Mesh, texture: Texture) -> None:
    assert np.array_equal(texture.vertices[texture.faces], mesh.faces.numpy())
    assert texture.places.min() >= 0
    assert texture.places.max() <= 1
    assert texture.picture.size == (TEXELS, TEXELS)
    a, b, c = (texture.places[texture.faces[:, corner]].astype(float) for corner in range(3))
    area = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).sum() / 2
    assert 0.2 < area <= 1


@pytest.mark.parametrize("kind", ["obj", "glb"])
def test_another_reader_finds_the_texture(kind: str, mesh: Mesh, texture: Texture, tmp_path: Path) -> None:
    files = mesh_files(mesh, kind, texture=texture)
    assert set(files) == ({"mesh.obj", "mesh.mtl", "mesh.png"} if kind == "obj" else {"mesh.glb"})
    read = trimesh.load_mesh(written(files, tmp_path), process=False)
    material = read.visual.material
    picture = material.image if kind == "obj" else material.baseColorTexture
    assert np.array_equal(np.asarray(picture.convert("RGB")), np.asarray(texture.picture))
    assert len(read.faces) == len(mesh.faces)
    corners = read.vertices[read.faces]
    expected = mesh.vertices.numpy()[mesh.faces.numpy()]
    assert np.abs(corners - (expected if kind == "obj" else expected[..., [1, 2, 0]])).max() < 1e-6
    assert np.abs(read.visual.uv[read.faces] - texture.places[texture.faces]).max() < 1e-6


def test_a_texture_without_xatlas_says_what_to_install(mesh: Mesh, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "xatlas", None)
    with pytest.raises(ExtraMissingError, match="xatlas") as caught:
        bake_texture(mesh, FIELD, TEXELS)
    assert "[triposr-texture]" in caught.value.remedy


def test_a_ply_has_no_texture(mesh: Mesh, texture: Texture) -> None:
    with pytest.raises(UsageError, match="PLY"):
        mesh_files(mesh, "ply", texture=texture)


def test_a_format_that_does_not_exist(mesh: Mesh) -> None:
    with pytest.raises(UsageError, match="'stl'"):
        mesh_files(mesh, "stl")


def test_the_picture_of_a_texture_is_a_png(mesh: Mesh, texture: Texture) -> None:
    content = mesh_files(mesh, "obj", texture=texture)["mesh.png"]
    assert Image.open(io.BytesIO(content)).format == "PNG"
