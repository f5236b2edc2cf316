"""The density of a field on a regular grid, without sampling every point.

Two facts make it quick. Sampling is linear, as is the decoder's first layer, so that the layer may be applied to the
planes' cells instead of to every point's features, plane by plane; what remains per point is the sum of three samples
of `n_neurons` values and the bias. And the points of a grid share their coordinates, so that each plane is sampled
at R^2 places instead of R^3. On a GPU all layers after the first run as one kernel, where that can be compiled.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cudawheel.errors import DeviceMemoryError, FieldError
from cudawheel.triposr.field import TriplaneField
from cudawheel.triposr.fused import CannotFuseError, DecodeSpan, fused_span_decoder
from cudawheel.triposr.portions import Portions, Progress, Tell
from cudawheel.triposr.triplane import PLANES, sample_planes_on_grid

# Hidden layers that exist at the same time: one is read, the next is written; and one for what libraries need.
_LIVE_TENSORS = 3


def grid_ticks(resolution: int, radius: float, *, like: Tensor) -> Tensor:
    """Give the coordinates, (R,), that grid points have in each direction: `resolution` of them, ends included.

    Args:
        resolution: how many points a direction.
        radius: the grid reaches from -radius to radius.
        like: a tensor of the device and type that the result gets.
    """
    ticks = torch.linspace(0, 1, resolution, device=like.device, dtype=like.dtype)
    return ticks * (2 * radius) - radius


def grid_points(resolution: int, radius: float, *, like: Tensor) -> Tensor:
    """Give all points of the grid, (R^3, 3), x slowest and z fastest."""
    ticks = grid_ticks(resolution, radius, like=like)
    return torch.stack(torch.meshgrid(ticks, ticks, ticks, indexing="ij"), dim=-1).flatten(0, 2)


@torch.no_grad()
def raw_density_on_grid(
    field: TriplaneField,
    resolution: int,
    *,
    chunk_size: int | None = None,
    progress: Progress | None = None,
    tell: Tell | None = None,
    fused: bool = True,
) -> Tensor:
    """Decode the raw density of all points of a grid.

    Args:
        field: the field.
        resolution: points a direction, R.
        chunk_size: points at a time, rounded to whole rows of the grid; by default as many as memory allows.
        progress: is called with the points done and all points.
        tell: is called with a sentence when memory ran out and portions become smaller, or when an NVIDIA GPU has to
            decode layer by layer.
        fused: decode as one kernel where that is possible; it takes half the time, and no memory for hidden layers.

    Returns:
        (R, R, R), indexed x, y, z.

    Raises:
        DeviceMemoryError: memory does not suffice for the smallest portion, or for the grid itself.
    """
    try:
        xy, xz, yz = _first_layer_on_grid(field, resolution)
        density = field.planes.new_empty((resolution, resolution, resolution))
    except torch.cuda.OutOfMemoryError as error:
        raise DeviceMemoryError(
            f"{field.planes.device} has no memory for a grid of {resolution}^3",
            why=str(error).partition("\n")[0],
            remedy="Ask for a lower resolution.",
        ) from error
    decode_span = _fused_decoder(field, (xy, xz, yz), density, tell) if fused else None
    portions = Portions(
        like=field.planes,
        values_each=1 if decode_span else _LIVE_TENSORS * xy.shape[-1],
        chunk_size=chunk_size,
        progress=progress,
        tell=tell,
    )
    decode_span = decode_span or _layered_decoder(field, (xy, xz, yz), density)
    portions.run(resolution**3, decode_span, multiple=resolution, block=resolution**2)
    return density


@torch.no_grad()
def density_on_grid(
    field: TriplaneField,
    resolution: int,
    *,
    chunk_size: int | None = None,
    progress: Progress | None = None,
    tell: Tell | None = None,
    fused: bool = True,
) -> Tensor:
    """Give the density of all points of a grid: `raw_density_on_grid`, and exp of it with the field's bias.

    Returns:
        (R, R, R), indexed x, y, z.

    Raises:
        DeviceMemoryError: as there.
        FieldError: the density of some point is infinite or no number.
    """
    raw = raw_density_on_grid(field, resolution, chunk_size=chunk_size, progress=progress, tell=tell, fused=fused)
    density = raw.add_(field.density_bias).exp_()
    if not torch.isfinite(density.sum()):
        bad = int((~torch.isfinite(density)).sum())
        if bad:
            raise FieldError(
                f"the density is not finite at {bad} of {density.numel()} points of the grid",
                why="The scene code or the decoder's weights are not those of a trained network, or overflow.",
                remedy="Check the weights against their sha256.",
            )
    return density


def _fused_decoder(
    field: TriplaneField, first_layer: tuple[Tensor, Tensor, Tensor], density: Tensor, tell: Tell | None
) -> DecodeSpan | None:
    """Give the decoder that is one kernel, or nothing where there cannot be one."""
    try:
        return fused_span_decoder(field.decoder, first_layer, density)
    except CannotFuseError as error:
        if tell and density.is_cuda:
            tell(f"The decoder runs layer by layer, which takes twice the time: {error}.")
        return None


def _layered_decoder(field: TriplaneField, first_layer: tuple[Tensor, Tensor, Tensor], density: Tensor) -> DecodeSpan:
    """Give the function that fills `density`, (R, R, R), from one point's number to another's, the last one excluded.

    A span is whole slabs of the grid (one x, all y and z) or lies within one.
    """
    xy, xz, yz = first_layer
    resolution = len(density)
    slab, flat = resolution**2, density.view(-1)
    hidden, last = field.decoder.linear_layers[1:-1], field.decoder.linear_layers[-1]

    def decode(rows: slice, columns: slice, into: Tensor) -> None:
        features = xy[rows, columns, None] + xz[rows, None]
        features = functional.silu(features.add_(yz[columns]), inplace=True).flatten(0, 2)
        for layer in hidden:
            features = functional.silu(functional.linear(features, layer.weight, layer.bias), inplace=True)
        # Of the last matrix one row is wanted. As a matrix times a vector that is quicker, and needs no copy.
        torch.addmv(last.bias[:1], features, last.weight[0], out=into)

    def decode_span(start: int, stop: int) -> None:
        into = flat[start:stop]
        if start % slab == 0 and stop % slab == 0:
            decode(slice(start // slab, stop // slab), slice(None), into)
            return
        row = start // slab
        columns = slice((start - row * slab) // resolution, (stop - row * slab) // resolution)
        decode(slice(row, row + 1), columns, into)

    return decode_span


def _first_layer_on_grid(field: TriplaneField, resolution: int) -> tuple[Tensor, Tensor, Tensor]:
    """Give the decoder's first layer, without SiLU, as three maps (R, R, width) whose sum at a point it is."""
    first = field.decoder.linear_layers[0]
    of_planes = first.weight.unflatten(1, (PLANES, -1))
    planes = torch.einsum("opf,pfhw->pohw", of_planes, field.planes)
    ticks = grid_ticks(resolution, field.radius, like=field.planes) / field.radius
    xy, xz, yz = sample_planes_on_grid(planes, ticks)
    # The bias must not be sampled with the planes: outside of them samples are zero.
    return xy.add_(first.bias), xz, yz
