"""The oracles: each passes what is right and catches what is planted."""

from __future__ import annotations

import itertools
import zlib
from collections import Counter
from pathlib import Path

import pytest

REASON = "the oracles are made with what a suite requires"
np = pytest.importorskip("numpy", reason=REASON)
pytest.importorskip("scipy", reason=REASON)

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cudawheel.verify.oracles.crossings import find_crossings, match
from cudawheel.verify.oracles.fields import Array, blurred_noise, grid_of, gyroid, keep_away, pad, sphere, torus
from cudawheel.verify.oracles.mesh import (
    area,
    canonical_triangles,
    edges_of,
    euler,
    euler_of_solid,
    inside_of,
    largest_part,
    open_edges,
    signed_volume,
)
from cudawheel.verify.oracles.neighbours import Faults, judge, squared_distances
from cudawheel.verify.oracles.picture import RED, draw_mesh, draw_squares, write_png
from cudawheel.verify.oracles.trilinear import interpolate

SHAPES = st.tuples(*[st.integers(2, 5)] * 3)
VALUES = st.floats(-4, 4, width=32)
VOLUMES = SHAPES.flatmap(lambda shape: arrays.arrays(np.float32, shape, elements=VALUES))

# A tetrahedron whose faces are counter-clockwise seen from outside.
CORNERS = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def crossings_by_hand(volume: Array, level: float) -> list[tuple[float, float, float]]:
    """All crossings, (x, y, z), one edge of the grid after the other."""
    found = []
    for at in np.ndindex(volume.shape):
        for axis in range(3):
            to = tuple(i + (axis == j) for j, i in enumerate(at))
            if to[axis] == volume.shape[axis]:
                continue
            low, high = float(volume[at]), float(volume[to])
            if (low < level) != (high < level):
                place = list(map(float, at))
                place[axis] += (level - low) / (high - low)
                found.append((place[2], place[1], place[0]))
    return sorted(found)


@given(VOLUMES, VALUES)
def test_crossings_are_those_of_each_edge_of_the_grid(volume: Array, level: float) -> None:
    assert sorted(map(tuple, find_crossings(volume, level).points)) == crossings_by_hand(volume, level)


@given(VOLUMES)
def test_the_inside_end_of_a_crossing_is_inside(volume: Array) -> None:
    ends = find_crossings(volume, 0.5).ends.astype(int)
    assert all(volume[z, y, x] >= 0.5 for x, y, z in ends)


@given(VOLUMES, st.floats(-4, 4, width=32), st.floats(0.01, 1))
def test_values_are_kept_away_from_the_level_and_on_their_side(volume: Array, level: float, margin: float) -> None:
    kept = keep_away(volume, level, margin)
    assert kept.dtype == np.float32
    assert ((kept >= level) == (volume >= level)).all()
    assert (np.abs(kept - level) >= margin * 0.999).all()
    near = np.abs(volume.astype(np.float64) - level) < margin
    assert (kept[~near] == volume[~near]).all()


@pytest.fixture(scope="module")
def noise() -> Array:
    return keep_away(blurred_noise((6, 7, 8), 3), 0.0)


def test_vertices_on_all_crossings_match_in_any_order_and_number(noise: Array) -> None:
    crossings = find_crossings(noise, 0.0)
    order = np.random.default_rng(0).integers(0, len(crossings), 4 * len(crossings))
    order = np.concatenate([order, np.arange(len(crossings))])
    found = match(crossings.points[order] + 2e-5, crossings)
    assert (found.of == order).all()
    assert (found.strays, found.missed) == (0, 0)
    assert 0 < found.farthest < 4e-5


def test_a_vertex_that_is_missing_or_off_is_counted(noise: Array) -> None:
    crossings = find_crossings(noise, 0.0)
    assert match(crossings.points[1:], crossings).missed == 1
    moved = crossings.points.copy()
    moved[5, 1] += 2e-4
    found = match(moved, crossings)
    assert (found.strays, found.missed) == (1, 1)
    assert found.farthest == pytest.approx(2e-4)
    none = match(np.empty((0, 3)), crossings)
    assert (none.strays, none.missed) == (0, len(crossings))
    assert match(crossings.points, find_crossings(noise, 99.0)).strays == len(crossings)


def test_a_crossing_next_to_a_voxel_at_the_level_may_be_at_that_voxel_and_no_other_may() -> None:
    row = np.array([-1, 5e-5, 5e-5, -1], np.float32)
    crossings = find_crossings(row[None, None], 0.0)
    assert match(np.array([[1.0, 0, 0], [2, 0, 0]]), crossings).strays == 0
    far = find_crossings(np.array([-1, 5e-3, 5e-3, -1], np.float32)[None, None], 0.0)
    assert match(np.array([[1.0, 0, 0], [2, 0, 0]]), far).strays == 2


def test_voxels_that_are_not_finite_cross_nothing() -> None:
    row = np.array([-1, 1, np.nan, -1, np.inf, -1, 1], np.float32)
    assert find_crossings(row[None, None], 0.0).points[:, 0].tolist() == [0.5, 5.5]


