"""Each stage computes what the original computes, and the check would see each detail that is easily got wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="needs the extra triposr")

from torch import Tensor, nn
from torch.nn import functional
from triposr_parity import STAGES, Stage, deviations, reference, tiny_network

from cudawheel.triposr import backbone, field, grid, triplane, vit
from cudawheel.triposr.grid import grid_points, raw_density_on_grid
from cudawheel.triposr.network import TripoSR

# Float64 of both differ by rounding alone.
FLOAT64_TOLERANCE = 1e-11

Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module")
def arrays() -> dict[str, Tensor]:
    return reference()


@pytest.fixture(scope="module")
def unchanged() -> TripoSR:
    return tiny_network()


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_gives_what_the_original_gives(stage: Stage, unchanged: TripoSR, arrays: dict[str, Tensor]) -> None:
    assert stage.deviation(unchanged, arrays) <= 1


def test_in_float64_nothing_but_rounding_is_left() -> None:
    exact, network = reference("f64"), tiny_network(torch.float64)
    # The original keeps its image, its constants and its grid in float32 also where it computes in float64.
    mean, std = (torch.tensor(values).double()[:, None, None] for values in (vit.IMAGE_MEAN, vit.IMAGE_STD))
    ticks = torch.linspace(0, 1, 32).double() * (2 * 0.87) - 0.87
    points = torch.stack(torch.meshgrid(ticks, ticks, ticks, indexing="ij"), dim=-1).flatten(0, 2)
    with torch.no_grad():
        image_tokens = network.image_tokenizer.model((reference()["image"].movedim(-1, 1).double() - mean) / std)
        tokens = network.backbone(network.tokenizer(2), image_tokens)
        codes = network.post_processor(network.tokenizer.to_planes(tokens))
    raw = network.field(codes[0]).raw(points)[:, 0].view(32, 32, 32)
    ours = {"image_tokens": image_tokens, "triplane_tokens": tokens, "scene_codes": codes, "density_raw_32_0": raw}
    distances = {name: float((value - exact[name]).abs().max()) for name, value in ours.items()}
    assert {name: distance for name, distance in distances.items() if distance > FLOAT64_TOLERANCE} == {}


def test_in_float64_the_quick_way_to_a_grid_is_exact() -> None:
    field = tiny_network(torch.float64).field(reference("f64")["scene_codes"][0])
    plain = field.raw(grid_points(32, field.radius, like=field.planes))[:, 0].view(32, 32, 32)
    assert float((plain - raw_density_on_grid(field, 32)).abs().max()) < FLOAT64_TOLERANCE


def tanh_gelu(monkeypatch: Patch) -> None:
    exact = functional.gelu
    monkeypatch.setattr(functional, "gelu", lambda values: exact(values, approximate="tanh"))


def eps_of_norms(kind: type[nn.Module], where: str, eps: float) -> Callable[[Patch], None]:
    """Make the norms of one kind in one part of the network use another eps, whatever they were built with."""

    def change(monkeypatch: Patch) -> None:
        network = MUTATED[0]
        norms = [module for module in network.get_submodule(where).modules() if isinstance(module, kind)]
        assert norms
        for norm in norms:
            monkeypatch.setattr(norm, "eps", eps)

    return change


def no_class_token(monkeypatch: Patch) -> None:
    whole = vit.VisionTransformer.forward
    monkeypatch.setattr(vit.VisionTransformer, "forward", lambda self, image: whole(self, image)[:, 1:])


def no_antialias(monkeypatch: Patch) -> None:
    interpolate = functional.interpolate
    monkeypatch.setattr(functional, "interpolate", lambda *args, **kw: interpolate(*args, **{**kw, "antialias": False}))


def no_outer_residual(monkeypatch: Patch) -> None:
    whole = backbone.Backbone.forward
    monkeypatch.setattr(backbone.Backbone, "forward", lambda self, tokens, image: whole(self, tokens, image) - tokens)


def align_corners(monkeypatch: Patch) -> None:
    sample = functional.grid_sample
    monkeypatch.setattr(functional, "grid_sample", lambda *args, **kw: sample(*args, **{**kw, "align_corners": True}))


def swapped_uv(monkeypatch: Patch) -> None:
    sample = functional.grid_sample
    monkeypatch.setattr(functional, "grid_sample", lambda planes, places, **kw: sample(planes, places.flip(-1), **kw))


def swapped_planes(monkeypatch: Patch) -> None:
    sample = functional.grid_sample
    monkeypatch.setattr(functional, "grid_sample", lambda planes, places, **kw: sample(planes.flip(0), places, **kw))


def positions_by_size(monkeypatch: Patch) -> None:
    interpolate = functional.interpolate

    def by_size(values: Tensor, *args: object, **keywords: object) -> Tensor:
        if keywords.pop("scale_factor", None) is None:
            return interpolate(values, *args, **keywords)
        return interpolate(values, size=(12, 12), **keywords)

    monkeypatch.setattr(functional, "interpolate", by_size)


def swapped_gate(monkeypatch: Patch) -> None:
    def forward(self: backbone.GatedLinear, tokens: Tensor) -> Tensor:
        gate, hidden = self.proj(tokens).chunk(2, dim=-1)
        return hidden * functional.gelu(gate)

    monkeypatch.setattr(backbone.GatedLinear, "forward", forward)


def columns_before_rows(monkeypatch: Patch) -> None:
    whole = triplane.TriplaneTokens.to_planes
    monkeypatch.setattr(triplane.TriplaneTokens, "to_planes", lambda self, tokens: whole(self, tokens).mT)


def no_normalisation(monkeypatch: Patch) -> None:
    monkeypatch.setattr(vit, "normalise", lambda image: image)


def no_last_norm(monkeypatch: Patch) -> None:
    monkeypatch.setattr(MUTATED[0].image_tokenizer.model, "layernorm", nn.Identity())


def keys_not_scaled(monkeypatch: Patch) -> None:
    attend = functional.scaled_dot_product_attention
    monkeypatch.setattr(functional, "scaled_dot_product_attention", lambda *parts: attend(*parts, scale=1.0))


def heads_interleaved(monkeypatch: Patch) -> None:
    def attend(query: Tensor, key: Tensor, value: Tensor, *, heads: int) -> Tensor:
        split = [part.unflatten(-1, (-1, heads)).movedim(-1, 1) for part in (query, key, value)]
        return functional.scaled_dot_product_attention(*split).movedim(1, -1).flatten(-2)

    monkeypatch.setattr(backbone, "attend", attend)


def features_of_planes_interleaved(monkeypatch: Patch) -> None:
    sample = field.sample_planes
    monkeypatch.setattr(
        field, "sample_planes", lambda *args: (sampled := sample(*args)).transpose(0, 1).reshape(sampled.shape)
    )


def no_density_bias(monkeypatch: Patch) -> None:
    whole = TripoSR.field
    monkeypatch.setattr(TripoSR, "field", lambda self, code: replace(whole(self, code), density_bias=0.0))


def grid_indexed_z_first(monkeypatch: Patch) -> None:
    whole = grid.sample_planes_on_grid

    def turned(planes: Tensor, ticks: Tensor) -> tuple[Tensor, ...]:
        xy, xz, yz = whole(planes, ticks)
        return yz.transpose(0, 1).contiguous(), xz.transpose(0, 1).contiguous(), xy.transpose(0, 1).contiguous()

    monkeypatch.setattr(grid, "sample_planes_on_grid", turned)


MUTATED: list[TripoSR] = []
FIELD = {f"{what}{where}" for what in ("raw density", "density") for where in (" 0", " 1")}
GRID = {f"{what} on the grid{where}" for what in ("raw density", "density") for where in (" 0", " 1")}
COLOURS = {"colour 0", "colour 1"}
DENSITIES = {name for name in FIELD | GRID if not name.startswith("raw")}
# Each wrong detail, and the stages that have to show it.
MUTATIONS: list[tuple[Callable[[Patch], None], set[str], str]] = [
    (tanh_gelu, {"image tokens", "triplane tokens", "all stages"}, "tanh GELU"),
    (eps_of_norms(nn.LayerNorm, "image_tokenizer", 1e-6), {"image tokens", "all stages"}, "eps of the ViT 1e-6"),
    (eps_of_norms(nn.LayerNorm, "backbone", 1e-6), {"triplane tokens", "all stages"}, "eps of LayerNorm 1e-6"),
    (eps_of_norms(nn.GroupNorm, "backbone", 1e-5), {"triplane tokens", "all stages"}, "eps of GroupNorm 1e-5"),
    (no_class_token, {"image tokens", "all stages"}, "no CLS"),
    (no_antialias, {"image", "all stages"}, "no antialias"),
    (no_outer_residual, {"triplane tokens", "all stages"}, "no outer residual"),
    (align_corners, FIELD | GRID | COLOURS, "align_corners"),
    (swapped_uv, FIELD | GRID | COLOURS, "swapped uv"),
    (swapped_planes, FIELD | GRID | COLOURS, "swapped planes"),
    (positions_by_size, {"embeddings", "image tokens", "all stages"}, "positions scaled by size"),
    (swapped_gate, {"triplane tokens", "all stages"}, "gate and value swapped"),
    (columns_before_rows, {"scene codes", "all stages"}, "columns before rows"),
    (no_normalisation, {"image tokens", "all stages"}, "no normalisation"),
    (no_last_norm, {"image tokens", "all stages"}, "no last LayerNorm of the ViT"),
    (keys_not_scaled, {"image tokens", "triplane tokens", "all stages"}, "attention not scaled"),
    (heads_interleaved, {"triplane tokens", "all stages"}, "channels of heads interleaved"),
    (features_of_planes_interleaved, FIELD | COLOURS, "features not plane by plane"),
    (no_density_bias, DENSITIES, "no density bias"),
    (grid_indexed_z_first, GRID, "grid indexed z first"),
]


@pytest.fixture
def mutated() -> Iterator[TripoSR]:
    MUTATED.append(tiny_network())
    yield MUTATED[0]
    MUTATED.clear()


@pytest.mark.parametrize(("change", "shown"), [case[:2] for case in MUTATIONS], ids=[case[2] for case in MUTATIONS])
def test_a_wrong_detail_is_caught(
    change: Callable[[Patch], None],
    shown: set[str],
    mutated: TripoSR,
    arrays: dict[str, Tensor],
    monkeypatch: Patch,
) -> None:
    change(monkeypatch)
    found = {stage for stage, deviation in deviations(mutated, arrays).items() if deviation > 1}
    assert found == shown
