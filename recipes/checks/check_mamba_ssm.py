"""mamba-ssm's selective scan and its gradients against the recurrence that defines it, in float64. No CPU path."""

from __future__ import annotations

import sys

import torch
from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

NOTHING_TO_COMPUTE = 77


def scan(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """Go through the recurrence step by step: h' = exp(d a) h + d b u, y = (c h' + D u) z / (1 + exp(-z)).

    Args:
        tensors: `u`, `delta` and `z` of shape (batch, channels, length), `A` of (channels, states), `B` and `C` of
            (batch, states, length), `D` and `delta_bias` of (channels,). The step d is softplus(delta + delta_bias).
    """
    u, a, b, c = (tensors[name] for name in "uABC")
    step = torch.log1p(torch.exp(tensors["delta"] + tensors["delta_bias"][:, None]))
    state = u.new_zeros(len(u), *a.shape)
    results = []
    for at in range(u.shape[2]):
        taken = step[:, :, at, None]
        state = torch.exp(taken * a) * state + taken * b[:, None, :, at] * u[:, :, at, None]
        results.append((state * c[:, None, :, at]).sum(2) + tensors["D"] * u[:, :, at])
    return torch.stack(results, 2) * tensors["z"] * torch.sigmoid(tensors["z"])


def draw(length: int) -> dict[str, torch.Tensor]:
    """Draw the tensors of one scan; states decay, as they do in a model."""
    generator = torch.Generator().manual_seed(length)
    batch, channels, states = 2, 6, 8
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("u", "delta", "z"), (batch, channels, length))
    shapes |= dict.fromkeys("BC", (batch, states, length))
    shapes |= {"A": (channels, states), "D": (channels,), "delta_bias": (channels,)}
    tensors = {
        name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in sorted(shapes.items())
    }
    return tensors | {"A": -torch.exp(tensors["A"])}


def check(length: int) -> None:
    """Compare result and gradients in float32 with those in float64."""
    tensors = draw(length)
    weight = torch.randn(tensors["u"].shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    exact = {name: tensor.clone().requires_grad_() for name, tensor in tensors.items()}
    given = {name: tensor.float().cuda().requires_grad_() for name, tensor in tensors.items()}
    expected, found = scan(exact), selective_scan_fn(**given, delta_softplus=True)
    torch.testing.assert_close(found.double().cpu(), expected, rtol=1e-3, atol=1e-3)
    (expected * weight).sum().backward()
    (found * weight.float().cuda()).sum().backward()
    for name, tensor in given.items():
        assert tensor.grad is not None
        theirs, ours = tensor.grad.double().cpu(), exact[name].grad
        assert ours is not None
        assert (theirs - ours).norm() <= 1e-3 * ours.norm() + 1e-4, name


if not torch.cuda.is_available():
    print("no GPU, and mamba-ssm scans on nothing else")
    sys.exit(NOTHING_TO_COMPUTE)
for length in (1, 37, 512, 2500):  # the kernels go by chunks of 2048
    check(length)
print("cuda: four scans and their gradients are right")
