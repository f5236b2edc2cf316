"""torch-spline-conv's B-spline bases and convolution against their recursive definition, in float64."""

from __future__ import annotations

import itertools

import torch
from torch_spline_conv import spline_basis, spline_conv

SIZES = (5, 4)


def bend(position: float, offset: int, degree: int) -> float:
    """Give the weight of one uniform B-spline at a place between 0 and 1 of its cell (de Boor's recursion).

    Args:
        position: the place.
        offset: which of the `degree` + 1 splines that reach into the cell, the one that begins first is 0.
        degree: of the splines.
    """

    def recurse(knot: int, at: float, order: int) -> float:
        if order == 0:
            return 1.0 if knot <= at < knot + 1 else 0.0
        rising = (at - knot) / order * recurse(knot, at, order - 1)
        falling = (knot + order + 1 - at) / order * recurse(knot + 1, at, order - 1)
        return rising + falling

    return recurse(offset - degree, position, degree)


def basis_by_definition(pseudo: list[float], degree: int) -> dict[int, float]:
    """Give the weights at one place of an open spline, by index of the kernel's parameter."""
    weights: dict[int, float] = {}
    for offsets in itertools.product(range(degree + 1), repeat=len(SIZES)):
        weight, index, stride = 1.0, 0, 1
        for value, offset, size in zip(pseudo, offsets, SIZES, strict=True):
            place = value * (size - degree)
            cell = int(place)
            weight *= bend(place - cell, offset, degree)
            index += stride * ((cell + offset) % size)
            stride *= size
        weights[index] = weights.get(index, 0.0) + weight
    return weights


def check(device: str, degree: int) -> None:
    """Compare bases and a convolution of one degree."""
    generator = torch.Generator().manual_seed(degree)
    edges, nodes = 60, 9
    pseudo = torch.rand(edges, 2, generator=generator, dtype=torch.float64)
    sizes, is_open = torch.tensor(SIZES), torch.ones(2, dtype=torch.uint8)
    basis, index = spline_basis(pseudo.to(device), sizes.to(device), is_open.to(device), degree)
    torch.testing.assert_close(basis.sum(1).cpu(), torch.ones(edges, dtype=torch.float64))
    dense = torch.zeros(edges, SIZES[0] * SIZES[1], dtype=torch.float64)
    dense.scatter_add_(1, index.cpu(), basis.cpu())
    expected = torch.zeros_like(dense)
    for edge, place in enumerate(pseudo.tolist()):
        for at, weight in basis_by_definition(place, degree).items():
            expected[edge, at] = weight
    torch.testing.assert_close(dense, expected)

    features = torch.randn(nodes, 2, generator=generator, dtype=torch.float64)
    kernel = torch.randn(SIZES[0] * SIZES[1], 2, 3, generator=generator, dtype=torch.float64)
    pairs = torch.randint(0, nodes, (2, edges), generator=generator)
    arguments = (features, pairs, pseudo, kernel, sizes, is_open)
    found = spline_conv(*(argument.to(device) for argument in arguments), degree, norm=False)
    messages = torch.einsum("ek,kio,ei->eo", expected, kernel, features[pairs[1]])
    by_definition = torch.zeros(nodes, 3, dtype=torch.float64).index_add_(0, pairs[0], messages)
    torch.testing.assert_close(found.cpu(), by_definition)


devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
for device, degree in itertools.product(devices, (1, 2, 3)):
    check(device, degree)
print(f"{', '.join(devices)}: bases and convolutions of degree 1 to 3 are right")
