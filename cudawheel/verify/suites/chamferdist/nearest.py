"""Checks of the neighbours themselves, in any number, dimension and size."""

from __future__ import annotations

import functools

import numpy as np

from cudawheel.verify.oracles.neighbours import Faults
from cudawheel.verify.suite import Check, Measured
from cudawheel.verify.suites.chamferdist.subject import Subject, cloud, report, run

# (P1, P2) of clouds: one point, fewer than a warp or a block, just one more, and far apart.
_SIZES = ((1, 1), (1, 40), (40, 1), (31, 33), (257, 100), (100, 513))


def dimensions(k: int, numbers: tuple[int, ...], subject: Subject, device: str) -> Measured:
    """Ask for K neighbours in spaces of several dimensions."""
    parts = [
        run(subject, cloud(d, 2, 70, d), cloud(100 + d, 2, 90, d), k, device)
        for d in (numbers[:3] if subject.quick else numbers)
    ]
    return report(Faults.join(parts), f"K = {k} in {', '.join(map(str, numbers))} dimensions")


def sizes(subject: Subject, device: str) -> Measured:
    """Ask in clouds of very different sizes."""
    parts = [run(subject, cloud(one, 3, one, 3), cloud(100 + other, 3, other, 3), 1, device) for one, other in _SIZES]
    return report(Faults.join(parts), ", ".join(f"{one} among {other}" for one, other in _SIZES))


def numbers(subject: Subject, device: str) -> Measured:
    """Ask for few and for many neighbours, up to all there are."""
    counts = (1, 2, 3, 4, 5, 8, 16, 32, 33, 60)
    one, other = cloud(1, 2, 50, 3), cloud(2, 2, 60, 3)
    parts = [run(subject, one, other, k, device) for k in counts]
    return report(Faults.join(parts), f"K = {', '.join(map(str, counts))} of 60")


def batches(subject: Subject, device: str) -> Measured:
    """Give many clouds at a time, no two alike."""
    count = 8 if subject.quick else 40
    # Each cloud lies elsewhere, so that a neighbour from another is far away.
    places = np.arange(count, dtype=np.float32)[:, None, None] * 7
    one, other = cloud(3, count, 20, 3) + places, cloud(4, count, 30, 3) + places
    return report(run(subject, one, other, 2, device), f"{count} clouds")


def many(subject: Subject, device: str) -> Measured:
    """Give more points than a grid of 256 blocks of 256 threads takes at once."""
    count = 3000 if subject.quick else 70_001
    return report(run(subject, cloud(5, 1, count, 3), cloud(6, 1, 37, 3), 1, device), f"{count} points among 37")


def lengths(subject: Subject, device: str) -> Measured:
    """Give clouds of different lengths in one batch; what is behind their ends would be nearest."""
    count1, count2 = np.array([40, 1, 17, 0, 40]), np.array([50, 50, 1, 20, 33])
    one, other = cloud(7, 5, 40, 3), cloud(8, 5, 50, 3)
    for n, end in enumerate(count2):
        other[n, end:] = 0
        one[n] /= 4
    parts = [run(subject, one, other, k, device, lengths=(count1, count2)) for k in (1, 3)]
    return report(Faults.join(parts), "5 clouds with 0 to 40 points, among 1 to 50")


def too_few(subject: Subject, device: str) -> Measured:
    """Ask for more neighbours than there are points: the rest is padding."""
    count1, count2 = np.array([12, 12, 5]), np.array([2, 7, 1])
    one, other = cloud(9, 3, 12, 3), cloud(10, 3, 7, 3)
    parts = [
        *(run(subject, one, other, k, device, lengths=(count1, count2)) for k in (3, 6, 9)),
        run(subject, one, other, 10, device),
    ]
    return report(Faults.join(parts), "K = 3, 6, 9 and 10 of 1 to 7")


def ties(subject: Subject, device: str) -> Measured:
    """Give points on a coarse lattice, where most have several neighbours at one distance."""
    random = np.random.default_rng(20)
    one, other = (random.integers(0, 4, (2, count, 3)).astype(np.float32) for count in (60, 80))
    parts = [run(subject, one, other, k, device) for k in (1, 4, 20)]
    return report(Faults.join(parts), "4 x 4 x 4 places for 80 points")


def far_away(subject: Subject, device: str) -> Measured:
    """Put both clouds far from the origin, where products of coordinates have lost the distance."""
    away = np.array([1000, -2000, 4000], np.float32)
    faults = run(subject, cloud(11, 2, 60, 3) + away, cloud(12, 2, 70, 3) + away, 3, device)
    return report(faults, "coordinates of up to 4000, distances of about 1")


CHECKS = (
    Check(
        name="nearest neighbour",
        claim="The nearest neighbour of each point is found, in 1 to 40 dimensions.",
        run=functools.partial(dimensions, 1, (2, 3, 5, 1, 4, 7, 8, 9, 16, 31, 32, 33, 40)),
    ),
    Check(
        name="several neighbours",
        claim="So are the 5 nearest, nearest first.",
        run=functools.partial(dimensions, 5, (2, 3, 5, 1, 7, 8, 9, 32, 33)),
    ),
    Check(name="any number", claim="And any number of them.", run=numbers),
    Check(name="sizes", claim="That holds for clouds of any size, of one point too.", run=sizes),
    Check(name="batches", claim="Each cloud of a batch is searched on its own.", run=batches),
    Check(name="many points", claim="That holds for more points than a grid of blocks has threads.", run=many),
    Check(name="lengths", claim="Points behind the length of a cloud do not exist.", run=lengths),
    Check(name="fewer than asked for", claim="Where there are fewer neighbours the rest is 0.", run=too_few),
    Check(name="ties", claim="Of points that are equally near none is named twice.", run=ties),
    Check(name="far from the origin", claim="Distances do not suffer from large coordinates.", run=far_away),
)
