"""The image tokenizer: a vision transformer, pre-LayerNorm, that keeps the tokens of all patches and of the class.

Dosovitskiy et al., arXiv:2010.11929, as trained by Caron et al., arXiv:2104.14294 (DINO, ViT-B/16).
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from cudawheel.triposr.attention import attend, project
from cudawheel.triposr.config import ViTConfig

# Mean and standard deviation of ImageNet's training images, red, green, blue.
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
# Added to the number of patches where the position embedding is scaled to it, so that no rounding loses a row. It
# reaches the scale of the interpolation and shifts all of its samples, so the network has to be run with it.
_PATCHES_MORE = 0.1


class Embeddings(nn.Module):
    """Image to tokens: each patch through one linear map, the class token before them, plus the position of each."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        width, patch = config.hidden_size, config.patch_size
        self.grid = config.image_size // patch
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position_embeddings = nn.Parameter(torch.zeros(1, 1 + self.grid**2, width))
        self.patch_embeddings = nn.ModuleDict({"projection": nn.Conv2d(3, width, kernel_size=patch, stride=patch)})

    def forward(self, image: Tensor) -> Tensor:
        """Embed normalised images.

        Args:
            image: (B, 3, H, W).

        Returns:
            (B, 1 + H/patch x W/patch, width): the class token, then the patches, row by row.
        """
        patches = self.patch_embeddings["projection"](image)
        rows, columns = patches.shape[-2:]
        tokens = torch.cat([self.cls_token.expand(len(image), -1, -1), patches.flatten(2).mT], dim=1)
        return tokens + self.positions(rows, columns)

    def positions(self, rows: int, columns: int) -> Tensor:
        """Scale the learned position embedding to a grid of patches; the class token's is kept.

        Returns:
            (1, 1 + rows x columns, width).
        """
        if rows == columns == self.grid:
            return self.position_embeddings
        of_class, of_patches = self.position_embeddings[0, :1], self.position_embeddings[0, 1:]
        # One direction after the other, as matrices: on a GPU, interpolating 768 channels at once takes 2.7 ms.
        down = interpolation_matrix(self.grid, rows, like=of_patches)
        across = interpolation_matrix(self.grid, columns, like=of_patches)
        scaled = torch.einsum("ri,cj,ijw->rcw", down, across, of_patches.unflatten(0, (self.grid, self.grid)))
        return torch.cat([of_class, scaled.flatten(0, 1)])[None]


def interpolation_matrix(size: int, wanted: int, *, like: Tensor) -> Tensor:
    """Give the matrix, (wanted, size), that scales a row of `size` values to `wanted` ones, bicubically."""
    units = torch.eye(size, device=like.device, dtype=like.dtype)[None, :, :, None]
    scale = ((wanted + _PATCHES_MORE) / size, 1.0)
    return functional.interpolate(units, scale_factor=scale, mode="bicubic", align_corners=False)[0, :, :, 0].mT


class Block(nn.Module):
    """Self-attention and a two-layer perceptron, each after a LayerNorm and added to what came in."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        width, hidden = config.hidden_size, config.intermediate_size
        self.heads = config.num_attention_heads
        self.attention = nn.ModuleDict(
            {
                "attention": nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")}),
                "output": nn.ModuleDict({"dense": nn.Linear(width, width)}),
            }
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, hidden)})
        self.output = nn.ModuleDict({"dense": nn.Linear(hidden, width)})
        self.layernorm_before = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.layernorm_after = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, tokens: Tensor) -> Tensor:
        """Carry tokens, (B, N, width), one block on."""
        maps = self.attention["attention"]
        query, key, value = project(self.layernorm_before(tokens), maps["query"], maps["key"], maps["value"])
        attended = attend(query, key, value, heads=self.heads)
        tokens = tokens + self.attention["output"]["dense"](attended)
        hidden = functional.gelu(self.intermediate["dense"](self.layernorm_after(tokens)))
        return tokens + self.output["dense"](hidden)


class VisionTransformer(nn.Module):
    """Embeddings, blocks, LayerNorm. The pooler is part of every checkpoint and of no computation."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))})
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.pooler = nn.ModuleDict({"dense": nn.Linear(config.hidden_size, config.hidden_size)})

    def forward(self, image: Tensor) -> Tensor:
        """Give the tokens, (B, 1 + patches, width), of normalised images, (B, 3, H, W)."""
        tokens = self.embeddings(image)
        for block in self.encoder["layer"]:
            tokens = block(tokens)
        return self.layernorm(tokens)


class ImageTokenizer(nn.Sequential):
    """The vision transformer with the normalisation of images that it was trained with."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__(OrderedDict(model=VisionTransformer(config)))

    def forward(self, image: Tensor) -> Tensor:
        """Give the image tokens.

        Args:
            image: (B, 3, S, S) in 0..1.

        Returns:
            (B, 1 + (S/patch)^2, width).
        """
        return self.model(normalise(image))


def normalise(image: Tensor) -> Tensor:
    """Shift and scale the three channels of (B, 3, H, W) by ImageNet's mean and standard deviation."""
    mean, std = (image.new_tensor(values)[:, None, None] for values in (IMAGE_MEAN, IMAGE_STD))
    return (image - mean) / std
