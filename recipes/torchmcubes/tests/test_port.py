"""What the port promises, checked against its definition rather than against another implementation of it.

    pytest tests                 everything; tests of a GPU are skipped where there is none
    pytest tests -m "not gpu"    the CPU path only

The package has to be installed. Only numpy, torch and pytest are needed.
"""

import importlib.util
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchmcubes
from torchmcubes import grid_interp, marching_cubes

ROOT = Path(__file__).resolve().parent.parent
NO_GPU = not torch.cuda.is_available()
GPU = [pytest.mark.gpu, pytest.mark.skipif(NO_GPU, reason="no CUDA device")]


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=GPU)])
def device(request):
    return request.param


def gpu(function):
    for mark in GPU:
        function = mark(function)
    return function


# Fields and measures


def sphere(n, radius=0.7):
    """Radius minus distance on a grid of n^3 over [-1, 1]^3, in voxels: positive inside."""
    axis = torch.linspace(-1, 1, n, dtype=torch.float64)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    return ((radius - (x * x + y * y + z * z).sqrt()) * (n - 1) / 2).float()


def noise(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def extract(vol, thresh, device="cpu"):
    """The mesh as float64 and int64 arrays, after the checks that hold for every mesh."""
    verts, faces = marching_cubes(vol.to(device), thresh)
    assert verts.device.type == faces.device.type == device
    assert verts.dtype == torch.float32 and faces.dtype == torch.int32
    assert verts.dim() == faces.dim() == 2 and verts.shape[1] == faces.shape[1] == 3
    verts, faces = verts.cpu().numpy().astype(np.float64), faces.cpu().numpy().astype(np.int64)
    assert np.isfinite(verts).all()
    assert np.array_equal(np.unique(faces), np.arange(len(verts))), "a vertex is unused, or an index out of range"
    assert (verts >= 0).all() and (verts <= np.array(vol.shape[::-1]) - 1).all()
    return verts, faces


def crossings(vol, thresh):
    """The points where grid edges between finite values cross the threshold: (x, y, z) in voxels, float64."""
    values = vol.numpy().astype(np.float64)
    level = np.float64(np.float32(thresh))
    found = []
    for axis in range(3):
        low = np.take(values, range(values.shape[axis] - 1), axis)
        high = np.take(values, range(1, values.shape[axis]), axis)
        cut = ((low < level) != (high < level)) & np.isfinite(low) & np.isfinite(high)
        where = np.argwhere(cut).astype(np.float64)
        where[:, axis] += (level - low[cut]) / (high[cut] - low[cut])
        found.append(where[:, ::-1])
    return np.concatenate(found)


def sort_rows(rows):
    return rows[np.lexsort(rows.T)]


def assert_vertices_are_the_crossings(verts, vol, thresh):
    expected = crossings(vol, thresh)
    assert len(verts) == len(expected)
    # A crossing is on a grid line, so two of its coordinates are whole numbers; rounding to float32 keeps the order.
    expected = expected.astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(sort_rows(verts), sort_rows(expected), rtol=0, atol=1e-4)


def edge_balance(faces):
    """Each undirected edge, how many faces use it, and whether they cancel out in direction."""
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    sign = np.where(directed[:, 0] < directed[:, 1], 1, -1)
    edges, which = np.unique(np.sort(directed, 1), axis=0, return_inverse=True)
    which = which.reshape(-1)
    return edges, np.bincount(which), np.bincount(which, weights=sign)


def on_common_border(verts, edges, shape):
    """Whether both ends of each edge lie in one and the same face of the volume."""
    a, b = verts[edges[:, 0]], verts[edges[:, 1]]
    last = np.array(shape[::-1]) - 1
    return (((a == 0) & (b == 0)) | ((a == last) & (b == last))).any(1)


def assert_closed(verts, faces, shape):
    """Every edge has two faces that run along it in opposite directions, or one at the border of the volume."""
    edges, uses, balance = edge_balance(faces)
    assert (uses <= 2).all()
    assert (balance[uses == 2] == 0).all()
    assert on_common_border(verts, edges[uses == 1], shape).all()


def signed_volume(verts, faces):
    a, b, c = verts[faces].transpose(1, 0, 2)
    return np.einsum("ij,ij->", a, np.cross(b, c)) / 6


def area(verts, faces):
    a, b, c = verts[faces].transpose(1, 0, 2)
    return np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2


def euler(verts, faces):
    return len(verts) - len(edge_balance(faces)[0]) + len(faces)


# The case table


def load_make_tables():
    spec = importlib.util.spec_from_file_location("make_tables", ROOT / "tools" / "make_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_header_is_current():
    subprocess.run([sys.executable, str(ROOT / "tools" / "make_tables.py"), "--check"], check=True)


def test_neighbours_agree_on_every_shared_face():
    """The surface of a cell, cut by one of its faces, is what the neighbour sees there, run the other way."""
    tables = load_make_tables()
    on_face = {}
    for case in range(256):
        used = [(t[i], t[(i + 1) % 3]) for t in tables.triangles(case) for i in range(3)]
        border = {(a, b) for a, b in used if (b, a) not in used}
        for number in range(6):
            on_face[case, number] = {(a, b) for a, b in border if number in tables.faces_of(a) & tables.faces_of(b)}
    for low, high in itertools.product(range(256), repeat=2):
        for axis in range(3):
            mine = [c for c in range(8) if c >> axis & 1]
            if any((low >> c & 1) != (high >> (c ^ 1 << axis) & 1) for c in mine):
                continue

            across = {  # each edge of the shared face, as the neighbour numbers it
                tables.edge_between(a, b): tables.edge_between(a ^ 1 << axis, b ^ 1 << axis)
                for a, b in itertools.combinations(mine, 2)
                if (a ^ b).bit_count() == 1
            }
            seen = {(across[b], across[a]) for a, b in on_face[low, 2 * axis + 1]}
            assert seen == on_face[high, 2 * axis]


@pytest.mark.parametrize("case", range(256))
def test_case(case, device):
    corners = torch.tensor([1.0 + i / 8 if case >> i & 1 else -1.0 - i / 8 for i in range(8)])
    vol = corners.reshape(2, 2, 2)
    verts, faces = extract(vol, 0.0, device)
    assert_vertices_are_the_crossings(verts, vol, 0.0)
    assert_closed(verts, faces, vol.shape)
    assert len(faces) == len(load_make_tables().triangles(case))


# Shapes and orientation


def test_sphere(device):
    n, radius = 64, 0.7 * 63 / 2
    vol = sphere(n)
    verts, faces = extract(vol, 0.0, device)
    assert_vertices_are_the_crossings(verts, vol, 0.0)
    assert_closed(verts, faces, vol.shape)
    assert euler(verts, faces) == 2
    assert np.abs(np.linalg.norm(verts - (n - 1) / 2, axis=1) - radius).max() < 0.02
    assert signed_volume(verts, faces) == pytest.approx(-4 / 3 * np.pi * radius**3, rel=5e-3)
    assert signed_volume(verts[:, [2, 1, 0]], faces) == pytest.approx(4 / 3 * np.pi * radius**3, rel=5e-3)
    assert area(verts, faces) == pytest.approx(4 * np.pi * radius**2, rel=2e-3)


def test_torus(device):
    n = 65
    axis = torch.linspace(-1, 1, n, dtype=torch.float64)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    vol = ((0.25 - (((x * x + y * y).sqrt() - 0.6) ** 2 + z * z).sqrt()) * (n - 1) / 2).float()
    verts, faces = extract(vol, 0.0, device)
    assert_closed(verts, faces, vol.shape)
    assert euler(verts, faces) == 0


def test_axes(device):
    """A plane across each axis lies where it should, and its normal points to the higher values."""
    for axis, component in ((0, 2), (1, 1), (2, 0)):
        shape = [4, 5, 6]
        ramp = torch.arange(shape[axis], dtype=torch.float32)
        vol = ramp.reshape([-1 if i == axis else 1 for i in range(3)]).expand(shape).contiguous()
        verts, faces = extract(vol, 1.25, device)
        assert (verts[:, component] == 1.25).all()
        a, b, c = verts[faces].transpose(1, 0, 2)
        normal = np.cross(b - a, c - a)
        assert (normal[:, component] > 0).all() and np.count_nonzero(normal) == len(faces)


@pytest.mark.parametrize("shape", [(2, 2, 2), (2, 3, 300), (17, 2, 31), (40, 41, 43), (5, 600, 7)])
def test_noise_is_closed(shape, device):
    vol = noise(shape)
    verts, faces = extract(vol, 0.1, device)
    assert_vertices_are_the_crossings(verts, vol, 0.1)
    assert_closed(verts, faces, shape)


def test_noise_away_from_the_border_has_no_border(device):
    vol = torch.full((24, 25, 26), -1.0)
    vol[1:-1, 1:-1, 1:-1] = noise((22, 23, 24))
    _, faces = extract(vol, 0.0, device)
    assert (edge_balance(faces)[1] == 2).all()


def test_values_equal_to_the_threshold_are_inside(device):
    vol = torch.zeros(3, 3, 3)
    vol[1, 1, 1] = 1.0
    verts, faces = extract(vol, 1.0, device)
    assert len(verts) == 6 and len(faces) == 8 and (verts == 1).all()  # an octahedron shrunk to its centre
    verts, faces = extract(vol, 0.0, device)
    assert len(verts) == len(faces) == 0


def test_extreme_values_do_not_overflow(device):
    vol = torch.full((3, 3, 3), -3e38)
    vol[1, 1, 1] = 3e38
    verts, faces = extract(vol, 0.0, device)
    assert np.abs(verts - 1).max() == 0.5 and len(faces) == 8


def test_repeats_exactly(device):
    vol = noise((33, 34, 35)).to(device)
    first, second = marching_cubes(vol, 0.0), marching_cubes(vol, 0.0)
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


# Nothing to extract, and what must be left out


@pytest.mark.parametrize("thresh", [2.0, -2.0, float("inf"), float("-inf")])
def test_empty_surface(thresh, device):
    verts, faces = extract(noise((9, 9, 9)).clamp(-1, 1), thresh, device)
    assert verts.shape == (0, 3) and faces.shape == (0, 3)


@pytest.mark.parametrize("shape", [(1, 5, 5), (5, 1, 5), (5, 5, 1), (1, 1, 1), (0, 5, 5), (5, 5, 0)])
def test_without_cells_there_is_no_surface(shape, device):
    verts, faces = extract(noise(shape), 0.0, device)
    assert verts.shape == (0, 3) and faces.shape == (0, 3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("density", [0.001, 0.1, 0.7])
def test_cells_with_a_corner_that_is_not_finite_are_left_out(bad, density, device):
    clean = noise((20, 21, 22))
    vol = clean.clone()
    spoilt = torch.rand(vol.shape, generator=torch.Generator().manual_seed(1)) < density
    vol[spoilt] = bad
    verts, faces = extract(vol, 0.0, device)  # also checks that no vertex is left unused

    def triangles(verts, faces):
        return {tuple(np.roll(t, -np.lexsort(t.T)[0], 0).ravel()) for t in verts[faces]}

    # What is left is exactly the clean surface in the whole cells: compare cell by cell through the triangles' centres.
    whole = ~torch.nn.functional.max_pool3d(spoilt[None].float(), 2, 1)[0].bool().numpy()
    clean_verts, clean_faces = extract(clean, 0.0, device)
    cell = np.floor(clean_verts[clean_faces].mean(1)).astype(int)
    kept = whole[cell[:, 2], cell[:, 1], cell[:, 0]]
    assert triangles(verts, faces) == triangles(clean_verts, clean_faces[kept])


def test_all_nan(device):
    verts, faces = extract(torch.full((5, 5, 5), float("nan")), 0.0, device)
    assert len(verts) == len(faces) == 0


# Arguments


def test_not_contiguous(device):
    vol = noise((12, 13, 14))
    expected = extract(vol, 0.0, device)
    for view in (
        vol.transpose(0, 2).contiguous().transpose(0, 2),
        vol.repeat_interleave(2, 1)[:, ::2],
        torch.stack((vol, vol), -1)[..., 0],
    ):
        assert not view.is_contiguous()
        for a, b in zip(expected, extract(view, 0.0, device), strict=True):
            assert np.array_equal(a, b)


def test_offset_view(device):
    vol = noise((12, 13, 14))
    for a, b in zip(extract(vol[3:].clone(), 0.0, device), extract(vol[3:], 0.0, device), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int32, torch.bool])
def test_dtype_is_refused(dtype, device):
    with pytest.raises(TypeError, match="vol must be float32, not " + str(dtype).split(".")[1]):
        marching_cubes(torch.zeros((4, 4, 4), dtype=dtype, device=device), 0.0)
    with pytest.raises(TypeError, match="vol must be float32"):
        grid_interp(torch.zeros((1, 4, 4, 4), dtype=dtype, device=device), torch.zeros((1, 3), device=device))
    with pytest.raises(TypeError, match="points must be float32"):
        grid_interp(torch.zeros((1, 4, 4, 4), device=device), torch.zeros((1, 3), dtype=dtype, device=device))


@pytest.mark.parametrize("shape", [(), (4,), (4, 4), (1, 4, 4, 4)])
def test_shape_is_refused(shape, device):
    with pytest.raises(ValueError, match=r"vol must be of shape \(Nz, Ny, Nx\)"):
        marching_cubes(torch.zeros(shape, device=device), 0.0)


def test_other_arguments_are_refused():
    with pytest.raises(TypeError, match=r"must be a torch\.Tensor, not ndarray"):
        marching_cubes(np.zeros((4, 4, 4), np.float32), 0.0)
    with pytest.raises(ValueError, match="not a number"):
        marching_cubes(torch.zeros(4, 4, 4), float("nan"))
    with pytest.raises(ValueError, match="only cpu and cuda"):
        marching_cubes(torch.zeros((4, 4, 4), device="meta"), 0.0)
    with pytest.raises(TypeError, match="dense"):
        marching_cubes(torch.zeros(4, 4, 4).to_sparse(), 0.0)
    with pytest.raises(TypeError):
        marching_cubes(torch.zeros(4, 4, 4), None)


def test_gradients_are_not_tracked(device):
    vol = noise((8, 8, 8)).to(device).requires_grad_()
    verts, _ = marching_cubes(vol, torch.tensor(0.0))
    assert not verts.requires_grad
    assert not grid_interp(vol[None], verts).requires_grad


def test_too_many_for_int32(monkeypatch, device):
    monkeypatch.setattr(torchmcubes, "_MOST_INDICES", 100)
    with pytest.raises(RuntimeError, match="more than int32 can number"):
        marching_cubes(noise((8, 8, 8)).to(device), 0.0)


def test_bare_operators_refuse_wild_memory(device):
    vol = noise((8, 8, 8)).to(device)
    slots = torch.zeros(512, dtype=torch.int16, device=device)
    counts = torch.zeros(2, dtype=torch.int32, device=device)
    wrong = [
        (vol[:, ::2], slots, counts, "not contiguous"),
        (vol.double(), slots, counts, "dtype"),
        (vol, slots[:-1], counts, "size"),
        (vol, slots.int(), counts, "dtype"),
        (vol, slots, counts[:1], "size"),
        (vol[0], slots, counts, "3 dimensions"),
    ]
    for volume, slot, count, message in wrong:
        with pytest.raises(RuntimeError, match=message):
            torch.ops.torchmcubes._count(volume, 0.0, slot, count, count, 1)


def test_threads_do_not_change_the_result():
    vol = noise((50, 51, 52))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = marching_cubes(vol, 0.0)
        torch.set_num_threads(7)
        together = marching_cubes(vol, 0.0)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(alone[0], together[0]) and torch.equal(alone[1], together[1])


# Interpolation


def reference_interp(vol, points):
    """Trilinear interpolation in float64, each coordinate moved into its own axis first."""
    vol, points = vol.numpy().astype(np.float64), points.numpy().astype(np.float64)
    extents = np.array(vol.shape[:0:-1])
    inside = np.clip(points, 0, extents - 1)
    low = np.floor(inside).astype(int)
    t = inside - low
    result = np.zeros((len(points), len(vol)))
    for corner in itertools.product((0, 1), repeat=3):
        weight = np.where(corner, t, 1 - t).prod(1)
        x, y, z = np.minimum(low + corner, extents - 1).T
        result += weight[:, None] * vol[:, z, y, x].T
    return result


@pytest.mark.parametrize(
    "shape", [(3, 8, 8, 8), (1, 30, 4, 5), (2, 4, 30, 5), (5, 5, 4, 30), (2, 1, 1, 1), (3, 7, 1, 2)]
)
def test_interpolation(shape, device):
    generator = torch.Generator().manual_seed(3)
    vol = torch.randn(shape, generator=generator)
    extents = torch.tensor(shape[:0:-1], dtype=torch.float32)
    points = (torch.rand((4000, 3), generator=generator) * 2 - 0.5) * extents  # half of them outside on each axis
    corners = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3))) * (extents - 1)
    far = torch.tensor([[-1e30, 1e30, 0.0], [float("inf"), float("-inf"), 1.0]])
    points = torch.cat((points, corners, far))
    out = grid_interp(vol.to(device), points.to(device))
    assert out.shape == (len(points), shape[0]) and out.dtype == torch.float32 and out.device.type == device
    np.testing.assert_allclose(out.cpu().numpy(), reference_interp(vol, points), rtol=0, atol=2e-5)


