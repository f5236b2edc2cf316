"""The recipe as a whole."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from cudawheel.recipe.fields import (
    CapabilityRequestField,
    CudaVersionField,
    PackageName,
    PackageVersion,
    PythonVersionField,
    TorchVersionField,
)
from cudawheel.recipe.settings import BuildSettings, WheelSettings
from cudawheel.recipe.sources import Source
from cudawheel.recipe.verification import VerifySettings

DEFAULT_CAPABILITIES = "7.5;8.0;8.6;8.9;9.0;10.0;12.0+PTX"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Package(_Section):
    """What is built."""

    name: PackageName
    """Name of the distribution."""
    version: PackageVersion
    """Version of the distribution, without a local part."""


class CapabilityPolicy(_Section):
    """Which compute capabilities the wheel carries."""

    request: CapabilityRequestField = Field(default=DEFAULT_CAPABILITIES, validate_default=True)
    """Any spelling: `8.6`, `sm_86`, `12.0+PTX`, `Blackwell`, `RTX 5070 Ti`, `7.5-9.0`, `all-major`, `torch`."""
    unavailable: Literal["drop", "fail"] = "drop"
    """What happens when the planned CUDA cannot compile one: go on without it, or stop."""


class Matrix(_Section):
    """The cells: every Python with every torch, or every CUDA where there is no torch, in order of preference."""

    python: tuple[PythonVersionField, ...] = Field(min_length=1)
    """CPython versions."""
    torch: tuple[TorchVersionField, ...] = ()
    """torch releases; the first one is built when nothing is selected. None for a package that uses CUDA alone."""
    cuda: tuple[CudaVersionField, ...] = ()
    """CUDA versions; empty means whichever each torch was built with. Without torch at least one is needed."""


class Recipe(_Section):
    """A recipe: everything that is needed to build wheels of one package."""

    package: Package
    sources: tuple[Source, ...] = Field(min_length=1)
    """Tried in order; any but the first is a fallback, and said to be one."""
    capabilities: CapabilityPolicy = CapabilityPolicy()
    matrix: Matrix
    build: BuildSettings = BuildSettings()
    wheel: WheelSettings
    verify: VerifySettings | None = None
    """How its wheels are verified; without it they are only built, audited and imported."""

    def settings_for(self, source: Source) -> BuildSettings:
        """Give `[build]` as it holds for one source."""
        return source.build.apply(self.build)

    @property
    def with_torch(self) -> bool:
        """Whether the package is built against torch."""
        return bool(self.matrix.torch)

    def is_fallback(self, source: Source) -> bool:
        """Whether a source is any but the first."""
        return source.label != self.sources[0].label
