"""What is to be built and where: the two values that a build is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cudawheel.builder.lock import LockedBuild, lock_path
from cudawheel.builder.sources import FetchedSource
from cudawheel.model.variant import Variant
from cudawheel.plan.capabilities import Verdict
from cudawheel.recipe.loading import LoadedRecipe
from cudawheel.recipe.settings import BuildSettings
from cudawheel.schedule.jobserver import Jobserver
from cudawheel.toolchain.redist import RedistSettings
from cudawheel.toolchain.toolchain import ToolchainKind


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOrder:
    """One wheel to build: a variant, from a source that lies on this machine.

    Attributes:
        fingerprint: hash of everything that goes into the wheel.
        settings: `[build]` of the recipe as it holds for this source.
        verdicts: what the plan said of every capability that was asked for.
        toolchain: where nvcc comes from.
        redist: where NVIDIA's archives lie, for toolchain `redist`.
        compiler_cache: whether compilers run behind sccache.
        network: whether the backend may use the network.
        locked: what the recipe's lock says of this build, or None.
        renew: whether the build requirements are resolved anew, whatever was resolved before.
    """

    loaded: LoadedRecipe
    fetched: FetchedSource
    fingerprint: str
    settings: BuildSettings
    variant: Variant
    verdicts: tuple[Verdict, ...] = ()
    toolchain: ToolchainKind
    redist: RedistSettings = field(default_factory=RedistSettings)
    compiler_cache: bool = False
    network: bool = False
    locked: LockedBuild | None = None
    renew: bool = False

    @property
    def lock_path(self) -> Path:
        """Where the recipe's lock lies."""
        return lock_path(self.loaded.path)

    @property
    def lock_key(self) -> tuple[str, str, str]:
        """What the lock knows this build by."""
        return self.variant.identifier, self.fetched.source.label, self.toolchain

    @property
    def fallback(self) -> str:
        """Label of the source if it is not the recipe's first, else empty."""
        source = self.fetched.source
        return source.label if self.loaded.recipe.is_fallback(source) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """Where a build may write, and what it may take from the person's environment.

    Attributes:
        cache: sources, environments and toolkits that outlive a build.
        work: the folder that this build has to itself; the same each time, since compilers write paths into
            what they make.
        log: file that receives all output.
        environ: the person's environment.
        jobserver: whom its compilers ask before they start.
    """

    cache: Path
    work: Path
    log: Path
    environ: Mapping[str, str]
    jobserver: Jobserver
