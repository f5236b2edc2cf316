"""A thin-walled gyroid within a ball, with a distance that is refined numerically.

The solid is where (g(p) / t)^2 + (|p| / R)^20 < 1, for g = sin x cos y + sin y cos z + sin z cos x with
x = 2 pi p / period: a sheet of nearly even thickness whose rim is rounded where it comes to the ball. It is smooth
everywhere, and has no closed form of its distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

_BATCH = 65536
_ROUNDNESS = 10
# How well the foot of a perpendicular has to satisfy the surface: F changes by some 60 per unit of length.
_MET = 1e-8
# Nearer to the surface than this, well below its least radius of curvature, there is one foot and it is found at once.
_NEAR = 0.006
# Half the greatest curvature, that of the rim.
_TIGHTEST = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GyroidBall:
    """The solid.

    Attributes:
        period: length of a period of the gyroid.
        level: t, half the range of g that is solid.
        radius: R.
    """

    period: float
    level: float
    radius: float

    def implicit(self, points: Points) -> Points:
        """Give a function that is negative exactly inside; not a distance. (N, 3) -> (N,)."""
        return self._surface(points)[0]

    def sdf(self, points: Points) -> Points:
        """Give the signed distance to the surface, negative inside.

        The sign is exact. For the distance, the foot of the perpendicular is sought by descent: from one place within
        0.006 of the surface, where there is but one foot and the distance is exact to 1e-8; from nine places further
        off, where the nearest foot that was found counts: up to 0.1 that is too large by at most 0.005, and beyond it
        is an estimate.

        Args:
            points: positions, shape (N, 3).

        Returns:
            Distances, shape (N,).
        """
        parts = [self._distance(points[start : start + _BATCH]) for start in range(0, len(points), _BATCH)]
        distance = np.concatenate(parts) if parts else np.zeros(0)
        return np.where(self.implicit(points) < 0, -distance, distance)

    def _distance(self, points: Points) -> Points:
        value, slope = self._surface(points)
        near = np.abs(value) < _NEAR * np.sqrt(_dot(slope, slope))
        distance = np.empty(len(points))
        distance[near] = self._reached(points[near], self._foot(points[near], points[near], steps=16))
        distance[~near] = self._distance_from_afar(points[~near])
        return distance

    def _distance_from_afar(self, points: Points) -> Points:
        # Both faces of the sheet and its rim have to be tried: the middle of the wall leans to none of them.
        starts = [self._at_level(points, side) for side in (-self.level, self.level)]
        starts += [points + self.period / 8 * toward for toward in np.concatenate([np.eye(3), -np.eye(3)])]
        starts.append(points * (0.99 * self.radius / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-9)))
        feet = [self._foot(points, start, steps=60) for start in starts]
        nearest = np.min([self._reached(points, foot) for foot in feet], axis=0)
        # Far outside none may have settled; the last place of one is near enough to say how far.
        return np.where(np.isfinite(nearest), nearest, np.linalg.norm(points - feet[-1], axis=1))

    def _reached(self, points: Points, feet: Points) -> Points:
        """Give the distance to each foot that is on the surface, infinity for others."""
        met = np.abs(self._surface(feet)[0]) < _MET
        return np.where(met, np.linalg.norm(points - feet, axis=1), np.inf)

    def _at_level(self, points: Points, side: float) -> Points:
        """Move points towards where g is `side`."""
        for _ in range(3):
            g, slope = self._gyroid(points)
            step = -((g - side) / np.maximum(_dot(slope, slope), 1e-12))[:, None] * slope
            points = points + _limited(step, self.period / 12)
        return points

    def _foot(self, points: Points, feet: Points, *, steps: int) -> Points:
        """Find q on the surface with q - p along its normal, from a first guess.

        Each step goes along the plane that touches the level of F at q, a part of the way to where the perpendicular
        from p meets it, and onto the surface; the last ones only do the latter. A part, because the whole way
        overshoots where p is further off than the surface's radius of curvature.

        Args:
            points: p, shape (N, 3).
            feet: first guesses of q, shape (N, 3).
            steps: how many.
        """
        for number in range(steps + 5):
            value, slope = self._surface(feet)
            squared = np.maximum(_dot(slope, slope), 1e-12)
            step = -(value / squared)[:, None] * slope
            if number < steps:
                away = points - feet
                part = 1 / (1 + _TIGHTEST * np.linalg.norm(away, axis=1, keepdims=True))
                step = step + part * (away - (_dot(away, slope) / squared)[:, None] * slope)
            feet = feet + _limited(step, self.period / 16)
        return feet

    def _surface(self, points: Points) -> tuple[Points, Points]:
        """Give F, shape (N,), negative inside, and its gradient, shape (N, 3)."""
        g, slope = self._gyroid(points)
        squared = _dot(points, points) / self.radius**2
        ball = squared**_ROUNDNESS
        # The root makes F grow like a distance, not like a square, which Newton's method prefers.
        root = np.sqrt((g / self.level) ** 2 + ball + 1e-30)
        pull = _ROUNDNESS * squared ** (_ROUNDNESS - 1) / self.radius**2
        gradient = (g / self.level**2)[:, None] * slope + pull[:, None] * points
        return root - 1, gradient / root[:, None]

    def _gyroid(self, points: Points) -> tuple[Points, Points]:
        """Give g, shape (N,), and its gradient, shape (N, 3)."""
        wave = 2 * np.pi / self.period
        (sx, sy, sz), (cx, cy, cz) = np.sin(wave * points).T, np.cos(wave * points).T
        g = sx * cy + sy * cz + sz * cx
        return g, wave * np.stack([cx * cy - sz * sx, cy * cz - sx * sy, cz * cx - sy * sz], axis=1)


def _dot(left: Points, right: Points) -> Points:
    product: Points = np.einsum("ij,ij->i", left, right)
    return product


def _limited(step: Points, longest: float) -> Points:
    """Shorten steps, shape (N, 3), to a length; far from the surface a touching plane says little."""
    length = np.linalg.norm(step, axis=1, keepdims=True)
    shortened: Points = step * np.minimum(1, longest / np.maximum(length, 1e-30))
    return shortened
