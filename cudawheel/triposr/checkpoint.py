"""Weights: found in a folder or on a hub, checked, and loaded strictly."""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cudawheel.errors import CheckpointError, ExtraMissingError
from cudawheel.triposr.config import CONFIG_NAME, VIT_CONFIG_NAME, TripoSRConfig, read_config
from cudawheel.triposr.network import TripoSR

PUBLISHED_ID = "stabilityai/TripoSR"
# Of files that are published under a hub id: their sha256.
PUBLISHED_SHA256 = {
    (PUBLISHED_ID, "model.ckpt"): "429e2c6b22a0923967459de24d67f05962b235f79cde6b032aa7ed2ffcd970ee",
}
SAFETENSORS_NAME = "model.safetensors"
PICKLE_NAME = "model.ckpt"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SHOWN = 5
_READ_AT_ONCE = 1 << 22
_GET_AGAIN = "Get the file again, or name another folder or hub id."


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFiles:
    """Where a checkpoint lies.

    Attributes:
        config: its `config.yaml`.
        weights: `model.safetensors` or `model.ckpt`.
        vit_config: sizes of its vision transformer, where they are not DINO's.
        sha256: that of the weights, where it is known what it has to be.
    """

    config: Path
    weights: Path
    vit_config: Path | None = None
    sha256: str | None = None


def find_checkpoint(name: str, *, revision: str | None = None) -> CheckpointFiles:
    """Find a checkpoint.

    Args:
        name: a folder, or the id of a repository on the Hugging Face hub (`owner/name`).
        revision: of the repository: a branch, tag or commit.

    Raises:
        CheckpointError: there is no such folder or repository, or a file is missing in it.
        ExtraMissingError: it is on the hub, and huggingface-hub is not installed.
    """
    folder = Path(name)
    if folder.is_dir():
        return _in_folder(folder)
    if not _HUB_ID.fullmatch(name):
        raise CheckpointError(
            f"{name} is neither a folder nor the id of a repository",
            remedy=f"Name a folder that holds {CONFIG_NAME} and {PICKLE_NAME}, or a hub id such as {PUBLISHED_ID}.",
        )
    return CheckpointFiles(
        config=_from_hub(name, CONFIG_NAME, revision),
        weights=_from_hub(name, PICKLE_NAME, revision),
        sha256=PUBLISHED_SHA256.get((name, PICKLE_NAME)),
    )


def load_network(
    files: CheckpointFiles, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> TripoSR:
    """Build the network that a checkpoint describes and fill it with its weights.

    Args:
        files: where they lie.
        device: where the network is to run.
        dtype: of its parameters.

    Raises:
        CheckpointError: a file cannot be read, has another sha256 than it must, would run code, or holds other
            parameters, other shapes, or numbers that are not finite.
    """
    if files.sha256 is not None:
        require_sha256(files.weights, files.sha256)
    config = read_config(files.config, files.vit_config)
    return build_network(config, read_weights(files.weights), source=files.weights, device=device, dtype=dtype)


def build_network(
    config: TripoSRConfig,
    weights: Mapping[str, Tensor],
    *,
    source: Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> TripoSR:
    """Fill a network with weights, all of them and no others.

    Args:
        config: the network's sizes.
        weights: every parameter by name.
        source: what to name in errors.
        device: where the network is to run.
        dtype: of its parameters.

    Raises:
        CheckpointError: the weights are not those of such a network.
    """
    with torch.device("meta"):
        network = TripoSR(config)
    require_fitting(weights, network.state_dict(), source)
    network.load_state_dict({key: value.to(device, dtype) for key, value in weights.items()}, strict=True, assign=True)
    return network.requires_grad_(requires_grad=False).eval()


def read_weights(file: Path) -> dict[str, Tensor]:
    """Read a file of tensors by name, without running any code that it may hold.

    Raises:
        CheckpointError: it cannot be read, or is no such file.
    """
    try:
        weights = _read_tensors(file)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file} is not a plain file of tensors, and was not run",
            why=f"It holds, or asks for, something else than tensors: {_first_line(error)}",
            remedy="Do not load it by other means: such a file can run any code. " + _GET_AGAIN,
        ) from error
    # What PyTorch and safetensors raise for damaged files is not narrower than this.
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, AttributeError, SafetensorError) as error:
        raise CheckpointError(f"{file} cannot be read", why=_first_line(error), remedy=_GET_AGAIN) from error
    if not isinstance(weights, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in weights.items()
    ):
        raise CheckpointError(
            f"{file} holds no parameters by name", why=f"found {type(weights).__name__}", remedy=_GET_AGAIN
        )
    return weights


