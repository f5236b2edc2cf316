"""How a package is built: the part of a recipe that a source may override."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from cudawheel.recipe.fields import (
    CudaLibrary,
    EnvironmentName,
    EnvironmentValue,
    ImportName,
    RelativePath,
    RequirementText,
    TemplateItem,
    TorchAbiField,
)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class CapabilityVariable(_Section):
    """A package's own variable for the capability list, such as `FLASH_ATTN_CUDA_ARCHS=80;90;120`."""

    variable: EnvironmentName
    """Environment variable that the build reads."""
    item: TemplateItem = "{number}"
    """How one capability is written: {capability} 8.6, {number} 86, {major} 8, {minor} 6."""
    separator: str = Field(default=";", min_length=1, max_length=3)
    """What stands between two of them."""


class Replacement(_Section):
    """One exact line of the source, replaced by others."""

    file: RelativePath
    """File within the source."""
    old: str = Field(min_length=1)
    """The whole line as it stands, without its line end."""
    new: str
    """What takes its place; may be several lines."""
    hits: int = Field(default=1, ge=1)
    """How often the line must occur; any other number is an error."""


CapabilityStyle = Literal["torch", "cmake"] | CapabilityVariable


class BuildSettings(_Section):
    """How the package is built."""

    cuda: Literal["required", "optional"] = "required"
    """Whether a wheel without device code is an error."""
    abi: TorchAbiField = Field(default="torch-minor", validate_default=True)
    """What the wheel promises: `torch-minor`, or `torch-stable >= X.Y`."""
    capability_list: CapabilityStyle = Field(default="torch", alias="capability-list")
    """How the build takes the capabilities: torch's variable, CMake's, or one of its own."""
    config_settings: dict[str, str | tuple[str, ...]] = Field(default={}, alias="config-settings")
    """PEP 517 config-settings for the package's backend."""
    requires: tuple[RequirementText, ...] = ()
    """Build requirements that the package forgot to name; torch and nvcc come by themselves."""
    overrides: tuple[RequirementText, ...] = ()
    """Requirements that replace whatever anybody else asks of the same package."""
    environment: dict[EnvironmentName, EnvironmentValue] = {}
    """Environment variables that steer the package's build."""
    patches: tuple[RelativePath, ...] = ()
    """Unified diffs beside the recipe, applied in order."""
    replacements: tuple[Replacement, ...] = ()
    """Exact lines to replace, after the patches."""
    memory_per_job: float = Field(default=3.0, gt=0, le=512, alias="memory-per-job")
    """Gibibytes that one compiler process needs at its peak, until it is measured; 3 with torch headers, or less."""


class BuildOverrides(_Section):
    """Fields of `[build]` that one source answers otherwise; what is not named stays as it is."""

    cuda: Literal["required", "optional"] | None = None
    abi: TorchAbiField | None = None
    capability_list: CapabilityStyle | None = Field(default=None, alias="capability-list")
    config_settings: dict[str, str | tuple[str, ...]] | None = Field(default=None, alias="config-settings")
    requires: tuple[RequirementText, ...] | None = None
    overrides: tuple[RequirementText, ...] | None = None
    environment: dict[EnvironmentName, EnvironmentValue] | None = None
    patches: tuple[RelativePath, ...] | None = None
    replacements: tuple[Replacement, ...] | None = None
    memory_per_job: float | None = Field(default=None, gt=0, le=512, alias="memory-per-job")

    def apply(self, settings: BuildSettings) -> BuildSettings:
        """Give `settings` with the fields that are named here."""
        return settings.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})


class WheelSettings(_Section):
    """What the finished wheel must be."""

    imports: tuple[ImportName, ...] = Field(min_length=1)
    """Modules that must import in a clean environment."""
    external_libraries: tuple[str, ...] = Field(default=(), alias="external-libraries")
    """Shell patterns of shared libraries that the system provides, beside torch's, CUDA's and manylinux's."""
    cuda_libraries: tuple[CudaLibrary, ...] = Field(default=(), alias="cuda-libraries")
    """Libraries of CUDA that it needs and no torch brings: extras of cuda-toolkit, such as `cublas`. It is built with
    them, and its wheels require them."""
    check: RelativePath | None = None
    """A Python program beside the recipe that computes something with the wheel and knows the answer."""
