"""The environment variable through which a build hears of its capabilities."""

from __future__ import annotations

from cudawheel.model.capability_set import CapabilitySet
from cudawheel.recipe.settings import BuildSettings, CapabilityVariable


def capability_variables(settings: BuildSettings, capabilities: CapabilitySet) -> dict[str, str]:
    """Write the capability list the way the package takes it.

    Raises:
        CapabilityError: the package's way cannot express the list.
    """
    style = settings.capability_list
    if isinstance(style, CapabilityVariable):
        return {style.variable: capabilities.from_template(style.item, style.separator)}
    if style == "torch":
        return {"TORCH_CUDA_ARCH_LIST": capabilities.torch_cuda_arch_list()}
    # CMake reads CUDAARCHS when nobody sets CMAKE_CUDA_ARCHITECTURES (cmake-env-variables, "CUDAARCHS").
    return {"CUDAARCHS": capabilities.cmake_cuda_architectures()}
