"""A forward pass of TripoSR, image to scene code: with fused attention against attention written out, turn by turn.

    python benchmarks/forward.py --json forward.json

The network has the published sizes and random weights. Written out, attention is softmax(q k^T / sqrt(d)) v with the
matrix of all pairs in memory, and queries, keys and values are projected one after the other: the original's way. Both
in float32 with TF32 off. One more way, with TF32 on, shows what that would save and cost. `--checkpoint FOLDER` takes a
network from there. Prints a line a way, ratios, and how far the scene codes lie from float64's; `--json FILE` keeps all
of it.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

import torch
from timing import compare, in_turns, keep
from torch import Tensor, nn

from cudawheel.triposr import backbone, vit
from cudawheel.triposr.checkpoint import find_checkpoint, load_network
from cudawheel.triposr.config import TripoSRConfig
from cudawheel.triposr.device import find_device
from cudawheel.triposr.network import TripoSR
from cudawheel.triposr.precision import full_float32

OURS = "fused attention"
ORIGINAL = "attention written out"
WITH_TF32 = "fused attention, TF32"

# The sizes of the published config.yaml, and the kinds of its parts.
PUBLISHED = {
    "cond_image_size": 512,
    "image_tokenizer_cls": "tsr.models.tokenizers.image.DINOSingleImageTokenizer",
    "image_tokenizer": {},
    "tokenizer_cls": "tsr.models.tokenizers.triplane.Triplane1DTokenizer",
    "tokenizer": {"plane_size": 32, "num_channels": 1024},
    "backbone_cls": "tsr.models.transformer.transformer_1d.Transformer1D",
    "backbone": {
        "in_channels": 1024,
        "num_attention_heads": 16,
        "attention_head_dim": 64,
        "num_layers": 16,
        "cross_attention_dim": 768,
    },
    "post_processor_cls": "tsr.models.network_utils.TriplaneUpsampleNetwork",
    "post_processor": {"in_channels": 1024, "out_channels": 40},
    "decoder_cls": "tsr.models.network_utils.NeRFMLP",
    "decoder": {"in_channels": 120, "n_neurons": 64, "n_hidden_layers": 9},
    "renderer_cls": "tsr.models.nerf_renderer.TriplaneNeRFRenderer",
    "renderer": {"radius": 0.87},
}


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--checkpoint", default=None, help="a folder with config and weights")
    parser.add_argument("--json", type=Path, default=None)
    return parser.parse_args()


def random_network(device: torch.device) -> TripoSR:
    """Give a network of the published sizes with random weights."""
    torch.manual_seed(0)
    with device:
        network = TripoSR(TripoSRConfig.model_validate(PUBLISHED))
    network.requires_grad_(requires_grad=False).eval()
    # What is learned without a layer begins as zeros.
    embeddings = network.image_tokenizer.model.embeddings
    for parameter in (network.tokenizer.embeddings, embeddings.cls_token, embeddings.position_embeddings):
        nn.init.normal_(parameter)
    return network


def attend_written_out(query: Tensor, key: Tensor, value: Tensor, *, heads: int) -> Tensor:
    """Attend as `cudawheel.triposr.attention.attend` does, with the weights of all pairs in memory."""
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (query, key, value))
    weights = torch.softmax(q @ k.mT * q.shape[-1] ** -0.5, dim=-1)
    return (weights @ v).transpose(1, 2).flatten(-2)


def project_in_turn(inputs: Tensor, *maps: nn.Linear) -> tuple[Tensor, ...]:
    """Apply linear maps one after the other."""
    return tuple(linear(inputs) for linear in maps)


@torch.no_grad()
def original(network: TripoSR, image: Tensor) -> Tensor:
    """Give the scene code of an image the original's way."""
    with (
        mock.patch.object(vit, "attend", attend_written_out),
        mock.patch.object(backbone, "attend", attend_written_out),
        mock.patch.object(vit, "project", project_in_turn),
        mock.patch.object(backbone, "project", project_in_turn),
    ):
        return network(image)


@torch.no_grad()
def ours(network: TripoSR, image: Tensor) -> Tensor:
    """Give the scene code of an image."""
    return network(image)


@contextmanager
def tf32() -> Iterator[None]:
    """Let matrix products and convolutions round what they multiply to 10 bits of mantissa."""
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    with full_float32():  # which sets back what was before
        for backend in backends:
            backend.fp32_precision = "tf32"
        yield


def ours_with_tf32(network: TripoSR, image: Tensor) -> Tensor:
    """Give the scene code of an image with TF32 on."""
    with tf32():
        return ours(network, image)


def main() -> None:
    """Compare all ways."""
    chosen = options()
    device = find_device(chosen.device)
    if chosen.checkpoint:
        network = load_network(find_checkpoint(chosen.checkpoint), device=device)
    else:
        network = random_network(device)
    size = network.config.cond_image_size
    image = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(1)).to(device)
    ways = {
        ORIGINAL: partial(original, network, image),
        OURS: partial(ours, network, image),
        WITH_TF32: partial(ours_with_tf32, network, image),
    }
    with full_float32():
        results = in_turns(ways, device=device, rounds=chosen.rounds)
        codes = {name: way() for name, way in ways.items() if "error" not in results[name]}
    compare(results, OURS)
    exact = original(copy.deepcopy(network).double(), image.double())
    scale = float(exact.abs().max())
    print("largest distance of a scene code from float64's, as a part of the largest code:")
    for name, code in codes.items():
        results[name]["distance"] = float((code - exact).abs().max()) / scale
        print(f"{name:>40}  {results[name]['distance']:.2e}")
    keep(chosen.json, device, {"parameters": sum(p.numel() for p in network.parameters()), "results": results})


if __name__ == "__main__":
    main()
