"""The stages of a network beside what the original implementation computes, as one check for several tests.

Every stage gets the original's output of the stage before it, so that a deviation names the stage that it comes from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cudawheel.triposr.checkpoint import find_checkpoint, load_network
from cudawheel.triposr.grid import density_on_grid, grid_points, raw_density_on_grid
from cudawheel.triposr.network import TripoSR
from cudawheel.triposr.picture import to_tensor
from cudawheel.triposr.precision import full_float32
from cudawheel.triposr.vit import normalise

DATA = Path(__file__).parents[1] / "data"
TINY = DATA / "triposr-tiny"
TOLERANCE = 1e-5
RAW_TOLERANCE = 5e-5
RELATIVE_TOLERANCE = 1e-4


def tiny_network(dtype: torch.dtype = torch.float32, *, device: str = "cpu") -> TripoSR:
    return load_network(find_checkpoint(str(TINY)), device=device, dtype=dtype)


def reference(precision: str = "f32", *, device: str = "cpu") -> dict[str, Tensor]:
    with np.load(TINY / f"reference_{precision}.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]).to(device) for name in arrays.files}


@dataclass(frozen=True)
class Stage:
    """One check.

    Attributes:
        name: of the stage.
        computed: what ours gives, from a network and the original's arrays.
        expected: what the original gives.
        tolerance: how far they may lie apart anywhere.
        relative: whether that is a part of the expected value.
    """

    name: str
    computed: Callable[[TripoSR, dict[str, Tensor]], Tensor]
    expected: Callable[[dict[str, Tensor]], Tensor]
    tolerance: float = TOLERANCE
    relative: bool = False

    def deviation(self, network: TripoSR, arrays: dict[str, Tensor]) -> float:
        """How far they lie apart, in tolerances: 1 is as far as they may."""
        with torch.no_grad(), full_float32():
            computed, expected = self.computed(network, arrays), self.expected(arrays)
        if computed.shape != expected.shape:
            return float("inf")
        distance = (computed - expected).abs()
        if self.relative:
            distance = distance / expected.abs()
        return float(distance.max()) / self.tolerance


def deviations(network: TripoSR, arrays: dict[str, Tensor]) -> dict[str, float]:
    return {stage.name: stage.deviation(network, arrays) for stage in STAGES}


def images(network: TripoSR, arrays: dict[str, Tensor]) -> Tensor:
    from PIL import Image  # noqa: PLC0415 - beside its only use

    drawn = (Image.fromarray(arrays[f"input_image_u8_{i}"].cpu().numpy()) for i in range(2))
    made = torch.stack([to_tensor(picture, network.config.cond_image_size) for picture in drawn])
    return made.to(arrays["image"].device)


def _planes(network: TripoSR, tokens: Tensor) -> Tensor:
    return network.post_processor(network.tokenizer.to_planes(tokens))


def _raw_at_points(network: TripoSR, arrays: dict[str, Tensor], scene: int) -> Tensor:
    field = network.field(arrays["scene_codes"][scene])
    return field.raw(grid_points(32, field.radius, like=field.planes))


def _density_at_points(network: TripoSR, arrays: dict[str, Tensor], scene: int) -> Tensor:
    field = network.field(arrays["scene_codes"][scene])
    return field.density(_raw_at_points(network, arrays, scene)).view(32, 32, 32)


def _colour_at_points(network: TripoSR, arrays: dict[str, Tensor], scene: int) -> Tensor:
    field = network.field(arrays["scene_codes"][scene])
    return field.colour(_raw_at_points(network, arrays, scene)).view(32, 32, 32, 3)


def _on_grid(network: TripoSR, arrays: dict[str, Tensor], scene: int, compute: Callable[..., Tensor]) -> Tensor:
    return compute(network.field(arrays["scene_codes"][scene]), 32, chunk_size=5000)


def _stages_of_field(scene: int) -> list[Stage]:
    raw, act, colour = (f"{name}_32_{scene}" for name in ("density_raw", "density_act", "color"))
    return [
        Stage(
            f"raw density {scene}",
            lambda net, ref: _raw_at_points(net, ref, scene)[:, 0].view(32, 32, 32),
            lambda ref: ref[raw],
            RAW_TOLERANCE,
        ),
        Stage(
            f"density {scene}",
            lambda net, ref: _density_at_points(net, ref, scene),
            lambda ref: ref[act],
            RELATIVE_TOLERANCE,
            relative=True,
        ),
        Stage(f"colour {scene}", lambda net, ref: _colour_at_points(net, ref, scene), lambda ref: ref[colour]),
        Stage(
            f"raw density on the grid {scene}",
            lambda net, ref: _on_grid(net, ref, scene, raw_density_on_grid),
            lambda ref: ref[raw],
            RAW_TOLERANCE,
        ),
        Stage(
            f"density on the grid {scene}",
            lambda net, ref: _on_grid(net, ref, scene, density_on_grid),
            lambda ref: ref[act],
            RELATIVE_TOLERANCE,
            relative=True,
        ),
    ]


STAGES = [
    Stage("image", images, lambda ref: ref["image"].movedim(-1, 1)),
    Stage(
        "embeddings",
        lambda net, ref: net.image_tokenizer.model.embeddings(normalise(ref["image"].movedim(-1, 1))),
        lambda ref: ref["vit_embeddings"],
    ),
    Stage(
        "image tokens",
        lambda net, ref: net.image_tokenizer(ref["image"].movedim(-1, 1)),
        lambda ref: ref["image_tokens"],
    ),
    Stage("learned tokens", lambda net, _ref: net.tokenizer(1), lambda ref: ref["triplane_tokens_in"]),
    Stage(
        "triplane tokens",
        lambda net, ref: net.backbone(ref["triplane_tokens_in"].expand(2, -1, -1), ref["image_tokens"]),
        lambda ref: ref["triplane_tokens"],
    ),
    Stage("scene codes", lambda net, ref: _planes(net, ref["triplane_tokens"]), lambda ref: ref["scene_codes"]),
    Stage("all stages", lambda net, ref: net(images(net, ref)), lambda ref: ref["scene_codes"]),
    *_stages_of_field(0),
    *_stages_of_field(1),
]
