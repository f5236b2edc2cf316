"""torch-scatter's reductions against loops over the elements, in float64, with gradients by their definition."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch_scatter

REDUCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sum": lambda rows: rows.sum(0),
    "mean": lambda rows: rows.mean(0),
    "min": lambda rows: rows.min(0).values,
    "max": lambda rows: rows.max(0).values,
    "mul": lambda rows: rows.prod(0),
}


def reduce_by_loop(source: torch.Tensor, index: torch.Tensor, groups: int, how: str) -> torch.Tensor:
    """Reduce the rows of each group; a group without rows gives zeros.

    Args:
        source: values of shape (rows, columns), on the CPU.
        index: the group of each row.
        groups: how many there are.
        how: `sum`, `mean`, `min`, `max` or `mul`.
    """
    empty = 1.0 if how == "mul" else 0.0
    result = torch.full((groups, source.shape[1]), empty, dtype=source.dtype)
    for group in range(groups):
        rows = source[index == group]
        if len(rows):
            result[group] = REDUCTIONS[how](rows)
    return result


def check(device: str) -> None:
    """Compare every reduction, of rows in any order and of sorted ones."""
    generator = torch.Generator().manual_seed(7)
    source = torch.randn(500, 3, generator=generator, dtype=torch.float64)
    index = torch.randint(0, 40, (500,), generator=generator)
    index[index == 11] = 12  # one group stays empty
    for how in ("sum", "mean", "min", "max", "mul"):
        found = torch_scatter.scatter(source.to(device), index.to(device), dim=0, dim_size=40, reduce=how)
        torch.testing.assert_close(found.cpu(), reduce_by_loop(source, index, 40, how))
    order = index.argsort(stable=True)
    pointers = torch.zeros(41, dtype=torch.long)
    pointers[1:] = torch.bincount(index, minlength=40).cumsum(0)
    for how in ("sum", "mean", "min", "max"):
        found = torch_scatter.segment_csr(source[order].to(device), pointers.to(device), reduce=how)
        torch.testing.assert_close(found.cpu(), reduce_by_loop(source, index, 40, how))
    check_gradients(source, index, device)


def check_gradients(source: torch.Tensor, index: torch.Tensor, device: str) -> None:
    """Compare gradients: a sum hands on what it gets, a maximum to the largest alone."""
    weight = torch.randn(40, 3, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    for how in ("sum", "max"):
        values = source.to(device, copy=True).requires_grad_()
        reduced = torch_scatter.scatter(values, index.to(device), dim=0, dim_size=40, reduce=how)
        (reduced * weight.to(device)).sum().backward()
        expected = weight[index]
        if how == "max":
            expected = expected * (source == reduce_by_loop(source, index, 40, "max")[index])
        assert values.grad is not None
        torch.testing.assert_close(values.grad.cpu(), expected)


devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
for device in devices:
    check(device)
print(f"{', '.join(devices)}: nine reductions and two gradients are right")
