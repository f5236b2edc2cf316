"""diso's surfaces against the exact sphere, and its gradient against a difference quotient. It has no CPU path."""

from __future__ import annotations

import math
import sys

import torch
from diso import DiffDMC, DiffMC

NOTHING_TO_COMPUTE = 77
RADIUS, SIZE = 0.3, 48


def field(device: str, radius: float = RADIUS) -> torch.Tensor:
    """Give the signed distance to a sphere around the middle of the unit cube, negative inside."""
    axis = torch.linspace(0, 1, SIZE, dtype=torch.float64, device=device)
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), 3)
    return (grid - 0.5).norm(dim=3) - radius


def volume(vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """Give the volume within a closed surface, whichever way it is turned."""
    a, b, c = (vertices[faces[:, corner]] - 0.5 for corner in range(3))
    return (torch.linalg.cross(a, b) * c).sum().abs() / 6


def check(extractor: torch.nn.Module) -> None:
    """Compare distance, volume and closedness of a sphere's surface, and how its volume follows the field."""
    grid = field("cuda").requires_grad_()
    vertices, faces = extractor(grid, None)
    off = ((vertices - 0.5).norm(dim=1) - RADIUS).abs().max().item()
    assert off < 0.5 / SIZE, f"a vertex lies {off:.4f} off the sphere"
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(1).values
    shared = edges.unique(dim=0, return_counts=True)[1]
    assert bool((shared == 2).all()), "an edge does not lie between two triangles"
    found = volume(vertices, faces)
    exact = 4 / 3 * math.pi * RADIUS**3
    assert abs(found.item() / exact - 1) < 0.01, f"volume {found.item():.6f}, not {exact:.6f}"
    # Lifting the whole field by d shrinks the sphere by d: the volume falls by its area times d.
    found.backward()
    assert grid.grad is not None
    slope, area = grid.grad.sum().item(), 4 * math.pi * RADIUS**2
    assert abs(-slope / area - 1) < 0.03, f"slope {slope:.4f}, not {-area:.4f}"


if not torch.cuda.is_available():
    print("no GPU, and diso computes on nothing else")
    sys.exit(NOTHING_TO_COMPUTE)
check(DiffMC(dtype=torch.float64).cuda())
check(DiffDMC(dtype=torch.float64).cuda())
print("cuda: both surfaces, their volume and its gradient are right")
