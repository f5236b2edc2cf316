"""Triplanes: the learned tokens, their upsampling to a scene code, and its sampling at points of space.

Three planes span the cube: their axes are (x, y), (x, z) and (y, z). The first axis of a plane runs along its columns
(W), the second along its rows (H).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from cudawheel.triposr.config import PostProcessorConfig, TokenizerConfig

PLANES = 3
# For each plane, the coordinates that index its columns and its rows.
PLANE_AXES = ((0, 1), (0, 2), (1, 2))


class TriplaneTokens(nn.Module):
    """One learned token for each cell of the three planes."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        size = config.plane_size
        self.embeddings = nn.Parameter(torch.zeros(PLANES, config.num_channels, size, size))

    def forward(self, batch: int) -> Tensor:
        """Give (batch, C, 3 x H x W): planes, in them rows, in them columns."""
        return self.embeddings.transpose(0, 1).flatten(1).expand(batch, -1, -1)

    def to_planes(self, tokens: Tensor) -> Tensor:
        """Lay tokens, (B, C, 3 x H x W), out as planes, (B, 3, C, H, W)."""
        return tokens.unflatten(-1, (PLANES, *self.embeddings.shape[-2:])).transpose(1, 2)


class TriplaneUpsampler(nn.Module):
    """From planes of tokens to the scene code: each cell becomes 2 x 2, all planes by the same weights."""

    def __init__(self, config: PostProcessorConfig) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose2d(config.in_channels, config.out_channels, kernel_size=2, stride=2)

    def forward(self, planes: Tensor) -> Tensor:
        """Carry (B, 3, C, H, W) to (B, 3, F, 2H, 2W)."""
        return self.upsample(planes.flatten(0, 1)).unflatten(0, planes.shape[:2])


def sample_planes(planes: Tensor, points: Tensor) -> Tensor:
    """Read planes where points fall on them: bilinear between cell centres, zero outside.

    Args:
        planes: (3, F, H, W).
        points: (N, 3), in -1..1 within the cube.

    Returns:
        (3, F, N).
    """
    places = torch.stack([points[:, axes] for axes in PLANE_AXES])
    return _sample(planes, places[:, None])[:, :, 0]


def sample_planes_on_grid(planes: Tensor, ticks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Read planes at all pairs of ticks: what a regular grid of points needs, since each plane sees two coordinates.

    Args:
        planes: (3, F, H, W).
        ticks: (R,), the coordinates that the grid has in each direction, in -1..1 within the cube.

    Returns:
        three maps (R, R, F), of (x, y), (x, z) and (y, z): the first index is that of the coordinate named first.
    """
    first, second = torch.meshgrid(ticks, ticks, indexing="ij")
    places = torch.stack([first, second], dim=-1).expand(PLANES, -1, -1, -1)
    xy, xz, yz = _sample(planes, places).permute(0, 2, 3, 1).contiguous()
    return xy, xz, yz


def _sample(planes: Tensor, places: Tensor) -> Tensor:
    return functional.grid_sample(planes, places, mode="bilinear", padding_mode="zeros", align_corners=False)
