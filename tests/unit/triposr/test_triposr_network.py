from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch", reason="needs the extra triposr")

from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from triposr_parity import DATA, TINY, reference, tiny_network

from cudawheel.errors import CheckpointError, DeviceMemoryError, FieldError
from cudawheel.triposr import grid
from cudawheel.triposr.attention import project
from cudawheel.triposr.config import DecoderConfig, TripoSRConfig, read_config
from cudawheel.triposr.decoder import Decoder
from cudawheel.triposr.field import TriplaneField
from cudawheel.triposr.grid import density_on_grid, grid_points, grid_ticks, raw_density_on_grid
from cudawheel.triposr.network import TripoSR
from cudawheel.triposr.precision import full_float32

PUBLISHED = {
    "cond_image_size": 512,
    "tokenizer": {"plane_size": 32, "num_channels": 1024},
    "backbone": {
        "in_channels": 1024,
        "num_attention_heads": 16,
        "attention_head_dim": 64,
        "num_layers": 16,
        "cross_attention_dim": 768,
    },
    "post_processor": {"in_channels": 1024, "out_channels": 40},
    "decoder": {"in_channels": 120, "n_neurons": 64, "n_hidden_layers": 9, "activation": "silu"},
}


def published_config() -> TripoSRConfig:
    tiny = read_config(TINY / "config.yaml", TINY / "vit_config.json").model_dump(exclude={"vit"})
    return TripoSRConfig.model_validate(tiny | PUBLISHED)


def random_field(*, features: int = 5, width: int = 16, depth: int = 3, seed: int = 0) -> TriplaneField:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        decoder = Decoder(DecoderConfig(in_channels=3 * features, n_neurons=width, n_hidden_layers=depth))
        return TriplaneField(planes=torch.randn(3, features, 9, 9), decoder=decoder, radius=0.87)


def test_parameters_of_the_published_network_have_its_names_and_shapes() -> None:
    expected = json.loads((DATA / "triposr-full-state-dict.json").read_text(encoding="utf-8"))
    with torch.device("meta"):
        network = TripoSR(published_config())
    assert {key: list(value.shape) for key, value in network.state_dict().items()} == expected
    assert sum(parameter.numel() for parameter in network.parameters()) == 419_275_628


def test_the_published_network_takes_its_shapes_through_all_stages() -> None:
    with torch.device("meta"):
        network = TripoSR(published_config())
        assert network.image_tokenizer(torch.empty(2, 3, 512, 512)).shape == (2, 1025, 768)
        assert network(torch.empty(2, 3, 512, 512)).shape == (2, 3, 40, 64, 64)


def test_several_images_are_reconstructed_as_each_alone() -> None:
    network, images = tiny_network(), reference()["image"].movedim(-1, 1)
    together = network(images)
    for i in range(2):
        assert torch.allclose(network(images[i : i + 1])[0], together[i], atol=1e-5)


def test_positions_are_used_as_they_are_where_the_grid_matches() -> None:
    embeddings = tiny_network().image_tokenizer.model.embeddings
    assert embeddings.positions(7, 7) is embeddings.position_embeddings
    assert embeddings.positions(7, 8).shape == (1, 57, 64)


def test_maps_of_one_input_are_projected_together_as_each_alone() -> None:
    maps = [torch.nn.Linear(6, outputs) for outputs in (3, 6, 2)]
    inputs = torch.randn(4, 6)
    for ours, linear in zip(project(inputs, *maps), maps, strict=True):
        assert torch.allclose(ours, linear(inputs), atol=1e-6)


def plainly(field: TriplaneField, resolution: int) -> Tensor:
    raw = field.raw(grid_points(resolution, field.radius, like=field.planes))
    return raw[:, 0].view(resolution, resolution, resolution)


@pytest.mark.parametrize("resolution", [1, 2, 7, 16, 33])
@pytest.mark.parametrize("chunk_size", [None, 1, 50, 300, 10**6])
def test_the_grid_holds_what_its_points_hold(resolution: int, chunk_size: int | None) -> None:
    field = random_field()
    quick = raw_density_on_grid(field, resolution, chunk_size=chunk_size)
    assert quick.shape == (resolution,) * 3
    assert float((quick - plainly(field, resolution)).abs().max()) < 1e-5


