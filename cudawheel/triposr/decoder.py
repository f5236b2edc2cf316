"""The decoder: a perceptron from the features of a point to its raw density and raw colour."""

from __future__ import annotations

from torch import Tensor, nn

from cudawheel.triposr.config import DecoderConfig

# Raw density, then raw red, green and blue.
OUTPUTS = 4


class Decoder(nn.Module):
    """`n_hidden_layers` layers of `n_neurons` with SiLU, then a linear map to four numbers."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        widths = [config.in_channels, *[config.n_neurons] * config.n_hidden_layers]
        layers: list[nn.Module] = []
        for i in range(config.n_hidden_layers):
            layers += [nn.Linear(widths[i], widths[i + 1]), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], OUTPUTS))

    @property
    def linear_layers(self) -> list[nn.Linear]:
        """The linear maps alone, first to last; a SiLU stands between any two."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def forward(self, features: Tensor) -> Tensor:
        """Carry features, (N, 3 x F), plane by plane, to (N, 4)."""
        return self.layers(features)
