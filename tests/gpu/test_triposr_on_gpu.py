"""TripoSR on the GPU of this machine, held against the original's arrays and against the CPU.

    pytest tests/gpu

All in float32 with TF32 off, at the tolerances that hold on the CPU.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="needs the extra triposr")

import numpy as np
from torch import Tensor
from triposr_parity import STAGES, Stage, deviations, images, reference, tiny_network

from cudawheel.errors import DeviceError, DeviceMemoryError
from cudawheel.triposr.config import DecoderConfig
from cudawheel.triposr.decoder import Decoder
from cudawheel.triposr.device import find_device
from cudawheel.triposr.field import TriplaneField
from cudawheel.triposr.grid import density_on_grid, grid_points, raw_density_on_grid
from cudawheel.triposr.mesh import extract_mesh
from cudawheel.triposr.network import TripoSR
from cudawheel.triposr.precision import full_float32
from cudawheel.triposr.scene import SCENE_RADIUS, load_scene, scene_names
from cudawheel.triposr.shapes import SHAPES
from cudawheel.triposr.surface import find_marching_cubes

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no NVIDIA GPU"),
]

GPU = "cuda"


@pytest.fixture(scope="module")
def arrays() -> dict[str, Tensor]:
    return reference(device=GPU)


@pytest.fixture(scope="module")
def network() -> TripoSR:
    return tiny_network(device=GPU)


@pytest.fixture(scope="module")
def full_size_field() -> TriplaneField:
    """Random numbers, with the sizes of the published network."""
    torch.manual_seed(0)
    decoder = Decoder(DecoderConfig(in_channels=120, n_neurons=64, n_hidden_layers=9))
    decoder.requires_grad_(requires_grad=False)
    return TriplaneField(planes=torch.randn(3, 40, 64, 64).cuda(), decoder=decoder.cuda(), radius=0.87)


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Leave this process 256 MiB more of the GPU's memory than it has now."""
    torch.cuda.empty_cache()
    everything = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (256 << 20)) / everything)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_gives_on_the_gpu_what_the_original_gives(
    stage: Stage, network: TripoSR, arrays: dict[str, Tensor]
) -> None:
    assert stage.deviation(network, arrays) <= 1


def test_every_stage_has_run_on_the_gpu(network: TripoSR, arrays: dict[str, Tensor]) -> None:
    # The picture is made ready on the CPU; it is moved before the network sees it.
    with torch.no_grad():
        devices = {stage.name: stage.computed(network, arrays).device.type for stage in STAGES}
    assert devices == {stage.name: "cuda" for stage in STAGES}


def test_a_gpu_that_rounds_to_tf32_would_be_noticed(network: TripoSR, arrays: dict[str, Tensor], monkeypatch) -> None:
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("this GPU has no TF32")
    monkeypatch.setattr("triposr_parity.full_float32", torch.no_grad)
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "tf32"
        found = {name for name, deviation in deviations(network, arrays).items() if deviation > 1}
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision
    assert "all stages" in found


def test_in_float64_the_gpu_and_the_cpu_differ_by_rounding_alone() -> None:
    pictures = images(tiny_network(), reference()).double()
    with torch.no_grad():
        cpu = tiny_network(torch.float64)(pictures)
        gpu = tiny_network(torch.float64, device=GPU)(pictures.cuda())
    assert float((gpu.cpu() - cpu).abs().max()) < 1e-11


@pytest.mark.parametrize("chunk_size", [None, 1 << 12, 1 << 16, 1 << 20])
def test_a_grid_of_full_size_holds_on_the_gpu_what_float64_holds(
    full_size_field: TriplaneField, chunk_size: int | None
) -> None:
    with full_float32():
        raw = raw_density_on_grid(full_size_field, 96, chunk_size=chunk_size).flatten()
    some = torch.arange(0, 96**3, 97, device=GPU)
    points = grid_points(96, full_size_field.radius, like=full_size_field.planes)[some]
    exact = TriplaneField(
        planes=full_size_field.planes.double(),
        decoder=_in_float64(full_size_field.decoder),
        radius=full_size_field.radius,
    )
    assert float((raw[some].double() - exact.raw(points.double())[:, 0]).abs().max()) < 1e-5


def field_of(*, neurons: int, hidden_layers: int) -> TriplaneField:
    torch.manual_seed(hidden_layers)
    decoder = Decoder(DecoderConfig(in_channels=24, n_neurons=neurons, n_hidden_layers=hidden_layers))
    decoder.requires_grad_(requires_grad=False)
    # Keeps the size of what goes through linear maps with SiLU between them.
    for layer in decoder.linear_layers:
        torch.nn.init.normal_(layer.weight, std=1.6 * layer.in_features**-0.5)
    return TriplaneField(planes=torch.randn(3, 8, 16, 16).cuda(), decoder=decoder.cuda(), radius=0.87)


