"""Multi-head attention, and linear maps of one input that are computed together."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def project(inputs: Tensor, *maps: nn.Linear) -> tuple[Tensor, ...]:
    """Apply several linear maps to one input as one matrix product, which fills a GPU better than one after another.

    Args:
        inputs: (..., I).
        maps: from I to any number of outputs each; all with a bias or none.

    Returns:
        the maps' outputs, (..., O) each; they share their memory.
    """
    weight = torch.cat([linear.weight for linear in maps])
    bias = None if maps[0].bias is None else torch.cat([linear.bias for linear in maps])
    return functional.linear(inputs, weight, bias).split([linear.out_features for linear in maps], dim=-1)


def attend(query: Tensor, key: Tensor, value: Tensor, *, heads: int) -> Tensor:
    """Let each query look at all keys: softmax(q k^T / sqrt(d)) v in each head of d channels.

    Args:
        query: (B, N, heads x d).
        key: (B, M, heads x d).
        value: (B, M, heads x d).
        heads: into how many heads the channels are split.

    Returns:
        (B, N, heads x d), the heads side by side.
    """
    split = [part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (query, key, value)]
    return functional.scaled_dot_product_attention(*split).transpose(1, 2).flatten(-2)
