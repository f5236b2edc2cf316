"""A scene code and its decoder as a field over space: density and colour of any point."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cudawheel.triposr.decoder import Decoder
from cudawheel.triposr.portions import Portions, Progress, Tell
from cudawheel.triposr.triplane import sample_planes

# Tensors as wide as the features that sampling and decoding hold at the same time: sampled, transposed, hidden.
_LIVE_TENSORS = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TriplaneField:
    """Density and colour over the cube from -radius to radius.

    Attributes:
        planes: the scene code, (3, F, H, W).
        decoder: features of a point to raw density and colour.
        radius: half the edge of the cube.
        density_bias: what is added to the raw density before exp.
    """

    planes: Tensor
    decoder: Decoder
    radius: float
    density_bias: float = -1.0

    @torch.no_grad()
    def raw(
        self,
        points: Tensor,
        *,
        chunk_size: int | None = None,
        progress: Progress | None = None,
        tell: Tell | None = None,
    ) -> Tensor:
        """Decode points anywhere.

        Args:
            points: (N, 3), x, y, z; what lies outside the cube sees zeros where planes end.
            chunk_size: points at a time; by default as many as memory allows.
            progress: is called with the points done and all points.
            tell: is called with a sentence when memory ran out and portions become smaller.

        Returns:
            (N, 4): raw density, raw red, green and blue.

        Raises:
            DeviceMemoryError: memory does not suffice for the smallest portion.
        """
        outputs = self.planes.new_empty((len(points), 4))
        width = self.planes.shape[0] * self.planes.shape[1]
        portions = Portions(
            like=self.planes, values_each=_LIVE_TENSORS * width, chunk_size=chunk_size, progress=progress, tell=tell
        )

        def decode(start: int, stop: int) -> None:
            features = sample_planes(self.planes, points[start:stop] / self.radius)
            outputs[start:stop] = self.decoder(features.flatten(0, 1).mT)

        portions.run(len(points), decode)
        return outputs

    def density(self, raw: Tensor) -> Tensor:
        """Give the density, (N,), that raw values, (N, 4), stand for."""
        return torch.exp(raw[..., 0] + self.density_bias)

    def colour(self, raw: Tensor) -> Tensor:
        """Give red, green and blue in 0..1, (N, 3), that raw values, (N, 4), stand for."""
        return torch.sigmoid(raw[..., 1:])