@given(
    st.tuples(*[st.integers(1, 6)] * 3),
    arrays.arrays(np.float64, (8, 3), elements=st.floats(-3, 9)),
    arrays.arrays(np.float64, 4, elements=st.floats(-2, 2)),
)
def test_linear_functions_are_interpolated_exactly_and_held_at_the_border(
    shape: tuple[int, int, int], points: Array, slopes: Array
) -> None:
    z, y, x = np.meshgrid(*map(np.arange, shape), indexing="ij")
    volume = slopes[0] + slopes[1] * x + slopes[2] * y + slopes[3] * z
    held = np.clip(points, 0, np.array(shape[::-1]) - 1)
    assert interpolate(volume[None], points)[:, 0] == pytest.approx(slopes[0] + held @ slopes[1:], abs=1e-9)


def test_between_eight_voxels_the_middle_is_their_mean() -> None:
    volume = np.random.default_rng(0).random((2, 2, 2, 2))
    middle = interpolate(volume, np.full((1, 3), 0.5))
    assert middle[0] == pytest.approx(volume.mean((1, 2, 3)))


def test_measures_of_a_tetrahedron() -> None:
    assert signed_volume(CORNERS, FACES) == pytest.approx(1 / 6)
    assert signed_volume(CORNERS, FACES[:, ::-1]) == pytest.approx(-1 / 6)
    assert area(CORNERS, FACES) == pytest.approx(1.5 + 3**0.5 / 2)
    assert euler(FACES) == 2
    assert (edges_of(FACES).uses == 2).all()
    assert not edges_of(FACES).balance.any()


@given(arrays.arrays(np.int64, st.tuples(st.integers(0, 12), st.just(3)), elements=st.integers(0, 6)))
def test_edges_are_counted_by_hand(faces: Array) -> None:
    uses: Counter[tuple[int, int]] = Counter()
    upwards: Counter[tuple[int, int]] = Counter()
    for a, b, c in faces.tolist():
        for start, stop in ((a, b), (b, c), (c, a)):
            if start != stop:
                uses[min(start, stop), max(start, stop)] += 1
                upwards[min(start, stop), max(start, stop)] += 1 if start < stop else -1
    edges = edges_of(faces)
    ends = [tuple(pair) for pair in edges.ends.tolist()]
    assert ends == sorted(uses)
    assert dict(zip(ends, edges.uses.tolist(), strict=True)) == uses
    assert dict(zip(ends, edges.balance.tolist(), strict=True)) == dict(upwards)


def test_edges_of_many_vertices_are_told_apart() -> None:
    far = 2_000_000_000
    edges = edges_of(np.array([[0, 1, far], [far, 1, far - 1]], np.int32))
    assert edges.ends.tolist() == [[0, 1], [0, far], [1, far - 1], [1, far], [far - 1, far]]
    assert edges.balance.tolist() == [1, -1, 1, 0, 1]


def test_a_missing_or_turned_face_opens_edges_inside_a_volume_and_not_at_its_border() -> None:
    inner = (9, 9, 9)
    assert len(open_edges(CORNERS + 3, FACES, inner)) == 0
    assert len(open_edges(CORNERS + 3, FACES[:3], inner)) == 3
    turned = FACES.copy()
    turned[3] = turned[3, ::-1]
    assert len(open_edges(CORNERS + 3, turned, inner)) == 3
    # Without the face in the plane z = 0, its edges lie in the border.
    assert len(open_edges(CORNERS + np.array([3, 3, 0]), FACES[1:], inner)) == 0
    assert len(open_edges(CORNERS + np.array([3, 3, 1]), FACES[1:], inner)) == 3


def test_degenerate_faces_change_no_characteristic() -> None:
    assert euler(np.concatenate([FACES, [[0, 0, 1], [2, 2, 2]]])) == 2
    assert euler(FACES[:3]) == 1


def test_the_largest_part_is_the_one_with_most_faces() -> None:
    assert (largest_part(np.concatenate([FACES[:3] + 10, FACES])) == FACES).all()
    assert len(largest_part(FACES[:0])) == 0


@pytest.mark.parametrize(("shape", "expected"), [(sphere(), 2), (torus(), 0)])
def test_the_characteristic_of_a_solid_is_that_of_its_surface(shape: object, expected: int) -> None:
    inside = shape.sample(grid_of(24)) >= 0  # type: ignore[attr-defined]
    assert euler_of_solid(inside) == expected
    assert euler_of_solid(np.concatenate([inside, inside])) == 2 * expected


@given(SHAPES.flatmap(lambda shape: arrays.arrays(bool, shape)))
def test_a_surface_says_what_it_encloses(solid: Array) -> None:
    volume = pad(np.where(solid, 1, -1).astype(np.float32), -1)
    assert (inside_of(find_crossings(volume, 0.0).points, volume.shape) == (volume > 0)).all()


