"""What has to be installed to build a variant, and to use its wheel."""

from __future__ import annotations

from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cudawheel.builder.own_wheel import own_wheel
from cudawheel.model.variant import Variant
from cudawheel.recipe.recipe import Recipe
from cudawheel.recipe.settings import BuildSettings
from cudawheel.toolchain.package import library_requirement
from cudawheel.toolchain.provide import requirements as toolchain_requirements
from cudawheel.toolchain.toolchain import ToolchainKind


def build_requires(
    declared: tuple[str, ...],
    settings: BuildSettings,
    variant: Variant,
    kind: ToolchainKind,
    own: Path,
    *,
    cuda_libraries: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """Put together all build requirements of a variant.

    Args:
        declared: what the project's pyproject.toml asks for.
        own: folder where a wheel of cudawheel itself may be kept, for projects that use its backend.
        cuda_libraries: those that the recipe names; of a toolkit that is installed they are a part anyway.

    Raises:
        ToolchainError: the package index has no toolkit of this CUDA.
    """
    wanted = [*declared, *settings.requires]
    if variant.torch is not None:
        wanted.append(f"torch=={variant.torch}.*")
    wanted += toolchain_requirements(kind, variant.cuda)
    if cuda_libraries and kind == "package":
        wanted.append(library_requirement(cuda_libraries, variant.cuda, exact=True))
    if uses_own_backend(declared):
        # The running cudawheel, not whichever an index may hold.
        wanted.append(f"cudawheel @ {own_wheel(own).as_uri()}")
    return tuple(wanted)


def wheel_requirements(recipe: Recipe, variant: Variant) -> tuple[str, ...]:
    """Give what a wheel has to require: its torch, and what no torch brings of CUDA."""
    libraries = recipe.wheel.cuda_libraries
    if not libraries:
        return variant.torch_requirements
    return (*variant.torch_requirements, library_requirement(libraries, variant.cuda, exact=False))


def uses_own_backend(declared: tuple[str, ...]) -> bool:
    """Whether a project is built by `cudawheel.backend`."""
    return any(canonicalize_name(Requirement(text).name) == "cudawheel" for text in declared)
