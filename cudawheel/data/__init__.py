"""What is known about the field, as data files with their sources, and the few functions that read them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from cudawheel.model.capability import ComputeCapability
from cudawheel.model.capability_request import normalise_name
from cudawheel.model.version import CudaVersion, PythonVersion, TorchVersion


def read_json(name: str) -> Any:  # noqa: ANN401 - the shape is the file's own; callers turn it into values
    """Read one data file of this folder by its name without ending."""
    return json.loads(files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8"))


# The nvidia-*-cu12 packages hold ptxas and libnvvm but no nvcc; whole toolkits on the package index begin here.
FIRST_PACKAGED_CUDA = CudaVersion(13, 0)

_SHORTEST_NUMBER = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilitySpan:
    """The CUDA releases that compile for a capability; `last` is None while it is supported."""

    first: CudaVersion
    last: CudaVersion | None = None
    successor: ComputeCapability | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchRelease:
    """A torch release on the package index: its CUDA, the Pythons it has wheels for, the capabilities it carries."""

    cuda: CudaVersion
    python_first: PythonVersion
    python_last: PythonVersion
    capabilities: tuple[ComputeCapability, ...]


@cache
def capability_spans() -> dict[ComputeCapability, CapabilitySpan]:
    """Give every known compute capability with the CUDA releases that compile for it."""
    return {
        ComputeCapability.parse(name): CapabilitySpan(
            first=CudaVersion.parse(row["first"]),
            last=CudaVersion.parse(row["last"]) if "last" in row else None,
            successor=ComputeCapability.parse(row["successor"]) if "successor" in row else None,
        )
        for name, row in read_json("compute_capabilities")["capabilities"].items()
    }


@cache
def torch_releases() -> dict[TorchVersion, TorchRelease]:
    """Give every torch release that can be planned with."""
    return {
        TorchVersion.parse(name): TorchRelease(
            cuda=CudaVersion.parse(row["cuda"]),
            python_first=PythonVersion.parse(row["python"][0]),
            python_last=PythonVersion.parse(row["python"][1]),
            capabilities=tuple(ComputeCapability.parse(word) for word in row["capabilities"].split(";")),
        )
        for name, row in read_json("torch_releases")["releases"].items()
    }


@cache
def capability_names() -> dict[str, tuple[ComputeCapability, ...]]:
    """Give the capabilities of every GPU and generation, by the name that `normalise_name` spells."""
    known = read_json("gpus")
    names = {
        normalise_name(generation): tuple(ComputeCapability.parse(word) for word in words)
        for generation, words in known["generations"].items()
    }
    for capability, gpus in known["gpus"].items():
        for gpu in gpus:
            meant = (ComputeCapability.parse(capability),)
            names[normalise_name(gpu)] = meant
            # People say `5070 Ti`, `4090` and `A6000` as well; three digits would be a capability.
            short = normalise_name(gpu.removeprefix("RTX ").removeprefix("GTX "))
            if not (short.isdigit() and len(short) < _SHORTEST_NUMBER):
                names.setdefault(short, meant)
    return names


@cache
def known_for() -> dict[ComputeCapability, str]:
    """Give the GPUs that people know each capability by, as a phrase."""
    return {ComputeCapability.parse(name): phrase for name, phrase in read_json("gpus")["known_for"].items()}


@cache
def machines_of(processor: str) -> frozenset[ComputeCapability]:
    """Give the capabilities whose GPUs sit in machines with that processor alone, by `platform.machine()`."""
    return frozenset(map(ComputeCapability.parse, read_json("gpus")["other_processor"].get(processor, ())))


@cache
def recipe_environment_patterns() -> tuple[str, ...]:
    """Give the shell patterns of environment variables that a recipe may set."""
    return tuple(read_json("recipe_environment")["allowed"])
