"""The network: its stages in the order in which they run."""

from __future__ import annotations

from torch import Tensor, nn

from cudawheel.triposr.backbone import Backbone
from cudawheel.triposr.config import TripoSRConfig
from cudawheel.triposr.decoder import Decoder
from cudawheel.triposr.field import TriplaneField
from cudawheel.triposr.triplane import TriplaneTokens, TriplaneUpsampler
from cudawheel.triposr.vit import ImageTokenizer


class TripoSR(nn.Module):
    """From images to scene codes. Parameters are named as in the published checkpoint."""

    def __init__(self, config: TripoSRConfig) -> None:
        super().__init__()
        self.config = config
        self.image_tokenizer = ImageTokenizer(config.vit)
        self.tokenizer = TriplaneTokens(config.tokenizer)
        self.backbone = Backbone(config.backbone)
        self.post_processor = TriplaneUpsampler(config.post_processor)
        self.decoder = Decoder(config.decoder)

    def forward(self, images: Tensor) -> Tensor:
        """Give the scene codes of images.

        Args:
            images: (B, 3, S, S) in 0..1, S being the config's `cond_image_size`.

        Returns:
            (B, 3, F, 2H, 2W): three planes of F features for each image.
        """
        image_tokens = self.image_tokenizer(images)
        tokens = self.backbone(self.tokenizer(len(images)), image_tokens)
        return self.post_processor(self.tokenizer.to_planes(tokens))

    def field(self, scene_code: Tensor) -> TriplaneField:
        """Give the field over space that a scene code, (3, F, H, W), stands for."""
        renderer = self.config.renderer
        return TriplaneField(
            planes=scene_code, decoder=self.decoder, radius=renderer.radius, density_bias=renderer.density_bias
        )
