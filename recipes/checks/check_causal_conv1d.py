"""causal-conv1d's convolution and its gradients against torch's own, in float64. It has no CPU path."""

from __future__ import annotations

import itertools
import sys

import torch
from causal_conv1d import causal_conv1d_fn

NOTHING_TO_COMPUTE = 77


def convolve(signal: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor, *, silu: bool) -> torch.Tensor:
    """Convolve each channel with its own kernel, looking back only.

    Args:
        signal: of shape (batch, channels, length).
        kernel: of shape (channels, width).
        bias: of shape (channels,).
        silu: whether the result goes through x / (1 + exp(-x)).
    """
    channels, width = kernel.shape
    padded = torch.nn.functional.pad(signal, (width - 1, 0))
    result = torch.nn.functional.conv1d(padded, kernel[:, None], bias, groups=channels)
    return torch.nn.functional.silu(result) if silu else result


def check(width: int, length: int, *, silu: bool) -> None:
    """Compare result and gradients in float32 with those in float64."""
    generator = torch.Generator().manual_seed(width * length)
    shapes = ((2, 24, length), (24, width), (24,))
    tensors = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    weight = torch.randn(shapes[0], generator=generator, dtype=torch.float64)
    exact = [tensor.clone().requires_grad_() for tensor in tensors]
    given = [tensor.float().cuda().requires_grad_() for tensor in tensors]
    expected = convolve(*exact, silu=silu)
    found = causal_conv1d_fn(*given, activation="silu" if silu else None)
    torch.testing.assert_close(found.double().cpu(), expected, rtol=1e-5, atol=1e-5)
    (expected * weight).sum().backward()
    (found * weight.float().cuda()).sum().backward()
    for ours, theirs in zip(exact, given, strict=True):
        assert theirs.grad is not None
        torch.testing.assert_close(theirs.grad.double().cpu(), ours.grad, rtol=1e-4, atol=1e-3)


if not torch.cuda.is_available():
    print("no GPU, and causal-conv1d computes on nothing else")
    sys.exit(NOTHING_TO_COMPUTE)
for width, length, silu in itertools.product((2, 3, 4), (5, 64, 500), (False, True)):
    check(width, length, silu=silu)
print("cuda: 18 convolutions and their gradients are right")
