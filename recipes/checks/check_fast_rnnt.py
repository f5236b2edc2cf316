"""fast-rnnt's recursion and its gradient against the definition, in float64."""

from __future__ import annotations

import fast_rnnt
import torch


def recurse(across: torch.Tensor, along: torch.Tensor) -> torch.Tensor:
    """Sum over all monotonic paths through one grid, as logarithms.

    Args:
        across: what each step to the next symbol counts, of shape (symbols, frames + 1).
        along: what each step to the next frame counts, of shape (symbols + 1, frames).
    """
    symbols, frames = across.shape[0], along.shape[1]
    sums: dict[tuple[int, int], torch.Tensor] = {(0, 0): torch.zeros((), dtype=across.dtype)}
    for symbol in range(symbols + 1):
        for frame in range(frames + 1):
            ways = []
            if symbol:
                ways.append(sums[symbol - 1, frame] + across[symbol - 1, frame])
            if frame:
                ways.append(sums[symbol, frame - 1] + along[symbol, frame - 1])
            if ways:
                sums[symbol, frame] = torch.stack(ways).logsumexp(0)
    return sums[symbols, frames]


def check(device: str) -> None:
    """Compare sums and gradients of a batch, whole and within boundaries."""
    generator = torch.Generator().manual_seed(7)
    across = torch.randn(3, 6, 10, generator=generator, dtype=torch.float64)
    along = torch.randn(3, 7, 9, generator=generator, dtype=torch.float64)
    ends = torch.tensor([[0, 0, 6, 9], [0, 0, 4, 9], [0, 0, 6, 5]])
    for boundary in (None, ends):
        wanted = [across.clone().requires_grad_(), along.clone().requires_grad_()]
        expected = []
        for item in range(3):
            symbols, frames = (6, 9) if boundary is None else boundary[item, 2:].tolist()
            expected.append(recurse(wanted[0][item, :symbols, : frames + 1], wanted[1][item, : symbols + 1, :frames]))
        sums = torch.stack(expected)
        sums.sum().backward()
        given = [tensor.to(device, copy=True).requires_grad_() for tensor in (across, along)]
        limits = None if boundary is None else boundary.to(device)
        found = fast_rnnt.mutual_information_recursion(*given, limits)
        found.sum().backward()
        torch.testing.assert_close(found.cpu(), sums.detach())
        for ours, theirs in zip(wanted, given, strict=True):
            assert theirs.grad is not None
            torch.testing.assert_close(theirs.grad.cpu(), ours.grad)


devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
for device in devices:
    check(device)
print(f"{', '.join(devices)}: sums over paths and their gradients are right")