def test_interpolation_at_voxels_is_exact(device):
    vol = noise((2, 5, 6, 7))
    z, y, x = torch.meshgrid(torch.arange(5), torch.arange(6), torch.arange(7), indexing="ij")
    points = torch.stack((x, y, z), -1).reshape(-1, 3).float()
    assert torch.equal(grid_interp(vol.to(device), points.to(device)).cpu(), vol.reshape(2, -1).T)


def test_interpolation_of_no_points_and_no_channels(device):
    assert grid_interp(torch.zeros((3, 4, 4, 4), device=device), torch.zeros((0, 3), device=device)).shape == (0, 3)
    assert grid_interp(torch.zeros((0, 4, 4, 4), device=device), torch.zeros((5, 3), device=device)).shape == (5, 0)


def test_interpolation_at_nan(device):
    points = torch.tensor([[float("nan"), 1, 1], [1, float("nan"), 1], [1, 1, float("nan")], [1, 1, 1]])
    out = grid_interp(torch.ones((1, 4, 4, 4), device=device), points.to(device)).cpu()
    assert out.isnan().reshape(-1).tolist() == [True, True, True, False]


def test_interpolation_of_views(device):
    vol, points = noise((3, 4, 5, 6)).to(device), (noise((50, 3), 1) * 4).to(device)
    expected = grid_interp(vol, points)
    view = vol.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
    assert not view.is_contiguous()
    assert torch.equal(grid_interp(view, points.T.contiguous().T), expected)


