"""Pinhole cameras that look at the middle of a scene, z up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """Where a picture is taken from.

    The defaults are the original's: its first view lies on the x axis.

    Attributes:
        azimuth: degrees around the z axis, from +x towards +y.
        elevation: degrees above the xy plane, less than 90 either way.
        distance: from the middle of the scene.
        field_of_view: degrees from the picture's lower to its upper edge.
        target: what lies in the middle of the picture.
    """

    azimuth: float = 0.0
    elevation: float = 0.0
    distance: float = 1.9
    field_of_view: float = 40.0
    target: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def position(self) -> Array:
        """Where it stands, (3,)."""
        azimuth, elevation = np.radians(self.azimuth), np.radians(self.elevation)
        out = [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
        return np.array(self.target) + self.distance * np.array(out)

    @property
    def axes(self) -> Array:
        """Its own axes in the scene, (3, 3): right, up, and forward."""
        forward = np.array(self.target) - self.position
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, _UP)
        right = right / np.linalg.norm(right)
        return np.stack([right, np.cross(right, forward), forward])

    def rays(self, height: int, width: int) -> Array:
        """Give the direction of length 1 through the middle of each pixel, (H, W, 3), the upper row first."""
        focal = height / 2 / np.tan(np.radians(self.field_of_view) / 2)
        rows, columns = np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")
        own = np.stack([(columns - width / 2) / focal, (height / 2 - rows) / focal, np.ones_like(rows)], axis=-1)
        directions = own @ self.axes
        unit: Array = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
        return unit

    def project(self, points: Array, height: int, width: int) -> tuple[Array, Array]:
        """Say where points appear.

        Args:
            points: (N, 3).
            height: of the picture, in pixels.
            width: of the picture, in pixels.

        Returns:
            (N, 2), column and row in pixels, pixel 0 reaching from 0 to 1; and the depth along the view, (N,).
        """
        own = (points - self.position) @ self.axes.T
        focal = height / 2 / np.tan(np.radians(self.field_of_view) / 2)
        depth = own[:, 2]
        places = np.stack([width / 2 + focal * own[:, 0] / depth, height / 2 - focal * own[:, 1] / depth], axis=1)
        return places, depth
