"""Options that several commands share, and what they read from this machine and its environment."""

from __future__ import annotations

import math
import platform
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from platformdirs import user_cache_path, user_config_path

from cudawheel.cli import suggestions
from cudawheel.data import capability_names
from cudawheel.errors import UsageError
from cudawheel.model.capability_request import CapabilityRequest
from cudawheel.model.version import CudaVersion, PythonVersion, TorchVersion
from cudawheel.plan.plan import Machine, Selection
from cudawheel.schedule.budget import BudgetRequest
from cudawheel.toolchain.gpus import visible_gpus

_Command = TypeVar("_Command", bound=Callable[..., Any])

_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[KMGT]?)(?:i?B)?", re.IGNORECASE)
_LEAST_MEMORY = 1 << 20
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

recipe_argument = click.argument(
    "recipe", type=click.Path(path_type=Path), metavar="RECIPE", shell_complete=suggestions.recipes
)


def selection_options(command: _Command) -> _Command:
    """Add --python, --torch, --cuda, --capabilities and --toolchain to a command."""
    options = (
        click.option("--python", "python_text", metavar="X.Y", help="This Python alone."),
        click.option("--torch", "torch_text", metavar="X.Y", help="This torch alone."),
        click.option("--cuda", "cuda_text", metavar="X.Y", help="This CUDA instead of the one torch was built with."),
        click.option(
            "--capabilities",
            "capabilities_text",
            metavar="LIST",
            help="Compute capabilities instead of the recipe's: 8.6;12.0+PTX, Blackwell, 'RTX 5070 Ti', native, …",
        ),
        click.option(
            "--toolchain",
            type=click.Choice(["package", "system", "redist"]),
            default="package",
            show_default=True,
            help="Where nvcc comes from: the package index, this system, or NVIDIA's archives.",
        ),
        click.option("--source", metavar="LABEL", help="Use this source of the recipe and no other."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def budget_options(command: _Command) -> _Command:
    """Add --memory, --jobs and --force to a command."""
    options = (
        click.option("--memory", "memory_text", metavar="SIZE", help="At most so much memory, such as 12G."),
        click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="At most so many compilers at once."),
        click.option("--force", is_flag=True, help="Build even where one compiler does not fit into the memory."),
    )
    for option in reversed(options):
        command = option(command)
    return command


cache_option = click.option(
    "--cache", type=click.Path(path_type=Path), envvar="CUDAWHEEL_CACHE", help="Folder for all that outlives a build."
)


def read_budget(*, memory_text: str | None, jobs: int | None, force: bool) -> BudgetRequest:
    """Turn the words of the command line into what may be used.

    Raises:
        UsageError: the memory cannot be read, or is none.
    """
    memory = parse_size(memory_text) if memory_text is not None else None
    return BudgetRequest(memory=memory, jobs=jobs, force=force)


def parse_size(text: str) -> int:
    """Read an amount of memory: `12G`, `12 GiB`, `12.5GB`, `8192M`, or bytes.

    Raises:
        UsageError: it cannot be read, or is less than a mebibyte, which nobody means.
    """
    match = _SIZE.fullmatch(text.strip())
    size = float(match["number"]) * _UNITS[match["unit"].upper()] if match else 0.0
    if not _LEAST_MEMORY <= size < math.inf:
        raise UsageError(
            f"--memory {text!r} is no amount of memory",
            remedy="Write gibibytes as 12G, mebibytes as 8192M. Without it all free memory is used but for a reserve.",
        )
    return int(size)


def read_selection(
    *,
    python_text: str | None,
    torch_text: str | None,
    cuda_text: str | None,
    capabilities_text: str | None,
    toolchain: str,
) -> Selection:
    """Turn the words of the command line into a selection.

    Raises:
        UsageError: a version cannot be read.
        CapabilityError: the capabilities cannot be read.
    """
    capabilities = None
    if capabilities_text is not None:
        capabilities = CapabilityRequest.parse(capabilities_text, capability_names())
    return Selection(
        python=PythonVersion.parse(python_text) if python_text is not None else None,
        torch=TorchVersion.parse(torch_text) if torch_text is not None else None,
        cuda=CudaVersion.parse(cuda_text) if cuda_text is not None else None,
        capabilities=capabilities,
        toolchain=toolchain,
    )


def this_machine(request: CapabilityRequest | None) -> Machine:
    """Give the facts of this machine; its GPUs are looked for only if a request asks for them."""
    gpus = visible_gpus() if request is not None and request.asks_this_machine else ()
    python = PythonVersion(sys.version_info.major, sys.version_info.minor)
    return Machine(machine=platform.machine(), python=python, gpus=gpus)


def cache_folder(chosen: Path | None) -> Path:
    """Give the cache: --cache or CUDAWHEEL_CACHE, else the user's cache folder."""
    return chosen or user_cache_path("cudawheel")


def keys_folder() -> Path:
    """Give the folder of this person's keys."""
    return user_config_path("cudawheel") / "keys"
