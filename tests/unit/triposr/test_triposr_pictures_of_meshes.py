from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the extra triposr")
pytest.importorskip("skimage", reason="needs scikit-image, the reference for marching cubes")

import numpy as np
from reference_cubes import marching_cubes
from torch import nn
from triposr_parity import reference, tiny_network

from cudawheel.triposr.camera import Camera
from cudawheel.triposr.config import DecoderConfig
from cudawheel.triposr.decoder import Decoder
from cudawheel.triposr.field import TriplaneField
from cudawheel.triposr.mesh import Mesh, extract_mesh
from cudawheel.triposr.portrait import portrait, vertex_normals
from cudawheel.triposr.raster import rasterise
from cudawheel.triposr.render import render, render_turntable, turntable
from cudawheel.triposr.scene import load_scene
from cudawheel.triposr.surface import extract_surface

RADIUS = 0.87


def sphere(radius: float, resolution: int = 40) -> Mesh:
    ticks = torch.linspace(-RADIUS, RADIUS, resolution)
    x, y, z = torch.meshgrid(ticks, ticks, ticks, indexing="ij")
    density = 25 + 30 * (radius - (x**2 + y**2 + z**2).sqrt())
    vertices, faces = extract_surface(density, radius=RADIUS, marching_cubes=marching_cubes)
    return Mesh(vertices=vertices, faces=faces, colours=torch.tensor([0.9, 0.2, 0.1]).expand(len(vertices), -1))


def even_field(density: float, colour: float) -> TriplaneField:
    """The same density and colour everywhere."""
    decoder = Decoder(DecoderConfig(in_channels=3, n_neurons=2, n_hidden_layers=1))
    with torch.no_grad():
        for layer in decoder.linear_layers:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        decoder.linear_layers[-1].bias[0] = np.log(density) + 1
        decoder.linear_layers[-1].bias[1:] = np.log(colour / (1 - colour))
    return TriplaneField(planes=torch.zeros(3, 1, 2, 2), decoder=decoder, radius=RADIUS)


@pytest.mark.parametrize("scene", [0, 1])
def test_views_are_what_the_original_renders(scene: int) -> None:
    network, arrays = tiny_network(), reference()
    field = network.field(arrays["scene_codes"][scene])
    views = arrays["render_48"][scene]
    for camera, view in zip(turntable(len(views)), views, strict=True):
        assert (render(field, camera, side=view.shape[0]) - view).abs().max() < 2e-5


def test_a_ray_through_an_even_field_follows_beer_and_lambert() -> None:
    picture = render(even_field(2.0, 0.25), Camera(), side=9)
    through = np.exp(-2.0)
    assert picture[4, 4].numpy() == pytest.approx([through + (1 - through) * 0.25] * 3, abs=1e-5)
    assert torch.equal(render(even_field(2.0, 0.25), Camera(field_of_view=120), side=9)[0, 0], torch.ones(3))


def test_portions_of_a_picture_do_not_show() -> None:
    field = load_scene("torus").field
    camera = Camera(azimuth=30, elevation=25)
    assert (render(field, camera, side=24) - render(field, camera, side=24, chunk_size=1000)).abs().max() < 1e-5


def test_a_turntable_goes_round_once_and_tells() -> None:
    steps: list[tuple[int, int]] = []
    pictures = render_turntable(load_scene("chair").field, views=4, side=24, progress=lambda *step: steps.append(step))
    assert pictures.shape == (4, 24, 24, 3)
    assert pictures.dtype == torch.uint8
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [camera.azimuth for camera in turntable(4)] == [0, 90, 180, 270]
    # A chair is the same from its left and its right, and another from the side than from the front.
    front, left, _, right = (picture.float() for picture in pictures)
    assert (left - right.flip(1)).abs().mean() < 6
    assert (front - left).abs().mean() > 12


def test_the_middle_of_a_picture_is_what_the_camera_looks_at() -> None:
    camera = Camera(azimuth=50, elevation=20, target=(0.1, -0.2, 0.3))
    places, depth = camera.project(np.array([camera.target]), 30, 40)
    assert places[0] == pytest.approx([20, 15])
    assert depth[0] == pytest.approx(1.9)


