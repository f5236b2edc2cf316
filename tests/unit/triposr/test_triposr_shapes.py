from __future__ import annotations

import pytest

np = pytest.importorskip("numpy", reason="needs the extra triposr")

from cudawheel.triposr.boxes import BoxUnion
from cudawheel.triposr.gyroid import GyroidBall
from cudawheel.triposr.shapes import SHAPES, chair_boxes

BALL = GyroidBall(period=0.84, level=0.4, radius=0.7)


def grid(resolution: int, radius: float = 0.87) -> np.ndarray:
    ticks = np.linspace(-radius, radius, resolution)
    return np.stack(np.meshgrid(ticks, ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 3)


def boxes(*corners: tuple[float, ...]) -> BoxUnion:
    table = np.array(corners, dtype=float)
    return BoxUnion(low=table[:, :3], high=table[:, 3:])


def euler_by_counting(filled: np.ndarray) -> int:
    """Of the surface of a solid of voxels, from its cells of all dimensions: twice that of the closed solid."""
    filled = np.pad(filled, 1)
    cells = [filled]
    for axis in range(3):
        cells += [piece | np.roll(piece, 1, axis) for piece in cells]
    # In the order of the loop: voxels, then what is shut in x, y, xy, z, ...
    dimensions = [3 - number.bit_count() for number in range(8)]
    return 2 * sum((-1) ** dimension * int(piece.sum()) for dimension, piece in zip(dimensions, cells, strict=True))


def test_the_volume_of_boxes_that_overlap_counts_once() -> None:
    assert boxes((0, 0, 0, 2, 1, 1), (1, 0, 0, 3, 1, 1)).volume == pytest.approx(3)


@pytest.mark.parametrize(
    ("solid", "expected"),
    [
        (boxes((0, 0, 0, 1, 1, 1)), 2),
        (boxes((0, 0, 0, 1, 1, 1), (2, 0, 0, 3, 1, 1)), 4),
        # A ring of four boxes.
        (boxes((0, 0, 0, 3, 1, 1), (0, 2, 0, 3, 3, 1), (0, 0, 0, 1, 3, 1), (2, 0, 0, 3, 3, 1)), 0),
        (chair_boxes(), -2),
    ],
)
def test_the_euler_characteristic_of_boxes(solid: BoxUnion, expected: int) -> None:
    assert solid.euler_characteristic == expected


def test_the_distance_to_boxes_is_that_to_the_nearest_point_of_the_other_side() -> None:
    """Beside a brute search: no point nearer than the distance is on the other side, and one a bit further off is."""
    solid = chair_boxes()
    samples = grid(60, 1.0)
    inside = solid.contains(samples)
    step = np.sqrt(3) * 2 / 59
    rng = np.random.default_rng(6)
    points = np.concatenate([rng.uniform(-1, 1, (25, 3)), rng.permutation(samples[inside])[:25] + 0.001])
    for point, distance in zip(points, solid.sdf(points), strict=True):
        other = samples[~inside] if distance < 0 else samples[inside]
        nearest = np.linalg.norm(other - point, axis=1).min()
        assert abs(distance) - 1e-9 <= nearest <= abs(distance) + step


@pytest.mark.parametrize("name", SHAPES)
def test_inside_is_where_the_distance_is_negative(name: str) -> None:
    points = np.random.default_rng(3).uniform(-0.87, 0.87, (2000, 3))
    distance = SHAPES[name].sdf(points)
    assert np.array_equal(SHAPES[name].inside(points), distance < 0)
    assert 0.02 < (distance < 0).mean() < 0.5


@pytest.mark.parametrize("name", SHAPES)
def test_volumes_are_those_of_the_points_inside(name: str) -> None:
    shape, resolution = SHAPES[name], 160 if name == "torus" else 128 if name == "chair" else 110
    share = shape.inside(grid(resolution)).mean()
    cube = (1.74 * resolution / (resolution - 1)) ** 3
    assert share * cube == pytest.approx(shape.volume, rel=0.02 if name == "chair" else 0.003)


@pytest.mark.parametrize("name", SHAPES)
def test_euler_characteristics_are_those_of_the_points_inside(name: str) -> None:
    filled = SHAPES[name].inside(grid(80)).reshape(80, 80, 80)
    assert euler_by_counting(filled) == SHAPES[name].euler_characteristic


def test_no_two_distances_differ_by_more_than_their_points_do_near_the_gyroid() -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(-0.7, 0.7, (3000, 3))
    points = points[np.abs(BALL.sdf(points)) < 0.05]
    moved = points + rng.normal(0, 0.01, points.shape)
    difference = np.abs(BALL.sdf(points) - BALL.sdf(moved))
    assert (difference <= np.linalg.norm(points - moved, axis=1) + 0.005).all()


def test_the_gyroid_is_where_its_distance_says() -> None:
    """From a point, going by the distance in some direction ends on the surface, and no direction meets it before."""
    rng = np.random.default_rng(2)
    points = rng.uniform(-0.6, 0.6, (200, 3))
    distance = BALL.sdf(points)
    ways = rng.normal(size=(400, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    for share in (0.5, 0.9):
        reached = points[:, None] + share * np.abs(distance)[:, None, None] * ways
        assert ((BALL.implicit(reached.reshape(-1, 3)) < 0).reshape(200, 400) == (distance < 0)[:, None]).all()


@pytest.mark.parametrize("name", SHAPES)
def test_colours_are_colours(name: str) -> None:
    points = np.random.default_rng(4).uniform(-0.87, 0.87, (500, 3))
    colour = SHAPES[name].colour(points)
    assert colour.shape == (500, 3)
    assert colour.min() >= 0
    assert colour.max() <= 1
    assert len(np.unique(colour, axis=0)) > 1
