"""What has to be installed to build a variant."""

from __future__ import annotations

from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cudawheel.builder.own_wheel import own_wheel
from cudawheel.model.variant import Variant
from cudawheel.recipe.settings import BuildSettings
from cudawheel.toolchain.provide import requirements as toolchain_requirements
from cudawheel.toolchain.toolchain import ToolchainKind


def build_requires(
    declared: tuple[str, ...], settings: BuildSettings, variant: Variant, kind: ToolchainKind, own: Path
) -> tuple[str, ...]:
    """Put together all build requirements of a variant.

    Args:
        declared: what the project's pyproject.toml asks for.
        own: folder where a wheel of cudawheel itself may be kept, for projects that use its backend.

    Raises:
        ToolchainError: the package index has no toolkit of this CUDA.
    """
    wanted = [*declared, *settings.requires, f"torch=={variant.torch}.*"]
    wanted += toolchain_requirements(kind, variant.cuda)
    if uses_own_backend(declared):
        # The running cudawheel, not whichever an index may hold.
        wanted.append(f"cudawheel @ {own_wheel(own).as_uri()}")
    return tuple(wanted)


def uses_own_backend(declared: tuple[str, ...]) -> bool:
    """Whether a project is built by `cudawheel.backend`."""
    return any(canonicalize_name(Requirement(text).name) == "cudawheel" for text in declared)
