"""The door of this room: one call gives the toolkit of the kind that the plan names, and never another."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cudawheel.errors import ToolchainError
from cudawheel.model.progress import Progress, Silent
from cudawheel.model.version import CudaVersion
from cudawheel.toolchain import package, redist, system
from cudawheel.toolchain.redist import RedistSettings
from cudawheel.toolchain.toolchain import Toolchain, ToolchainKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolchainRequest:
    """What a provider may need to know.

    Attributes:
        cuda: the release that the variant's torch was built with.
        folder: where toolkits may be made and kept from build to build.
        environ: the user's environment, for `system`.
        site_packages: of the build environment, for `package`.
        machine: the processor, as `platform.machine()` writes it, for `redist`.
        redist: where archives come from, for `redist`.
        progress: told what is fetched and unpacked.
    """

    cuda: CudaVersion
    folder: Path
    environ: Mapping[str, str]
    site_packages: Path | None = None
    machine: str = field(default_factory=platform.machine)
    redist: RedistSettings = field(default_factory=RedistSettings)
    progress: Progress = field(default_factory=Silent)


def provide(kind: ToolchainKind, request: ToolchainRequest) -> Toolchain:
    """Find, compose or fetch a toolkit.

    Raises:
        ToolchainError: there is none of this kind as requested.
        SourceHashError: an archive of `redist` is not what its manifest promised.
        SourceUnsafeError: an archive of `redist` would write outside its folder.
        DiskFullError: no space is left.
        StoreError: the folder cannot be written.
    """
    return _PROVIDERS[kind](request)


def requirements(kind: ToolchainKind, cuda: CudaVersion, *, exact: str = "") -> tuple[str, ...]:
    """Say what has to be installed in the build environment before `provide` is called.

    Args:
        kind: where the toolkit is to come from.
        cuda: the release that torch was built with.
        exact: a full version of cuda-toolkit, such as `13.0.2`, instead of any patch release of `cuda`.

    Raises:
        ToolchainError: `package` has no nvcc for `cuda`.
    """
    return package.requirements(cuda, exact=exact) if kind == "package" else ()


def _package(request: ToolchainRequest) -> Toolchain:
    if request.site_packages is None:
        raise ToolchainError(
            "a toolkit out of packages needs a build environment",
            remedy="Install the environment first, and name its site-packages.",
        )
    # A toolkit of links belongs to one environment; two that share a folder must not share it.
    owner = hashlib.sha256(str(request.site_packages.absolute()).encode(errors="surrogateescape")).hexdigest()
    home = request.folder / f"cuda-{request.cuda}-{owner[:12]}"
    return package.provide(request.cuda, site_packages=request.site_packages, home=home)


def _system(request: ToolchainRequest) -> Toolchain:
    return system.provide(request.cuda, environ=request.environ)


def _redist(request: ToolchainRequest) -> Toolchain:
    return redist.provide(
        request.cuda,
        machine=request.machine,
        folder=request.folder,
        settings=request.redist,
        progress=request.progress,
    )


_PROVIDERS: Mapping[ToolchainKind, Callable[[ToolchainRequest], Toolchain]] = {
    "package": _package,
    "system": _system,
    "redist": _redist,
}
