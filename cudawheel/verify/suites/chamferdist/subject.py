"""The wheel under test, and how its answers are taken."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cudawheel.verify.oracles.fields import Array
from cudawheel.verify.oracles.neighbours import Faults, judge
from cudawheel.verify.suite import Measured, WrongError

Tensor = Any  # torch.Tensor; the environment that checks types has no torch
Neighbours = tuple[Tensor, Tensor]

TOLERANCE = 1e-5  # of sums of some dozens of float32 squares, over 1 + the sum
_NAMES = {
    "distance": "largest error of a squared distance (over 1 + distance)",
    "index": "largest error of the distance of the point named (over 1 + distance)",
    "indices": "indices out of range or repeated",
    "padding": "padding that is not 0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The functions of the wheel, or of a wheel broken on purpose.

    Attributes:
        knn: clouds (N, P1, D) and (N, P2, D), their lengths (N,) or None each, and K -> squared distances (N, P1, K),
            ascending, and indices (N, P1, K) of points of the second cloud.
        chamfer: source (N, P1, D), target (N, P2, D), and options by name -> the chamfer distance.
        libraries: its shared objects.
        quick: whether small sizes are asked for.
    """

    knn: Callable[[Tensor, Tensor, Tensor | None, Tensor | None, int], Neighbours]
    chamfer: Callable[..., Tensor]
    libraries: tuple[Path, ...] = ()
    quick: bool = False


def load(*, quick: bool) -> Subject:
    """Import the wheel."""
    package = importlib.import_module("chamferdist")
    functions = importlib.import_module("chamferdist.chamfer")

    def knn(one: Tensor, other: Tensor, lengths1: Tensor | None, lengths2: Tensor | None, k: int) -> Neighbours:
        found = functions.knn_points(one, other, lengths1=lengths1, lengths2=lengths2, K=k)
        return found.dists, found.idx

    folder = Path(str(package.__file__)).parent
    return Subject(
        knn=knn, chamfer=package.ChamferDistance(), libraries=tuple(sorted(folder.rglob("*.so"))), quick=quick
    )


def cloud(seed: int, *shape: int) -> Array:
    """Give points of shape (N, P, D), normally distributed, float32; two seeds give other points."""
    return np.random.default_rng([19, seed]).standard_normal(shape, np.float32)


def run(
    subject: Subject, one: Array, other: Array, k: int, device: str, *, lengths: tuple[Array, Array] | None = None
) -> Faults:
    """Ask for the K nearest neighbours of all points of `one` among those of `other`, and judge the answer.

    Raises:
        WrongError: what comes back are no neighbours.
    """
    first, second = torch.from_numpy(one).to(device), torch.from_numpy(other).to(device)
    counts = [None, None] if lengths is None else [torch.from_numpy(part).to(device) for part in lengths]
    return judge_all(one, other, subject.knn(first, second, counts[0], counts[1], k), first, k, lengths)


def judge_all(  # noqa: PLR0917 - a call and its answer
    one: Array, other: Array, answer: Neighbours, like: Tensor, k: int, lengths: tuple[Array, Array] | None = None
) -> Faults:
    """Judge an answer, cloud by cloud.

    Raises:
        WrongError: what came back are no neighbours.
    """
    distances, indices = answer
    shape = (*one.shape[:2], k)
    if (tuple(distances.shape), tuple(indices.shape)) != (shape, shape):
        raise WrongError(f"shapes {tuple(distances.shape)} and {tuple(indices.shape)} instead of {shape}")
    if (distances.dtype, indices.dtype) != (like.dtype, torch.int64):
        raise WrongError(f"distances are {distances.dtype} and indices {indices.dtype}")
    if distances.device != like.device or indices.device != like.device:
        raise WrongError(f"distances are on {distances.device}, the points on {like.device}")
    far, named = distances.detach().cpu().numpy(), indices.cpu().numpy()
    full = tuple(np.full(len(one), cloud.shape[1]) for cloud in (one, other))
    pairs = zip(*(lengths or full), strict=True)
    return Faults.join(
        [judge(one[n, :count1], other[n, :count2], far[n], named[n]) for n, (count1, count2) in enumerate(pairs)]
    )


def report(faults: Faults, detail: str) -> Measured:
    """Give the figures of faults with their tolerances."""
    values = {_NAMES[name]: float(value) for name, value in asdict(faults).items()}
    tolerance = {_NAMES["distance"]: TOLERANCE, _NAMES["index"]: TOLERANCE, _NAMES["indices"]: 0, _NAMES["padding"]: 0}
    return Measured(values=values, tolerance=tolerance, detail=detail)
