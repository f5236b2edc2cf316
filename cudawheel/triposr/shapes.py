"""The shapes that scenes are fitted to: distance, volume, Euler characteristic and colour of each, known exactly.

They stand in the cube of a scene, z up, facing +x as the camera of the first view sees them. numpy is all they need, so
that whoever checks a mesh against them depends on nothing that made it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cudawheel.triposr.boxes import BoxUnion
from cudawheel.triposr.gyroid import GyroidBall

Points = npt.NDArray[np.float64]

_RING_RADIUS, _TUBE_RADIUS = 0.5, 0.2
_CLOTH = np.array([[-0.26, -0.42, -0.09], [0.42, 0.42, 0.05]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A solid about which everything is known.

    Attributes:
        name: what it is called on the command line.
        sdf: signed distance to the surface, negative inside, (N, 3) -> (N,) in float64; how exact it is, the
            function says.
        inside: whether points are inside, (N, 3) -> (N,); the sign of the distance, and quicker.
        colour: red, green and blue in 0..1 at points near the surface, (N, 3) -> (N, 3).
        volume: of the solid, in cubic units of the scene.
        euler_characteristic: vertices - edges + faces of the closed surface.
    """

    name: str
    sdf: Callable[[Points], Points]
    inside: Callable[[Points], npt.NDArray[np.bool_]]
    colour: Callable[[Points], Points]
    volume: float
    euler_characteristic: int


def chair_boxes() -> BoxUnion:
    """Give the chair: a seat, four legs of which the rear ones rise to the back, and two rails between these."""
    boxes = [
        # centre x, y, z; half width in x, y, z
        (0.00, 0.00, -0.06, 0.40, 0.40, 0.06),
        (0.32, 0.32, -0.37, 0.06, 0.06, 0.33),
        (0.32, -0.32, -0.37, 0.06, 0.06, 0.33),
        (-0.33, 0.33, 0.00, 0.06, 0.06, 0.70),
        (-0.33, -0.33, 0.00, 0.06, 0.06, 0.70),
        (-0.33, 0.00, 0.57, 0.05, 0.33, 0.09),
        (-0.33, 0.00, 0.28, 0.05, 0.33, 0.07),
    ]
    table = np.array(boxes)
    return BoxUnion(low=table[:, :3] - table[:, 3:], high=table[:, :3] + table[:, 3:])


def torus_sdf(points: Points) -> Points:
    """Give the exact signed distance to a torus around the z axis, (N, 3) -> (N,)."""
    ring = np.hypot(points[:, 0], points[:, 1]) - _RING_RADIUS
    distance: Points = np.hypot(ring, points[:, 2]) - _TUBE_RADIUS
    return distance


def _chair_colour(points: Points) -> Points:
    """Wood, somewhat darker towards the floor; the seat is covered with red cloth."""
    height = np.clip((points[:, 2:] + 0.7) / 1.4, 0, 1)
    wood = np.array([0.42, 0.24, 0.12]) + height * np.array([0.30, 0.22, 0.14])
    low, high = _CLOTH
    on_seat = np.all((points > low) & (points < high), axis=1, keepdims=True)
    return np.where(on_seat, np.array([0.72, 0.16, 0.14]), wood)


def _torus_colour(points: Points) -> Points:
    """A hue that goes round the ring once."""
    angle = np.arctan2(points[:, 1], points[:, 0])
    phase = np.array([0.0, 2 * np.pi / 3, 4 * np.pi / 3])
    colour: Points = 0.55 + 0.35 * np.cos(angle[:, None] - phase)
    return colour


def _gyroid_colour(points: Points) -> Points:
    """Deep blue at the middle, pale gold at the rim."""
    out = np.clip(np.linalg.norm(points, axis=1, keepdims=True) / 0.7, 0, 1)
    return (1 - out) * np.array([0.10, 0.20, 0.55]) + out * np.array([0.93, 0.76, 0.42])


def _shapes() -> dict[str, Shape]:
    boxes = chair_boxes()
    chair = Shape(
        name="chair",
        sdf=boxes.sdf,
        inside=boxes.contains,
        colour=_chair_colour,
        volume=boxes.volume,
        euler_characteristic=boxes.euler_characteristic,
    )
    torus = Shape(
        name="torus",
        sdf=torus_sdf,
        inside=lambda points: torus_sdf(points) < 0,
        colour=_torus_colour,
        volume=2 * np.pi**2 * _RING_RADIUS * _TUBE_RADIUS**2,
        euler_characteristic=0,
    )
    ball = GyroidBall(period=0.84, level=0.4, radius=0.7)
    gyroid = Shape(
        name="gyroid",
        sdf=ball.sdf,
        inside=lambda points: ball.implicit(points) < 0,
        colour=_gyroid_colour,
        # Both by counting on a regular grid until nothing changed any more; a test does it again.
        volume=0.341557,
        euler_characteristic=-30,
    )
    return {shape.name: shape for shape in (chair, torus, gyroid)}


SHAPES: dict[str, Shape] = _shapes()
"""All shapes by their names."""