def test_triangles_are_the_same_in_any_order_but_not_turned_over() -> None:
    turned = np.roll(FACES[::-1], 1, axis=1)
    assert (canonical_triangles(turned) == canonical_triangles(FACES)).all()
    assert (canonical_triangles(FACES[:, ::-1]) != canonical_triangles(FACES)).any()


def test_the_distance_from_a_gyroid_is_that_of_its_nearest_point() -> None:
    shape, random = gyroid(), np.random.default_rng(0)
    starts = random.uniform(-1, 1, (200, 3))
    # Newton steps lead onto the surface; from there the distance along the normal is known.
    slope = np.stack([shape.field(starts + step) - shape.field(starts - step) for step in np.eye(3) * 1e-5], -1) / 2e-5
    near = np.abs(shape.field(starts)) < 0.02
    expected = np.abs(shape.field(starts)) / np.linalg.norm(slope, axis=1)
    assert near.sum() > 5
    assert shape.distance(starts)[near] == pytest.approx(expected[near], rel=0.1)


@pytest.mark.parametrize(("k", "queries", "points"), [(1, 5, 9), (3, 1, 9), (9, 6, 4), (1, 0, 3), (2, 3, 0)])
def test_neighbours_are_those_of_a_search_by_hand(k: int, queries: int, points: int) -> None:
    random = np.random.default_rng(k)
    one, other = random.random((queries, 3)), random.random((points, 3))
    by_hand = [sorted(sum((a - b) ** 2) for b in other)[:k] for a in one]
    found = squared_distances(one, other, k)
    assert found.shape == (queries, min(k, points))
    assert found.ravel().tolist() == pytest.approx(list(itertools.chain(*by_hand)))


@pytest.fixture
def neighbours() -> tuple[Array, Array, Array, Array]:
    random = np.random.default_rng(1)
    one, other = random.random((6, 3)), random.random((9, 3))
    apart = np.square(one[:, None] - other[None]).sum(-1)
    indices = apart.argsort(1)[:, :3]
    return one, other, np.take_along_axis(apart, indices, 1), indices


def test_right_neighbours_have_no_fault(neighbours: tuple[Array, Array, Array, Array]) -> None:
    faults = judge(*neighbours)
    assert max(faults.distance, faults.index) < 1e-12
    assert (faults.indices, faults.padding) == (0, 0)


def test_each_planted_fault_of_neighbours_is_seen(neighbours: tuple[Array, Array, Array, Array]) -> None:
    one, other, distances, indices = neighbours
    assert judge(one, other, np.sqrt(distances), indices).distance > 0.01
    assert judge(one, other, distances[:, ::-1], indices[:, ::-1]).distance > 0.01
    assert judge(one, other, distances, (indices + 1) % 9).index > 0.01
    assert judge(one, other, distances, indices + 9).index == np.inf
    assert judge(one, other, distances * np.nan, indices).distance == np.inf
    twice = indices.copy()
    twice[2, 1] = twice[2, 0]
    assert judge(one, other, distances, twice).indices == 1
    assert judge(one[:5], other, distances, indices).padding >= 3, "the last query does not exist"
    assert judge(one, other[:2], distances, indices).padding >= 6, "there is no third neighbour"


def test_neighbours_at_one_distance_may_change_places() -> None:
    one, other = np.zeros((1, 3)), np.eye(3)
    for order in itertools.permutations(range(3)):
        assert judge(one, other, np.ones((1, 3)), np.array([order])) == Faults(
            distance=0.0, index=0.0, indices=0, padding=0
        )


def test_a_picture_is_a_png_with_its_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    write_png(tmp_path / "a.png", pixels)
    data = (tmp_path / "a.png").read_bytes()
    start = data.index(b"IDAT") + 4
    rows = zlib.decompress(data[start : start + int.from_bytes(data[start - 8 : start - 4], "big")])
    assert np.frombuffer(rows, np.uint8).reshape(5, 22)[:, 1:].reshape(5, 7, 3).tolist() == pixels.tolist()


def test_a_wrong_case_has_a_square_of_another_colour() -> None:
    right = np.ones(256, bool)
    right[17] = False
    changed = (draw_squares(right) != draw_squares(np.ones(256, bool))).any(2)
    rows, columns = np.nonzero(changed)
    assert (rows.min() // 18, columns.min() // 18) == (1, 1)
    assert changed.sum() == 16 * 16


def test_a_drawn_mesh_covers_its_outline_and_shows_its_holes() -> None:
    drawn = draw_mesh(CORNERS, FACES)
    covered = (drawn != 255).any(2)
    assert 0.2 < covered.mean() < 0.8
    middle = covered[covered.any(1)]
    assert all(row[first : len(row) - last].mean() > 0.98 for row, first, last in _spans(middle))
    holes = draw_mesh(CORNERS, FACES[:3], np.array([[1, 2], [2, 3], [1, 3]]))
    assert (holes == RED).all(2).sum() > 50
    assert (draw_mesh(CORNERS, FACES[:0]) == 255).all()


def _spans(rows: Array) -> list[tuple[Array, int, int]]:
    return [(row, int(row.argmax()), int(row[::-1].argmax())) for row in rows]