def test_interpolation_refuses(device):
    vol, points = torch.zeros((1, 4, 4, 4), device=device), torch.zeros((2, 3), device=device)
    with pytest.raises(ValueError, match="vol must be of shape"):
        grid_interp(vol[0], points)
    with pytest.raises(ValueError, match="points must be of shape"):
        grid_interp(vol, points[0])
    with pytest.raises(ValueError, match="points must be of shape"):
        grid_interp(vol, points[:, :2])
    with pytest.raises(ValueError, match="no values"):
        grid_interp(vol[:, :0], points)
    with pytest.raises(ValueError, match="device of points is meta"):
        grid_interp(vol, points.to("meta"))


# What only a GPU can show


@gpu
@pytest.mark.parametrize("shape", [(64, 64, 64), (33, 70, 129), (2, 2, 2), (3, 500, 3)])
@pytest.mark.parametrize("bad", [None, float("nan")])
def test_gpu_equals_cpu_bit_for_bit(shape, bad):
    vol = noise(shape)
    if bad is not None:
        vol[torch.rand(shape, generator=torch.Generator().manual_seed(2)) < 0.05] = bad
    cpu, cuda = marching_cubes(vol, 0.2), marching_cubes(vol.cuda(), 0.2)
    assert torch.equal(cpu[1], cuda[1].cpu())
    assert torch.equal(cpu[0], cuda[0].cpu())
    channels, points = noise((3, *shape)), cpu[0] * 1.1 - 0.5
    assert torch.equal(grid_interp(channels, points), grid_interp(channels.cuda(), points.cuda()).cpu())


