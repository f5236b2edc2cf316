"""The density of a field of TripoSR's size on a grid: cudawheel's way against the original's, turn by turn.

    python benchmarks/density.py --resolution 256 --json density.json

The original's way asks each point of the grid: three samples of 40 features, put together, through the decoder, in
chunks of 8192 points by default. Both its chunks and one chunk for all are timed. cudawheel's way is timed as one
kernel, and layer by layer with the default and with portions of 2^14 to 2^24 points. All in float32, TF32 off; how far
each way lies from float64 is measured at some of the points. Prints a line a way, and ratios; `--json FILE` keeps all
of it.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from timing import compare, in_turns, keep
from torch import Tensor, nn
from torch.nn import functional

from cudawheel.triposr.config import DecoderConfig
from cudawheel.triposr.decoder import Decoder
from cudawheel.triposr.device import find_device
from cudawheel.triposr.field import TriplaneField
from cudawheel.triposr.grid import density_on_grid, grid_points
from cudawheel.triposr.precision import full_float32

OURS = "one kernel"
CHUNK = 8192
FEATURES, SIDE, WIDTH, DEPTH, RADIUS = 40, 64, 64, 9, 0.87
CHECKED_POINTS = 20_000
PART_POINTS, REPEATS = 1 << 17, 50
# Keeps the size of what goes through linear maps with SiLU between them.
GAIN = 1.6


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--portions", default="14,15,16,17,18,19,20,22,24", help="powers of 2, with commas")
    parser.add_argument("--json", type=Path, default=None)
    return parser.parse_args()


def random_field(device: torch.device) -> TriplaneField:
    """Give a field of the published sizes with random numbers in it, whose raw density varies as a real one does."""
    torch.manual_seed(0)
    decoder = Decoder(DecoderConfig(in_channels=3 * FEATURES, n_neurons=WIDTH, n_hidden_layers=DEPTH))
    for layer in decoder.linear_layers:
        nn.init.normal_(layer.weight, std=GAIN * layer.in_features**-0.5)
    planes = torch.randn(3, FEATURES, SIDE, SIDE)
    decoder.requires_grad_(requires_grad=False).to(device)
    return TriplaneField(planes=planes.to(device), decoder=decoder, radius=RADIUS)


@torch.no_grad()
def original_density(field: TriplaneField, points: Tensor, chunk: int) -> Tensor:
    """Ask every point by itself, as the original does; it computes colours as well and keeps them.

    Args:
        field: the field.
        points: (N, 3).
        chunk: points at a time.

    Returns:
        (N,), the density.
    """
    densities, colours = [], []
    for part in points.split(chunk):
        at = part / field.radius
        places = torch.stack((at[:, [0, 1]], at[:, [0, 2]], at[:, [1, 2]]))
        sampled = functional.grid_sample(field.planes, places[:, None], align_corners=False, mode="bilinear")
        features = sampled[:, :, 0].permute(2, 0, 1).reshape(len(part), -1)
        raw = field.decoder.layers(features)
        densities.append(torch.exp(raw[:, 0] + field.density_bias))
        colours.append(torch.sigmoid(raw[:, 1:]))
    torch.cat(colours)
    return torch.cat(densities)


def float64_error(field: TriplaneField, points: Tensor, density: Tensor) -> float:
    """Give the largest relative distance of a density, (N,), from that in float64 at some of the points, (N, 3)."""
    generator = torch.Generator().manual_seed(1)
    some = torch.randint(len(points), (CHECKED_POINTS,), generator=generator).to(points.device)
    exact = replace(field, planes=field.planes.double(), decoder=copy.deepcopy(field.decoder).double())
    expected = exact.density(exact.raw(points[some].double(), chunk_size=CHECKED_POINTS))
    return float(((density[some].double() - expected) / expected).abs().max())


def parts(field: TriplaneField, size: int, device: torch.device) -> dict[str, float]:
    """Time the operations of the decoder by themselves on portions of one size.

    Returns:
        milliseconds of each operation once for every point of the grid.
    """
    hidden, last = field.decoder.linear_layers[1], field.decoder.linear_layers[-1]
    features = torch.rand(PART_POINTS, WIDTH, device=device)
    others, turned, answers = features.clone(), features.mT.contiguous(), features[:, 0].clone()
    # Maps of the first layer for a grid of as many points, two of its sides as long as those of the planes.
    long = PART_POINTS // SIDE**2
    xy, xz, yz = (torch.rand(count, SIDE, WIDTH, device=device) for count in (long, long, SIDE))
    operations: dict[str, Callable[[], Tensor]] = {
        "sum of two": lambda: torch.add(features, features, out=others),
        "sum of three maps": lambda: (xy[:, :, None] + xz[:, None]).add_(yz),
        "SiLU, in place": lambda: functional.silu(others, inplace=True),
        "linear, 64 to 64": lambda: functional.linear(features, hidden.weight, hidden.bias),
        "linear, 64 to 1": lambda: functional.linear(features, last.weight[:1], last.bias[:1]),
        "linear, 64 to 64, features first": lambda: torch.mm(hidden.weight, turned),
        "matrix times vector, 64 to 1": lambda: torch.addmv(last.bias[:1], features, last.weight[0], out=answers),
        "linear, 64 to 4": lambda: functional.linear(features, last.weight, last.bias),
    }
    repeated = {name: partial(repeat, operation) for name, operation in operations.items()}
    results = in_turns(repeated, device=device, rounds=3)
    scale = size**3 / (PART_POINTS * REPEATS)
    return {name: result["median"] * scale for name, result in results.items() if "median" in result}


def repeat(operation: Callable[[], Tensor]) -> None:
    """Do one thing several times, without a wait between."""
    for _ in range(REPEATS):
        operation()


def main() -> None:
    """Compare all ways."""
    chosen = options()
    device = find_device(chosen.device)
    field, size = random_field(device), chosen.resolution
    points = grid_points(size, RADIUS, like=field.planes)
    ways: dict[str, Callable[[], Tensor]] = {
        f"original, chunks of {CHUNK}": partial(original_density, field, points, CHUNK),
        "original, one chunk": partial(original_density, field, points, len(points)),
        OURS: partial(density_on_grid, field, size, tell=print),
        "layer by layer": partial(density_on_grid, field, size, fused=False),
    }
    for power in map(int, chosen.portions.split(",")):
        portions = partial(density_on_grid, field, size, chunk_size=1 << power, fused=False)
        ways[f"layer by layer, 2^{power} points"] = portions
    with full_float32():
        results = in_turns(ways, device=device, rounds=chosen.rounds)
        # Beside the timing, since that throws results away. What failed there is not tried again.
        for name, way in ways.items():
            if "error" not in results[name]:
                results[name]["error_to_float64"] = float64_error(field, points, way().flatten())
    compare(results, OURS)
    errors = {name: result["error_to_float64"] for name, result in results.items() if "error" not in result}
    print(f"largest relative distance from float64 at {CHECKED_POINTS} points:")
    print("\n".join(f"{name:>40}  {error:.2e}" for name, error in errors.items()))
    with full_float32():
        alone = parts(field, size, device)
    print(f"operations alone, in portions of {PART_POINTS} points, once for all points of the grid:")
    print("\n".join(f"{name:>40}  {taken:9.2f} ms" for name, taken in alone.items()))
    spread = ways[OURS]().log().std()
    print(f"standard deviation of the raw density: {float(spread):.2f}")
    keep(chosen.json, device, {"resolution": size, "results": results, "operations": alone})


if __name__ == "__main__":
    main()
