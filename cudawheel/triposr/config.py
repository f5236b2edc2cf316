"""The sizes of a network, read from `config.yaml` as it is published beside the weights."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cudawheel.errors import CheckpointError

CONFIG_NAME = "config.yaml"
VIT_CONFIG_NAME = "vit_config.json"

_REFERENCE = re.compile(r"\$\{([\w.]+)\}")
_GROUPS = 32

Count = Annotated[int, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ViTConfig(_Section):
    """The vision transformer; the defaults are DINO's ViT-B/16, which the published `config.yaml` names only."""

    hidden_size: Count = 768
    intermediate_size: Count = 3072
    num_hidden_layers: Count = 12
    num_attention_heads: Count = 12
    image_size: Count = 224
    patch_size: Count = 16
    num_channels: Literal[3] = 3
    layer_norm_eps: float = 1e-12
    hidden_act: Literal["gelu"] = "gelu"
    qkv_bias: Literal[True] = True

    @model_validator(mode="after")
    def _heads_divide(self) -> ViTConfig:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError("hidden_size is no multiple of num_attention_heads")
        if self.image_size % self.patch_size:
            raise ValueError("image_size is no multiple of patch_size")
        return self


class ImageTokenizerConfig(_Section):
    """Where the vision transformer's sizes come from."""

    pretrained_model_name_or_path: str = "facebook/dino-vitb16"


class TokenizerConfig(_Section):
    """The learned triplane tokens: `num_channels` for each cell of three planes."""

    plane_size: Count
    num_channels: Count


class BackboneConfig(_Section):
    """The transformer between triplane tokens and image tokens."""

    in_channels: Count
    num_attention_heads: Count
    attention_head_dim: Count
    num_layers: Count
    cross_attention_dim: Count


class PostProcessorConfig(_Section):
    """The upsampling of triplane tokens to the scene code."""

    in_channels: Count
    out_channels: Count


class DecoderConfig(_Section):
    """The multilayer perceptron from a point's features to density and colour."""

    in_channels: Count
    n_neurons: Count
    n_hidden_layers: Count
    activation: Literal["silu"] = "silu"


class RendererConfig(_Section):
    """How a scene code is read: the half edge of its cube, and what becomes of the raw density."""

    radius: Annotated[float, Field(gt=0)]
    feature_reduction: Literal["concat"] = "concat"
    density_activation: Literal["exp"] = "exp"
    density_bias: float = -1.0
    num_samples_per_ray: Count = 128


class TripoSRConfig(_Section):
    """All sizes of a network. The fields are those of the published file."""

    cond_image_size: Count
    image_tokenizer_cls: Literal["tsr.models.tokenizers.image.DINOSingleImageTokenizer"]
    image_tokenizer: ImageTokenizerConfig
    tokenizer_cls: Literal["tsr.models.tokenizers.triplane.Triplane1DTokenizer"]
    tokenizer: TokenizerConfig
    backbone_cls: Literal["tsr.models.transformer.transformer_1d.Transformer1D"]
    backbone: BackboneConfig
    post_processor_cls: Literal["tsr.models.network_utils.TriplaneUpsampleNetwork"]
    post_processor: PostProcessorConfig
    decoder_cls: Literal["tsr.models.network_utils.NeRFMLP"]
    decoder: DecoderConfig
    renderer_cls: Literal["tsr.models.nerf_renderer.TriplaneNeRFRenderer"]
    renderer: RendererConfig
    vit: ViTConfig = ViTConfig()

    @model_validator(mode="after")
    def _stages_fit(self) -> TripoSRConfig:
        vit, tokenizer, backbone, post = self.vit, self.tokenizer, self.backbone, self.post_processor
        must_be = {
            "backbone.in_channels": (backbone.in_channels, tokenizer.num_channels),
            "post_processor.in_channels": (post.in_channels, backbone.in_channels),
            "decoder.in_channels": (self.decoder.in_channels, 3 * post.out_channels),
            "backbone.cross_attention_dim": (backbone.cross_attention_dim, vit.hidden_size),
            f"backbone.in_channels modulo {_GROUPS}": (backbone.in_channels % _GROUPS, 0),
            f"cond_image_size modulo {vit.patch_size}": (self.cond_image_size % vit.patch_size, 0),
        }
        wrong = [f"{name} is {found}, not {right}" for name, (found, right) in must_be.items() if found != right]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


def read_config(file: Path, vit_file: Path | None = None) -> TripoSRConfig:
    """Read a `config.yaml`.

    Args:
        file: the file.
        vit_file: a JSON file with the vision transformer's sizes; DINO's ViT-B/16 where there is none.

    Raises:
        CheckpointError: a file is missing, is no YAML, or describes another kind of network.
    """
    try:
        values = _parse(file)
        if vit_file is not None:
            values["vit"] = _parse(vit_file)
        return TripoSRConfig.model_validate({key: _resolved(value, values) for key, value in values.items()})
    except ValidationError as error:
        faults = "\n".join(
            f"{'.'.join(map(str, fault['loc'])) or file.name}: {fault['msg']}" for fault in error.errors()
        )
        raise CheckpointError(
            f"{file} does not describe a TripoSR network", why=faults, remedy="Take the config.yaml of the weights."
        ) from error


def _parse(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
        values = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{file} is missing", remedy=f"The weights lie in one folder with their {CONFIG_NAME}."
        ) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CheckpointError(f"{file} cannot be read", why=str(error)) from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{file} holds no settings", why=f"found {type(values).__name__}, not a mapping")
    return values


def _resolved(value: object, root: dict[str, Any]) -> object:
    """Follow references to other settings, written `${section.name}`; one that leads nowhere stays as it is."""
    if isinstance(value, dict):
        return {key: _resolved(inner, root) for key, inner in value.items()}
    if not isinstance(value, str) or not (match := _REFERENCE.fullmatch(value)):
        return value
    found: object = root
    for name in match[1].split("."):
        if not isinstance(found, dict) or name not in found:
            return value
        found = found[name]
    return found
