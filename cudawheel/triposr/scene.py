"""Fitted scenes: triplanes with a decoder of TripoSR's form that were fitted to known shapes, not made from a picture.

They come with cudawheel, need no download, and take the same way from triplane to mesh as the network's scene codes do.
`tools/fit_scenes.py` makes them and says how near they are to their shapes; docs/scenes.md keeps what it said.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cudawheel.errors import CheckpointError, UsageError
from cudawheel.triposr.config import DecoderConfig
from cudawheel.triposr.decoder import OUTPUTS, Decoder
from cudawheel.triposr.field import TriplaneField
from cudawheel.triposr.triplane import PLANES

SCENE_RADIUS = 0.87
"""Half the edge of a scene's cube, as in the published config."""

_FOLDER = Path(__file__).parent / "scenes"
_SUFFIX = ".safetensors"
_PLANES = "planes"
_DECODER = "decoder."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """A fitted scene.

    Attributes:
        name: that of its shape, in `cudawheel.triposr.shapes.SHAPES`.
        planes: (3, F, H, W).
        decoder: of a point's 3 x F features.
    """

    name: str
    planes: Tensor
    decoder: Decoder

    @property
    def field(self) -> TriplaneField:
        """The scene as a field over space, as a network's scene code gives one."""
        return TriplaneField(planes=self.planes, decoder=self.decoder, radius=SCENE_RADIUS)


def scene_names() -> tuple[str, ...]:
    """Give the names of the scenes that come with cudawheel."""
    return tuple(sorted(file.stem for file in _FOLDER.glob(f"*{_SUFFIX}")))


def load_scene(
    name: str, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32, folder: Path | None = None
) -> Scene:
    """Read a scene; its numbers are stored with 16 bits.

    Args:
        name: of the scene.
        device: where it is to be used.
        dtype: of its tensors.
        folder: where it lies; by default among those that come with cudawheel.

    Raises:
        UsageError: there is no such scene.
        CheckpointError: its file cannot be read or holds something else.
    """
    file = (folder or _FOLDER) / f"{name}{_SUFFIX}"
    if name != Path(name).name or not file.is_file():
        known = ", ".join(scene_names())
        raise UsageError(f"there is no scene {name!r}", remedy=f"These come with cudawheel: {known}.")
    try:
        with safe_open(file, framework="pt") as stored:
            tensors = {key: stored.get_tensor(key).to(device, dtype) for key in stored.keys()}  # noqa: SIM118 - no mapping
        planes = tensors.pop(_PLANES)
        return Scene(name=name, planes=planes, decoder=_decoder(planes, tensors))
    except (OSError, KeyError, IndexError, ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"{file} is no fitted scene", why=str(error), remedy="Install cudawheel again."
        ) from error


def save_scene(scene: Scene, folder: Path) -> Path:
    """Write a scene with 16 bits a number, and give its file."""
    tensors = {_PLANES: scene.planes, **{_DECODER + key: value for key, value in scene.decoder.state_dict().items()}}
    file = folder / f"{scene.name}{_SUFFIX}"
    save_file({key: value.to("cpu", torch.float16).contiguous() for key, value in tensors.items()}, file)
    return file


def _decoder(planes: Tensor, tensors: dict[str, Tensor]) -> Decoder:
    """Make the decoder whose parameters these are; its sizes are theirs."""
    state = {key.removeprefix(_DECODER): value for key, value in tensors.items()}
    weights = [value for value in state.values() if value.ndim > 1]
    if planes.ndim != 4 or planes.shape[0] != PLANES or not weights:  # noqa: PLR2004 - planes, features, rows, columns
        raise ValueError(f"planes of shape {tuple(planes.shape)} and {len(weights)} matrices")
    width = state["layers.0.weight"].shape[0]
    config = DecoderConfig(
        in_channels=PLANES * planes.shape[1], n_neurons=width, n_hidden_layers=len(weights) - 1, activation="silu"
    )
    with torch.device("meta"):
        decoder = Decoder(config)
    decoder.load_state_dict(state, strict=True, assign=True)
    if decoder.linear_layers[-1].weight.shape[0] != OUTPUTS:
        raise ValueError(f"a decoder with {decoder.linear_layers[-1].weight.shape[0]} outputs")
    return decoder.requires_grad_(requires_grad=False).eval()
