"""The backbone: triplane tokens attend to each other and to the image tokens.

GEGLU is Shazeer's, arXiv:2002.05202; the form of the block is that of the latent diffusion models, arXiv:2112.10752.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from cudawheel.triposr.attention import attend, project
from cudawheel.triposr.config import BackboneConfig

GROUPS = 32
GROUP_NORM_EPS = 1e-6
LAYER_NORM_EPS = 1e-5
# How much wider a block's hidden layer is than its tokens.
WIDENING = 4


class Attention(nn.Module):
    """Attention of tokens to a context: no bias but the output's."""

    def __init__(self, width: int, context_width: int, *, heads: int, head_width: int) -> None:
        super().__init__()
        inner = heads * head_width
        self.heads = heads
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_k = nn.Linear(context_width, inner, bias=False)
        self.to_v = nn.Linear(context_width, inner, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(inner, width)])

    def forward(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        """Let tokens look at a context, or at themselves.

        Args:
            tokens: (B, N, width).
            context: (B, M, context width).

        Returns:
            (B, N, width).
        """
        if context is None:
            query, key, value = project(tokens, self.to_q, self.to_k, self.to_v)
        else:
            query, (key, value) = self.to_q(tokens), project(context, self.to_k, self.to_v)
        return self.to_out[0](attend(query, key, value, heads=self.heads))


class GatedLinear(nn.Module):
    """GEGLU: of twice `hidden` outputs, one half is multiplied with the GELU (the exact one) of the other."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * hidden)

    def forward(self, tokens: Tensor) -> Tensor:
        """Carry (B, N, width) to (B, N, hidden)."""
        hidden, gate = self.proj(tokens).chunk(2, dim=-1)
        return hidden * functional.gelu(gate)


class FeedForward(nn.Module):
    """GEGLU, then a linear map back. The checkpoint counts a dropout between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            GatedLinear(width, WIDENING * width), nn.Identity(), nn.Linear(WIDENING * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Carry (B, N, width) to (B, N, width)."""
        return self.net(tokens)


class Block(nn.Module):
    """Self-attention, attention to the image, GEGLU, each after a LayerNorm and added to what came in."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        width = config.in_channels
        heads = {"heads": config.num_attention_heads, "head_width": config.attention_head_dim}
        self.norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.attn1 = Attention(width, width, **heads)
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.attn2 = Attention(width, config.cross_attention_dim, **heads)
        self.norm3 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.ff = FeedForward(width)

    def forward(self, tokens: Tensor, image_tokens: Tensor) -> Tensor:
        """Carry tokens, (B, N, width), one block on, in sight of (B, M, image width)."""
        tokens = tokens + self.attn1(self.norm1(tokens))
        tokens = tokens + self.attn2(self.norm2(tokens), image_tokens)
        return tokens + self.ff(self.norm3(tokens))


class Backbone(nn.Module):
    """GroupNorm, a linear map, the blocks, a linear map back; what came in is added to what comes out."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        width, inner = config.in_channels, config.num_attention_heads * config.attention_head_dim
        self.norm = nn.GroupNorm(GROUPS, width, eps=GROUP_NORM_EPS)
        self.proj_in = nn.Linear(width, inner)
        self.transformer_blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.proj_out = nn.Linear(inner, width)

    def forward(self, tokens: Tensor, image_tokens: Tensor) -> Tensor:
        """Give the triplane tokens of a scene.

        Args:
            tokens: (B, C, N), the learned ones.
            image_tokens: (B, M, image width).

        Returns:
            (B, C, N).
        """
        hidden = self.proj_in(self.norm(tokens).mT)
        for block in self.transformer_blocks:
            hidden = block(hidden, image_tokens)
        return self.proj_out(hidden).mT + tokens