def require_sha256(file: Path, expected: str) -> None:
    """Let pass a file whose sha256 is as expected.

    Raises:
        CheckpointError: it is another, or the file cannot be read.
    """
    try:
        found = _sha256(file)
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read", why=str(error)) from error
    if found != expected:
        raise CheckpointError(
            f"{file} is not the file that was published",
            why=f"its sha256 is {found}, not {expected}",
            remedy="Remove it and let it be fetched again; to use other weights on purpose, name their folder.",
        )


def require_fitting(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor], source: Path) -> None:
    """Let pass weights with exactly the wanted names and shapes, whose numbers are all finite.

    Raises:
        CheckpointError: they are not so; the message shows the first few of each fault.
    """
    floating = {key for key, value in weights.items() if value.is_floating_point() and not value.is_sparse}
    shared = weights.keys() & wanted.keys()
    misshapen = [
        f"{key} {tuple(weights[key].shape)} instead of {tuple(wanted[key].shape)}"
        for key in sorted(shared)
        if weights[key].shape != wanted[key].shape
    ]
    faults = {
        "missing": sorted(wanted.keys() - weights.keys()),
        "not known": sorted(weights.keys() - wanted.keys()),
        "of another shape": misshapen,
        "not floating-point numbers": sorted(shared - floating),
        "not finite": [key for key in sorted(shared & floating) if not torch.isfinite(weights[key]).all()],
    }
    found = [
        f"{len(keys)} {fault}: {', '.join(keys[:_SHOWN])}{', …' if len(keys) > _SHOWN else ''}"
        for fault, keys in faults.items()
        if keys
    ]
    if found:
        raise CheckpointError(
            f"{source} does not hold the weights of the network that its config describes",
            why="\n".join(found),
            remedy=_GET_AGAIN,
        )


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while piece := stream.read(_READ_AT_ONCE):
            digest.update(piece)
    return digest.hexdigest()


def _read_tensors(file: Path) -> object:
    if file.suffix == ".safetensors":
        return load_file(file)
    return torch.load(file, map_location="cpu", weights_only=True)


def _in_folder(folder: Path) -> CheckpointFiles:
    vit_config = folder / VIT_CONFIG_NAME
    for name in (SAFETENSORS_NAME, PICKLE_NAME):
        if (folder / name).is_file():
            return CheckpointFiles(
                config=folder / CONFIG_NAME,
                weights=folder / name,
                vit_config=vit_config if vit_config.is_file() else None,
            )
    raise CheckpointError(
        f"{folder} holds no weights",
        why=f"There is neither {SAFETENSORS_NAME} nor {PICKLE_NAME}.",
        remedy=f"Put one of them there, with its {CONFIG_NAME}.",
    )


def _from_hub(name: str, file: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import hf_hub_download  # noqa: PLC0415 - slow, and needed for hub ids only
    except ImportError as error:
        raise ExtraMissingError(
            f"{name} is on a hub, and huggingface-hub is not installed",
            extra="triposr",
            otherwise="name a folder with the weights.",
        ) from error
    try:
        return Path(hf_hub_download(name, file, revision=revision))
    # The hub's errors have no common base, and those of the network below it come through.
    except Exception as error:
        raise CheckpointError(
            f"{file} of {name} could not be fetched",
            why=_first_line(error),
            remedy="Check the name and the connection, or name a folder with the weights.",
        ) from error


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