@given(features=st.integers(1, 6), width=st.integers(1, 9), depth=st.integers(1, 4), resolution=st.integers(1, 9))
def test_the_grid_holds_what_its_points_hold_for_decoders_of_any_shape(
    features: int, width: int, depth: int, resolution: int
) -> None:
    field = random_field(features=features, width=width, depth=depth)
    assert torch.allclose(raw_density_on_grid(field, resolution), plainly(field, resolution), atol=1e-5)


def test_points_at_the_border_see_zeros_beyond_and_the_bias_whole() -> None:
    field = random_field()
    far = torch.tensor([[9.0, 9.0, 9.0]])
    zeros = torch.zeros(1, field.planes.shape[0] * field.planes.shape[1])
    assert torch.equal(field.raw(far), field.decoder(zeros))
    # A corner of the grid lies half a cell beyond the last cell's centre and gets a part of it: no bias must be lost.
    assert torch.allclose(raw_density_on_grid(field, 2), plainly(field, 2), atol=1e-6)


@pytest.mark.parametrize("chunk_size", [1, 7, 100, 1000])
def test_portions_change_nothing(chunk_size: int) -> None:
    field = random_field()
    points = torch.rand(100, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert torch.allclose(field.raw(points, chunk_size=chunk_size), field.raw(points), atol=1e-6)


def test_no_points_are_no_error() -> None:
    assert random_field().raw(torch.empty(0, 3)).shape == (0, 4)


def test_a_grid_reaches_from_end_to_end() -> None:
    ticks = grid_ticks(5, 0.87, like=torch.empty(0))
    assert torch.allclose(ticks, torch.tensor([-0.87, -0.435, 0, 0.435, 0.87]), atol=1e-7)
    points = grid_points(2, 1.0, like=torch.empty(0))
    assert points[[0, 1, 2, 4]].tolist() == [[-1, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]]


def test_density_and_colour_are_activated() -> None:
    field = random_field()
    raw = torch.tensor([[1.0, 0.0, 100.0, -100.0]])
    assert field.density(raw).tolist() == [1.0]
    assert field.colour(raw).tolist() == [[0.5, 1.0, pytest.approx(0, abs=1e-30)]]


def test_progress_is_told_to_its_end() -> None:
    told: list[tuple[int, int]] = []
    raw_density_on_grid(random_field(), 6, chunk_size=36, progress=lambda *step: told.append(step))
    assert told == [(36 * i, 216) for i in range(1, 7)]


def no_memory_for_more_than(points: int, monkeypatch) -> None:
    """Let the decoder's hidden layers run out of a GPU's memory for more points than these at a time."""
    linear = functional.linear

    def narrow(inputs: Tensor, *parameters: Tensor) -> Tensor:
        if inputs.shape[:-1].numel() > points:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 4.00 GiB.\nmore")
        return linear(inputs, *parameters)

    monkeypatch.setattr(functional, "linear", narrow)


def test_a_grid_goes_on_in_smaller_portions_where_memory_runs_out(monkeypatch) -> None:
    field = random_field()
    expected = density_on_grid(field, 32)
    no_memory_for_more_than(9000, monkeypatch)
    told: list[str] = []
    assert torch.allclose(density_on_grid(field, 32, chunk_size=32**3, tell=told.append), expected, rtol=1e-5)
    assert [sentence.rpartition(" ")[2] for sentence in told] == ["16384", "8192"]


def test_points_go_on_in_smaller_portions_where_memory_runs_out(monkeypatch) -> None:
    field = random_field()
    points = torch.rand(20_000, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1
    expected = field.raw(points)
    no_memory_for_more_than(7000, monkeypatch)
    told: list[str] = []
    assert torch.allclose(field.raw(points, chunk_size=20_000, tell=told.append), expected, atol=1e-6)
    assert [sentence.rpartition(" ")[2] for sentence in told] == ["10000", "5000"]


def test_a_grid_that_memory_cannot_hold_is_an_error(monkeypatch) -> None:
    def fail(*_args: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 64.00 GiB.\nmore")

    monkeypatch.setattr(grid, "sample_planes_on_grid", fail)
    with pytest.raises(DeviceMemoryError, match=r"no memory for a grid of 1024\^3") as caught:
        density_on_grid(random_field(), 1024)
    assert caught.value.why == "CUDA out of memory. Tried to allocate 64.00 GiB."
    assert "lower resolution" in caught.value.remedy


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e4])
def test_a_density_that_is_not_finite_is_an_error(bad: float) -> None:
    field = random_field()
    with torch.no_grad():
        field.decoder.linear_layers[-1].bias[0] = bad
    with pytest.raises(FieldError, match="not finite at 216 of 216"):
        density_on_grid(field, 6)


def test_large_finite_densities_are_let_through() -> None:
    field = random_field()
    with torch.no_grad():
        field.decoder.linear_layers[-1].bias[0] = 88.0
        field.decoder.linear_layers[-1].weight.zero_()
    assert torch.isfinite(density_on_grid(field, 8)).all()


def test_fields_can_be_fitted() -> None:
    field = random_field()
    planes = field.planes.requires_grad_()
    field.decoder(planes.flatten(0, 1)[:, 0].mT)[:, 0].sum().backward()
    assert planes.grad is not None


def test_tf32_is_off_within_and_as_before_afterwards() -> None:
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before = [backend.fp32_precision for backend in backends]

    def fail() -> None:
        with full_float32():
            assert [backend.fp32_precision for backend in backends] == ["ieee", "ieee"]
            raise RuntimeError("inner")

    with pytest.raises(RuntimeError, match="inner"):
        fail()
    assert [backend.fp32_precision for backend in backends] == before


def test_settings_may_refer_to_others() -> None:
    assert read_config(TINY / "config.yaml", TINY / "vit_config.json").backbone.in_channels == 64


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("plane_size: 16", "plane_size: 0", "tokenizer.plane_size"),
        ("plane_size: 16", "planes: 16", "tokenizer.plane_size"),
        ("tsr.models.network_utils.NeRFMLP", "tsr.models.other.Thing", "decoder_cls"),
        ("activation: silu", "activation: relu", "decoder.activation"),
        ("density_activation: exp", "density_activation: softplus", "renderer.density_activation"),
        ("  in_channels: 24", "  in_channels: 25", "decoder.in_channels is 25, not 24"),
        ("${tokenizer.num_channels}", "${tokenizer.absent}", "backbone.in_channels"),
        ("cond_image_size: 96", "cond_image_size: 97", "cond_image_size modulo 8"),
        ("cond_image_size: 96", "- 1", "cannot be read"),
        ("tokenizer_cls", "*", "cannot be read"),
    ],
)
def test_a_config_of_something_else_is_an_error(tmp_path, old: str, new: str, named: str) -> None:
    text = (TINY / "config.yaml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "config.yaml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(CheckpointError) as caught:
        read_config(tmp_path / "config.yaml", TINY / "vit_config.json")
    assert named in str(caught.value)


@pytest.mark.parametrize("content", ["", "- 1\n- 2\n", "text", b"\xff\xfe\x00"])
def test_a_config_that_is_no_mapping_is_an_error(tmp_path, content: str | bytes) -> None:
    (tmp_path / "config.yaml").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(CheckpointError, match=r"config\.yaml"):
        read_config(tmp_path / "config.yaml")


def test_without_a_vit_config_the_vit_is_dinos() -> None:
    config = published_config()
    assert (config.vit.hidden_size, config.vit.num_hidden_layers, config.vit.layer_norm_eps) == (768, 12, 1e-12)


def test_a_vit_that_does_not_fit_is_an_error(tmp_path) -> None:
    (tmp_path / "vit.json").write_text('{"hidden_size": 64, "num_attention_heads": 5}', encoding="utf-8")
    with pytest.raises(CheckpointError, match="no multiple of num_attention_heads"):
        read_config(TINY / "config.yaml", tmp_path / "vit.json")