def test_a_ray_through_a_pixel_meets_what_is_projected_to_it() -> None:
    camera = Camera(azimuth=-70, elevation=35)
    rays = camera.rays(31, 47)
    along = camera.position + 1.3 * rays[7, 29]
    places, _ = camera.project(along[None], 31, 47)
    assert places[0] == pytest.approx([29.5, 7.5])


def test_the_nearer_triangle_is_seen_whatever_its_number() -> None:
    places = np.array([[0.0, 0.0], [20, 0], [0, 20], [0, 0], [20, 0], [0, 20]])
    depth = np.array([2.0, 2, 2, 1, 1, 1])
    for faces in (np.array([[0, 1, 2], [3, 4, 5]]), np.array([[3, 4, 5], [0, 1, 2]])):
        seen = rasterise(places, depth, faces, 16, 16)
        assert seen.depth[2, 3] == pytest.approx(1)
        assert (faces[seen.face[2, 3]] >= 3).all()
        assert seen.weights[2, 3] @ places[faces[seen.face[2, 3]]] == pytest.approx([3.5, 2.5])
    assert not seen.covered[15, 15]


def test_triangles_with_a_common_edge_leave_no_gap() -> None:
    rng = np.random.default_rng(1)
    corners = np.array([[-3.0, -3], [40, -3], [40, 40], [-3, 40], *rng.uniform(2, 30, (1, 2))])
    faces = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
    assert rasterise(corners, np.ones(5), faces, 32, 33).covered.all()


def test_the_silhouette_of_a_sphere_is_a_disc_of_the_right_size() -> None:
    mesh = sphere(0.6)
    camera = Camera(azimuth=20, elevation=10)
    seen = rasterise(*camera.project(mesh.vertices.double().numpy(), 128, 128), mesh.faces.numpy(), 128, 128)
    angle = np.arcsin(0.6 / camera.distance)
    radius = 64 / np.tan(np.radians(20)) * np.tan(angle)
    assert seen.covered.sum() == pytest.approx(np.pi * radius**2, rel=0.02)
    rows, columns = np.nonzero(seen.covered)
    assert [rows.mean() + 0.5, columns.mean() + 0.5] == pytest.approx([64, 64], abs=0.5)
    assert seen.depth.min() == pytest.approx(camera.distance - 0.6, abs=0.01)


def test_normals_of_a_sphere_point_outwards() -> None:
    mesh = sphere(0.6)
    vertices = mesh.vertices.double().numpy()
    normals = vertex_normals(vertices, mesh.faces.numpy())
    out = vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    assert (np.einsum("vc,vc->v", normals, out) > 0.99).all()


def test_a_portrait_shows_the_object_in_its_colour_lit_from_above_on_a_light_ground() -> None:
    pixels = np.asarray(portrait(sphere(0.6), side=96)).astype(float)
    assert pixels.shape == (96, 96, 3)
    red = pixels[..., 0] - pixels[..., 1] > 40
    rows, columns = np.nonzero(red)
    assert 0.3 < red.mean() < 0.8
    assert columns.mean() == pytest.approx(47.5, abs=2)
    upper, lower = pixels[red & (np.arange(96) < 40)[:, None]], pixels[red & (np.arange(96) > 60)[:, None]]
    assert upper.mean() > lower.mean() + 20
    assert pixels[:6, :6].min() > 200
    assert rows.min() > 1


def test_a_portrait_of_a_mesh_inside_out_is_the_same() -> None:
    mesh = sphere(0.6)
    flipped = Mesh(vertices=mesh.vertices, faces=mesh.faces.flip(1), colours=mesh.colours)
    one, other = (np.asarray(portrait(each, side=48)).astype(float) for each in (mesh, flipped))
    assert np.abs(one - other).mean() < 2


def test_a_portrait_of_a_scene_has_its_colours() -> None:
    mesh = extract_mesh(load_scene("chair").field, 48, marching_cubes=marching_cubes)
    pixels = np.asarray(portrait(mesh, side=96)).astype(float)
    red = (pixels[..., 0] > 2 * pixels[..., 1]) & (pixels[..., 0] > 2 * pixels[..., 2])
    assert red.sum() > 300