@pytest.mark.parametrize("resolution", [1, 2, 5, 33, 70])
@pytest.mark.parametrize("hidden_layers", [1, 2, 3, 9])
@pytest.mark.parametrize("chunk_size", [None, 4096])
def test_the_decoder_as_one_kernel_says_what_its_layers_say(
    resolution: int, hidden_layers: int, chunk_size: int | None
) -> None:
    field, told = field_of(neurons=64, hidden_layers=hidden_layers), list[str]()
    with full_float32():
        fused = raw_density_on_grid(field, resolution, chunk_size=chunk_size, tell=told.append)
        layered = raw_density_on_grid(field, resolution, chunk_size=chunk_size, fused=False)
    exact = replace(field, planes=field.planes.double(), decoder=copy.deepcopy(field.decoder).double())
    expected = raw_density_on_grid(exact, resolution, chunk_size=chunk_size)
    assert not told
    assert resolution < 5 or float(expected.std()) > 0.1
    # As far from float64 as float32 is, layer by layer.
    assert float((fused - expected).abs().max()) < 2 * float((layered - expected).abs().max()) + 2e-6


def test_a_decoder_of_another_width_runs_layer_by_layer_and_says_so() -> None:
    field, told = field_of(neurons=32, hidden_layers=3), list[str]()
    density = raw_density_on_grid(field, 16, tell=told.append)
    [said] = told
    assert said.startswith("The decoder runs layer by layer, which takes twice the time: the decoder has 32 neurons")
    points = grid_points(16, field.radius, like=field.planes)
    assert torch.allclose(density.flatten(), field.raw(points)[:, 0], atol=1e-5)


def test_one_kernel_takes_no_memory_for_hidden_layers(full_size_field: TriplaneField) -> None:
    raw_density_on_grid(full_size_field, 16)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    raw_density_on_grid(full_size_field, 256)
    # The grid itself, three maps of the first layer, and what makes those.
    assert torch.cuda.max_memory_allocated() - before < 4 * (256**3 + 6 * 64 * 256**2) + (8 << 20)


def _in_float64(decoder: Decoder) -> Decoder:
    twin = Decoder(DecoderConfig(in_channels=120, n_neurons=64, n_hidden_layers=9)).cuda().double()
    twin.load_state_dict(decoder.state_dict())
    return twin


def test_work_goes_to_the_current_stream(network: TripoSR, arrays: dict[str, Tensor]) -> None:
    field = network.field(arrays["scene_codes"][0])
    expected = density_on_grid(field, 32)
    planes = torch.zeros_like(field.planes)
    late = TriplaneField(planes=planes, decoder=field.decoder, radius=field.radius)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        # What is computed on the stream has to wait for what the stream did before.
        torch.cuda._sleep(50_000_000)
        planes.copy_(field.planes)
        density = density_on_grid(late, 32)
    stream.synchronize()
    assert torch.allclose(density, expected, rtol=1e-5)


@pytest.mark.usefixtures("little_memory")
def test_portions_become_smaller_where_memory_runs_out(full_size_field: TriplaneField) -> None:
    told: list[str] = []
    # The first layer of a million points alone fills 256 MiB.
    small = density_on_grid(full_size_field, 128, chunk_size=1 << 20, tell=told.append, fused=False)
    assert told
    assert all("has no memory for" in sentence for sentence in told)
    torch.cuda.set_per_process_memory_fraction(1.0)
    told.clear()
    whole = density_on_grid(full_size_field, 128, chunk_size=1 << 20, tell=told.append, fused=False)
    assert not told
    assert torch.allclose(small, whole, rtol=1e-5)


@pytest.mark.usefixtures("little_memory")
def test_a_grid_that_memory_cannot_hold_is_an_error_of_ours(full_size_field: TriplaneField) -> None:
    with pytest.raises(DeviceMemoryError, match=r"no memory for a grid of 1024\^3"):
        density_on_grid(full_size_field, 1024)
    # And what was there is still of use.
    assert density_on_grid(full_size_field, 16).shape == (16, 16, 16)


@pytest.mark.parametrize("name", scene_names())
def test_a_scene_becomes_a_mesh_near_its_shape_on_the_gpu(name: str) -> None:
    pytest.importorskip("torchmcubes", reason="no torchmcubes is installed here; build its wheel")
    resolution = 128
    with full_float32():
        field = load_scene(name, device=GPU).field
        mesh = extract_mesh(field, resolution, marching_cubes=find_marching_cubes(torch.device(GPU)))
    assert mesh.vertices.is_cuda
    assert mesh.faces.is_cuda
    assert mesh.colours.is_cuda
    voxel = 2 * SCENE_RADIUS / (resolution - 1)
    distance = np.abs(SHAPES[name].sdf(mesh.vertices.double().cpu().numpy()))
    assert distance.mean() < 0.25 * voxel


def test_the_first_gpu_is_the_default_and_another_is_an_error() -> None:
    assert find_device().type == "cuda"
    with pytest.raises(DeviceError, match="cuda:99 cannot be used"):
        find_device("cuda:99")