@gpu
def test_gpu_makes_no_triangle_of_nothing():
    verts, faces = marching_cubes(torch.zeros((64, 64, 64), device="cuda"), 1.0)
    assert verts.shape == (0, 3) and faces.shape == (0, 3)


@gpu
def test_gpu_works_on_the_current_stream():
    """Values that arrive late on a side stream are waited for there, and the default stream is not."""
    vol = sphere(96).cuda()
    expected = marching_cubes(vol, 0.0)
    colours = vol[None].clone()
    expected_colours = grid_interp(colours, expected[0])
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    late, late_colours = torch.zeros_like(vol), torch.zeros_like(colours)
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(500_000_000)
        late.copy_(vol)
        late_colours.copy_(colours)
        verts, faces = marching_cubes(late, 0.0)
        torch.cuda._sleep(100_000_000)
        late_colours.mul_(2)
        sampled = grid_interp(late_colours, verts)
    stream.synchronize()
    assert torch.equal(verts, expected[0]) and torch.equal(faces, expected[1])
    assert torch.equal(sampled, expected_colours * 2)


@gpu
def test_gpu_does_not_wait_for_other_streams():
    vol = sphere(64).cuda()
    points = torch.zeros((10, 3), device="cuda")
    busy, own = torch.cuda.Stream(), torch.cuda.Stream()
    done = torch.cuda.Event()
    torch.cuda.synchronize()
    for rehearsal in (True, False):  # so that in the second round everything is loaded and allocated
        with torch.cuda.stream(busy):
            torch.cuda._sleep(1000 if rehearsal else 4_000_000_000)
            done.record()
        with torch.cuda.stream(own):
            marching_cubes(vol, 0.0)
            grid_interp(vol[None], points)
            own.synchronize()
        assert rehearsal or not done.query(), "the call waited for a stream that is not its own"
        torch.cuda.synchronize()


