"""Fit the scenes that come with cudawheel: a triplane and a decoder of TripoSR's form for each known shape.

    python tools/fit_scenes.py [NAME...] [--steps 1500] [--output cudawheel/triposr/scenes]
    python tools/fit_scenes.py [NAME...] --score [--resolution 128]

Needs the extra `triposr`. Each fit is seeded and runs on one core; the raw density is drawn towards a multiple of the
shape's signed distance, chosen so that density 25 lies on the surface, and the colour towards the shape's. `--score`
fits nothing and says how near scenes are to their shapes: the rows of the table in docs/scenes.md. It takes marching
cubes from scikit-image, and so needs no wheel of ours.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from skimage.measure import marching_cubes
from torch import Tensor, nn
from torch.nn import functional

from cudawheel.triposr.config import DecoderConfig
from cudawheel.triposr.decoder import Decoder
from cudawheel.triposr.grid import density_on_grid, grid_points
from cudawheel.triposr.scene import SCENE_RADIUS, Scene, load_scene, save_scene
from cudawheel.triposr.score import Score, score
from cudawheel.triposr.shapes import SHAPES, Shape
from cudawheel.triposr.surface import SURFACE_DENSITY
from cudawheel.triposr.triplane import sample_planes

FEATURES, SIDE, WIDTH, DEPTH = 16, 32, 64, 4
POINTS, BATCH = 400_000, 12_288
DENSITY_BIAS = -1.0
# Raw density by distance: steep enough for clear walls, and gentle enough that linear interpolation between grid
# points finds the surface of an exponential.
STEEPNESS = 45.0
MOST_INSIDE, MOST_OUTSIDE = 0.08, 0.2
NEAR = 0.06
# What is on the wrong side so far from the surface is a speck of its own, or a hole; no rounding of an edge.
STRAY, MENDING_STEPS, MENDING_ROUNDS = 0.03, 25, 12


def sample(shape: Shape, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw points, a third of them anywhere and the others near the surface; gives them, distances and colours."""
    anywhere = rng.uniform(-SCENE_RADIUS, SCENE_RADIUS, (POINTS, 3))
    distances = shape.sdf(anywhere)
    near = anywhere[np.abs(distances) < NEAR]
    scattered = near[rng.integers(len(near), size=POINTS)] + rng.normal(0, 0.02, (POINTS, 3))
    scattered = np.clip(scattered, -SCENE_RADIUS, SCENE_RADIUS)
    points = np.concatenate([anywhere[: POINTS // 2], scattered])
    distances = np.concatenate([distances[: POINTS // 2], shape.sdf(scattered)])
    return tuple(  # type: ignore[return-value]
        torch.from_numpy(values.astype(np.float32)) for values in (points, distances, shape.colour(points))
    )


def fit(shape: Shape, *, steps: int, seed: int) -> Scene:
    """Fit a scene to a shape."""
    torch.manual_seed(seed)
    points, distances, colours = sample(shape, np.random.default_rng(seed))
    decoder = Decoder(DecoderConfig(in_channels=3 * FEATURES, n_neurons=WIDTH, n_hidden_layers=DEPTH))
    planes = nn.Parameter(torch.randn(3, FEATURES, SIDE, SIDE) * 0.1)
    targets = targets_of(distances)
    # What is far from the surface has but to stay on its side; what is near decides where the surface is.
    weights = weights_of(distances)
    optimizer = torch.optim.Adam(
        [{"params": [planes], "lr": 2e-2}, {"params": decoder.parameters(), "lr": 4e-3}], betas=(0.9, 0.99)
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        chosen = torch.randint(len(points), (BATCH,), generator=generator)
        features = sample_planes(planes, points[chosen] / SCENE_RADIUS).flatten(0, 1).mT
        raw = decoder(features)
        weight = weights[chosen]
        loss = (weight * functional.smooth_l1_loss(raw[:, 0], targets[chosen], reduction="none", beta=0.2)).mean()
        loss = loss + 4 * (weight[:, None] * (raw[:, 1:].sigmoid() - colours[chosen]) ** 2).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return Scene(name=shape.name, planes=planes.detach(), decoder=decoder.requires_grad_(requires_grad=False))


def strays(scene: Scene, shape: Shape, resolution: int = 128) -> Tensor:
    """Find grid points, (N, 3), that are on the wrong side and far from the surface."""
    points = grid_points(resolution, SCENE_RADIUS, like=scene.planes)
    inside = density_on_grid(scene.field, resolution).flatten() > SURFACE_DENSITY
    wrong = points[inside != torch.from_numpy(shape.inside(points.double().numpy()))]
    return wrong[torch.from_numpy(np.abs(shape.sdf(wrong.double().numpy())) > STRAY)]


def mend(scene: Scene, shape: Shape, *, seed: int) -> int:
    """Bring strays to their side by a little more fitting of the planes; elsewhere the scene is held to what it is.

    Returns:
        how many strays there were; with none of them the scene stays as it was.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    found = len(strays(scene, shape))
    for _ in range(MENDING_ROUNDS):
        wrong = strays(scene, shape)
        if not len(wrong):
            break
        around = wrong[rng.integers(len(wrong), size=2048)].double().numpy() + rng.normal(0, 0.015, (2048, 3))
        aim = targets_of(torch.from_numpy(shape.sdf(around)).float())
        around = torch.from_numpy(around).float()
        before = Scene(name=scene.name, planes=scene.planes.clone(), decoder=scene.decoder)
        scene.planes.requires_grad_()
        optimizer = torch.optim.Adam([scene.planes], lr=5e-4)
        for _ in range(MENDING_STEPS):
            elsewhere = (torch.rand(BATCH, 3) * 2 - 1) * SCENE_RADIUS
            elsewhere = elsewhere[torch.cdist(elsewhere, wrong).amin(dim=1) > NEAR]
            kept = before.field.raw(elsewhere)
            weight = weights_of((targets_of(torch.zeros(1)) - kept[:, 0]) / STEEPNESS)[:, None]
            loss = functional.smooth_l1_loss(decoded(scene, around)[:, 0], aim, beta=0.2)
            drift = functional.smooth_l1_loss(decoded(scene, elsewhere), kept, beta=0.2, reduction="none")
            loss = loss + 20 * (weight * drift).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        scene.planes.requires_grad_(requires_grad=False)
    return found


def decoded(scene: Scene, points: Tensor) -> Tensor:
    """Give raw density and colour, (N, 4), in a way that gradients come through."""
    return scene.decoder(sample_planes(scene.planes, points / SCENE_RADIUS).flatten(0, 1).mT)


def targets_of(distances: Tensor) -> Tensor:
    """Give the raw density that is to be at a distance from the surface."""
    surface = math.log(SURFACE_DENSITY) - DENSITY_BIAS
    return surface - STEEPNESS * distances.clamp(-MOST_INSIDE, MOST_OUTSIDE)


def weights_of(distances: Tensor) -> Tensor:
    """Give how much points count that are at a distance from the surface."""
    return 0.05 + torch.exp(-((distances / 0.03) ** 2))


def measured(scene: Scene, resolution: int) -> Score:
    """Say how near a scene is to its shape."""
    density = density_on_grid(scene.field, resolution).numpy().astype(np.float64)
    vertices, faces, *_ = marching_cubes(density - SURFACE_DENSITY, 0.0, method="lorensen")
    return score(
        SHAPES[scene.name],
        inside=density > SURFACE_DENSITY,
        radius=SCENE_RADIUS,
        vertices=vertices.astype(np.float64) / (resolution - 1) * (2 * SCENE_RADIUS) - SCENE_RADIUS,
        faces=faces[:, ::-1].astype(np.int64),  # scikit-image goes round them the other way
    )


def main() -> None:
    """Fit what is asked for and save it, or score it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SHAPES)}; all by default")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--output", type=Path, default=Path("cudawheel/triposr/scenes"))
    parser.add_argument("--mend", action="store_true", help="start from the scenes as they are")
    parser.add_argument("--score", action="store_true")
    parser.add_argument("--resolution", type=int, default=128)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.names or SHAPES:
        if options.score:
            found = measured(load_scene(name, folder=options.output), options.resolution)
            size = (options.output / f"{name}.safetensors").stat().st_size / 1024
            print(
                f"| {name} | {size:.1f} KiB | {found.iou:.4f} | {found.distance:.3f} | {found.volume_error:+.2%} "
                f"| {found.euler_characteristic} | {found.expected_euler_characteristic} "
                f"| {'yes' if found.watertight else 'no'} |"
            )
            continue
        start = time.perf_counter()
        if not options.mend:
            save_scene(fit(SHAPES[name], steps=options.steps, seed=options.seed), options.output)
        # As it was saved, so that it may be mended later with the same result.
        scene = load_scene(name, folder=options.output)
        mended = mend(scene, SHAPES[name], seed=options.seed)
        file = save_scene(scene, options.output)
        print(f"{file}: {mended} strays, {file.stat().st_size} bytes, in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
