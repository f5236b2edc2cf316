"""Faults put into the wheel's answers on purpose; a suite that does not notice one of them proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from cudawheel.verify.suite import Changes, Sabotage
from cudawheel.verify.suites.torchmcubes.subject import Subject, Tensor

Mesh = tuple[Tensor, Tensor]


def after(change: Callable[[Tensor, Tensor], Mesh]) -> Callable[[Subject, Changes], Subject]:
    """Make a fault of a function that spoils a mesh; it counts where the mesh is another one then."""

    def breaks(subject: Subject, changes: Changes) -> Subject:
        def broken(volume: Tensor, level: float) -> Mesh:
            mesh = subject.marching_cubes(volume, level)
            spoilt = change(*mesh)
            same = all(
                one.shape == other.shape and torch.equal(one, other) for one, other in zip(mesh, spoilt, strict=True)
            )
            changes.count += not same
            return spoilt

        return replace(subject, marching_cubes=broken)

    return breaks


def before(
    change: Callable[[Tensor, float], tuple[Tensor, float]],
) -> Callable[[Subject, Changes], Subject]:
    """Make a fault of a function that spoils what marching cubes is given."""

    def breaks(subject: Subject, changes: Changes) -> Subject:
        def broken(volume: Tensor, level: float) -> Mesh:
            changes.count += 1
            return subject.marching_cubes(*change(volume, level))

        return replace(subject, marching_cubes=broken)

    return breaks


def at_points(change: Callable[[Tensor], Tensor]) -> Callable[[Subject, Changes], Subject]:
    """Make a fault of a function that spoils the points of an interpolation."""

    def breaks(subject: Subject, changes: Changes) -> Subject:
        def broken(volume: Tensor, points: Tensor) -> Tensor:
            changes.count += 1
            return subject.grid_interp(volume, change(points))

        return replace(subject, grid_interp=broken)

    return breaks


def without_every_fiftieth(vertices: Tensor, faces: Tensor) -> Mesh:
    """Leave out every fiftieth triangle, and at least the last."""
    keep = torch.arange(len(faces), device=faces.device) % 50 != (len(faces) - 1) % 50
    return vertices, faces[keep].contiguous()


def without_fifth_of_a_cell(vertices: Tensor, faces: Tensor) -> Mesh:
    """Leave out what is beyond the fourth triangle of a cell: smooth shapes have no such cell."""
    if not len(faces):
        return vertices, faces
    # A triangle lies in the cell that its centre is in; one in a wall between two cells is in either.
    cell = vertices[faces.long()].mean(1).floor().long()
    _, number = torch.unique(cell, dim=0, return_inverse=True)
    order = torch.argsort(number, stable=True)
    ordered = number[order]
    start = torch.searchsorted(ordered, ordered)  # the first place of each number among its equals
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device) - start
    return vertices, faces[rank < 4].contiguous()


def with_fake_triangle(vertices: Tensor, faces: Tensor) -> Mesh:
    """Give one triangle without extent where there is none."""
    if len(faces):
        return vertices, faces
    return vertices.new_zeros((3, 3)), torch.arange(3, dtype=faces.dtype, device=faces.device)[None]


def on_middles(vertices: Tensor, faces: Tensor) -> Mesh:
    """Put each vertex on the middle of its edge of the grid."""
    return torch.where(vertices == vertices.floor(), vertices, vertices.floor() + 0.5), faces


def fall_back_to_cpu(subject: Subject, changes: Changes) -> Subject:
    """Compute on the CPU, and copy the answer to where it was asked for."""

    def marching_cubes(volume: Tensor, level: float) -> Mesh:
        changes.count += volume.is_cuda
        vertices, faces = subject.marching_cubes(volume.cpu(), level)
        return vertices.to(volume.device), faces.to(volume.device)

    def grid_interp(volume: Tensor, points: Tensor) -> Tensor:
        changes.count += volume.is_cuda
        return subject.grid_interp(volume.cpu(), points.cpu()).to(volume.device)

    return replace(subject, marching_cubes=marching_cubes, grid_interp=grid_interp)


def ignore_stream(subject: Subject, changes: Changes) -> Subject:
    """Work in the default stream, whatever the current one is."""

    def marching_cubes(volume: Tensor, level: float) -> Mesh:
        changes.count += 1
        with torch.cuda.stream(torch.cuda.default_stream()):
            return subject.marching_cubes(volume, level)

    return replace(subject, marching_cubes=marching_cubes)


CONTROLS = (
    Sabotage(
        name="dropped triangles",
        what="every fiftieth triangle is missing",
        breaks=after(without_every_fiftieth),
        checks=("cell cases", "white noise", "sphere"),
    ),
    Sabotage(
        name="dropped fifth triangle",
        what="of cells with five triangles the fifth is missing",
        breaks=after(without_fifth_of_a_cell),
        checks=("cell cases", "white noise", "blurred noise"),
    ),
    Sabotage(
        name="swapped axes",
        what="x and z of the vertices are swapped",
        breaks=after(lambda vertices, faces: (vertices[:, [2, 1, 0]], faces)),
        checks=("white noise", "sphere", "scikit-image", "scene chair"),
    ),
    Sabotage(
        name="flipped winding",
        what="each triangle is turned over",
        breaks=after(lambda vertices, faces: (vertices, faces[:, [0, 2, 1]])),
        checks=("cell cases", "sphere", "torus"),
    ),
    Sabotage(
        name="shifted",
        what="the surface is one voxel off along x",
        breaks=after(lambda vertices, faces: (vertices + vertices.new_tensor([1.0, 0.0, 0.0]), faces)),
        checks=("cell cases", "white noise", "sphere"),
    ),
    Sabotage(
        name="middles instead of crossings",
        what="vertices are on the middles of the edges",
        breaks=after(on_middles),
        checks=("white noise", "sphere", "convergence"),
    ),
    Sabotage(
        name="another threshold",
        what="the threshold is 0.01 too high",
        breaks=before(lambda volume, level: (volume, level + 0.01)),
        checks=("thresholds", "sphere", "scikit-image"),
    ),
    Sabotage(
        name="fake triangle",
        what="one triangle without extent where there is no surface",
        breaks=after(with_fake_triangle),
        checks=("empty surface",),
    ),
    Sabotage(
        name="fallback to the CPU",
        what="the answer is computed on the CPU and copied to the GPU",
        breaks=fall_back_to_cpu,
        checks=("kernels ran",),
        devices=("cuda",),
    ),
    Sabotage(
        name="other stream",
        what="the work is done in the default stream",
        breaks=ignore_stream,
        checks=("streams",),
        devices=("cuda",),
    ),
    Sabotage(
        name="nearest instead of linear",
        what="the interpolation takes the nearest voxel",
        breaks=at_points(lambda points: points.round()),
        checks=("interpolation",),
    ),
    Sabotage(
        name="swapped axes of points",
        what="x and z of the points are swapped",
        breaks=at_points(lambda points: points[:, [2, 1, 0]].contiguous()),
        checks=("interpolation",),
    ),
)