@gpu
def test_gpu_restores_the_current_device():
    for index in range(torch.cuda.device_count()):
        vol = sphere(16).to(f"cuda:{index}")
        before = torch.cuda.current_device()
        verts, faces = marching_cubes(vol, 0.0)
        sampled = grid_interp(vol[None], verts)
        assert torch.cuda.current_device() == before
        assert verts.device == faces.device == sampled.device == vol.device


@gpu
@pytest.mark.parametrize("field", ["sphere", "noise"])
def test_gpu_memory(field):
    n = 256
    vol = (sphere(n) if field == "sphere" else noise((n, n, n))).cuda()
    marching_cubes(vol, 0.0)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    verts, faces = marching_cubes(vol, 0.0)
    outputs = 12 * (len(verts) + len(faces))
    extra = torch.cuda.max_memory_allocated() - before - outputs
    assert extra / vol.numel() < 3, "bytes a cell besides the outputs"
    # Torch's allocator rounds each of the two outputs up, by less than 2 MiB; the scratch memory would be 35 MiB.
    assert torch.cuda.memory_allocated() - before < outputs + 2 * (2 << 20), "scratch memory is given back"


@gpu
@pytest.mark.parametrize("slices", [2**11 + 3, 2**12 + 3])
def test_gpu_more_points_than_32_bits_can_number(slices):
    """A blob behind point 2^31 and one behind 2^32, where the arithmetic must have 64 bits."""
    shape = (slices, 2**10, 2**10)
    if torch.cuda.mem_get_info()[0] < 7 * slices * 2**20:
        pytest.skip("needs more free GPU memory")
    vol = torch.full(shape, -1.0, device="cuda")
    last = slices - 2
    vol[last, 500, 600] = vol[3, 4, 5] = 1.0
    verts, faces = marching_cubes(vol, 0.0)
    assert len(verts) == 12 and len(faces) == 16
    assert verts[:6].double().mean(0).tolist() == pytest.approx([5, 4, 3])
    assert verts[6:].double().mean(0).tolist() == pytest.approx([600, 500, last], abs=1e-3)
    assert faces[:8].max() == 5 and faces[8:].min() == 6
    at = torch.tensor([[600.0, 500.0, last], [600.0, 500.0, last - 0.5]], device="cuda")
    assert grid_interp(vol[None], at).reshape(-1).tolist() == [1.0, 0.0]


@gpu
def test_gpu_mixed_devices_are_refused():
    vol = torch.zeros((1, 4, 4, 4))
    with pytest.raises(ValueError, match="device of points is cuda:0, that of vol is cpu"):
        grid_interp(vol, torch.zeros((2, 3), device="cuda"))
    with pytest.raises(ValueError, match="device of points is cpu, that of vol is cuda:0"):
        grid_interp(vol.cuda(), torch.zeros((2, 3)))
    counts = torch.zeros(1, dtype=torch.int32)
    with pytest.raises(RuntimeError, match="different devices"):
        torch.ops.torchmcubes._count(vol[0].cuda(), 0.0, torch.zeros(64, dtype=torch.int16), counts, counts, 1)


@gpu
def test_gpu_running_out_of_memory_is_the_usual_error():
    vol = torch.zeros((1, 1, 1), device="cuda").expand(2**14, 2**14, 2**14)  # 16 TiB once it is contiguous
    with pytest.raises(torch.OutOfMemoryError):
        marching_cubes(vol, 0.0)
    verts, _ = marching_cubes(sphere(16).cuda(), 0.0)
    assert len(verts)
