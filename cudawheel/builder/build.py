"""One variant in, one wheel out, as the package's own backend makes it."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from cudawheel.builder.environment import Environment, EnvironmentSpec, provide_environment
from cudawheel.builder.frontend import Backend, static_requires
from cudawheel.builder.requirements import build_requires
from cudawheel.builder.sources import FetchedSource, lay_out
from cudawheel.builder.variables import capability_variables, job_variables, torch_variables
from cudawheel.errors import CapabilityError
from cudawheel.model.capability_set import CapabilitySet
from cudawheel.model.progress import Progress
from cudawheel.model.variant import Variant
from cudawheel.recipe.loading import LoadedRecipe
from cudawheel.recipe.settings import BuildSettings
from cudawheel.schedule.budget import Allocation, allocate, available_memory, usable_cores
from cudawheel.toolchain.compiler_limits import compiler_limits
from cudawheel.toolchain.environment import build_environment, search_path
from cudawheel.toolchain.host_compiler import HostCompiler, find_host_compiler
from cudawheel.toolchain.interpreter import find_python
from cudawheel.toolchain.provide import ToolchainRequest, provide
from cudawheel.toolchain.toolchain import Toolchain, ToolchainKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """Where a build may write, and what it may take from the person's environment.

    Attributes:
        cache: sources, environments and toolkits that outlive a build.
        work: the folder that this build has to itself; the same each time, since compilers write paths into
            what they make.
        log: file that receives all output.
        environ: the person's environment.
    """

    cache: Path
    work: Path
    log: Path
    environ: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltWheel:
    """A wheel as the backend made it, and how.

    Attributes:
        seconds: from the laid-out source to the wheel.
        compiling_after: seconds from the start of `build_variant` until the backend began to build.
        peak_memory: bytes that the backend and all its compilers held at most.
        largest_process: bytes that a single one of them held at most.
        variables: environment variables that steer the build.
    """

    wheel: Path
    environment: Environment
    toolchain: Toolchain
    compiler: HostCompiler
    allocation: Allocation
    variables: dict[str, str]
    seconds: float
    compiling_after: float
    peak_memory: int
    largest_process: int


def build_variant(
    loaded: LoadedRecipe,
    fetched: FetchedSource,
    settings: BuildSettings,
    variant: Variant,
    kind: ToolchainKind,
    place: Workplace,
    progress: Progress,
) -> BuiltWheel:
    """Build one variant from a fetched source.

    Raises:
        CudawheelError: whichever of source, interpreter, environment, toolkit, compiler or build it was; each kind
            has an error of its own.
    """
    start = time.monotonic()
    shutil.rmtree(place.work, ignore_errors=True)
    place.work.mkdir(parents=True)
    project = lay_out(fetched, loaded, settings, place.work / "source")
    interpreter = find_python(variant.python, environ=place.environ, running=Path(sys.executable))
    declared = static_requires(project)
    spec = EnvironmentSpec(
        interpreter=interpreter.path,
        requirements=build_requires(declared, settings, variant, kind, place.cache / "own"),
        overrides=settings.overrides,
    )
    environment = provide_environment(spec, place.cache / "environments", place.log, progress)
    toolchain = _toolchain(kind, variant, environment, place, progress)
    compiler = find_host_compiler(compiler_limits(toolchain.version, toolchain.home), place.environ)
    allocation = allocate(settings.memory_per_job, cores=usable_cores(), available=available_memory())
    progress.note(allocation.reason)
    variables = {
        **capability_variables(settings, variant.capabilities),
        **job_variables(allocation.jobs),
        **settings.environment,
    }

    def backend_in(environment: Environment) -> Backend:
        environ = build_environment(
            place.environ,
            toolchain=toolchain,
            compiler=compiler,
            path=search_path(
                place.environ.get("PATH", ""),
                first=(environment.scripts, toolchain.home / "bin"),
                shadows=place.cache / "shadows",
            ),
            extra={
                **torch_variables(environment.site_packages),
                **variables,
                "CUDAWHEEL_CUDA_HOME": str(toolchain.home),
                "TMPDIR": str(_temporary_folder(place.work)),
            },
        )
        return Backend(project, environment, environ, log=place.log, progress=progress)

    asked = backend_in(environment).dynamic_requires(settings.config_settings)
    missing = tuple(text for text in asked if not _satisfied(text, environment))
    if missing:
        spec = EnvironmentSpec(
            interpreter=spec.interpreter, requirements=(*spec.requirements, *missing), overrides=spec.overrides
        )
        environment = provide_environment(spec, place.cache / "environments", place.log, progress)
    backend = backend_in(environment)
    began = time.monotonic()
    wheel = backend.build_wheel(settings.config_settings, place.work / "wheel")
    return BuiltWheel(
        wheel=wheel,
        environment=environment,
        toolchain=toolchain,
        compiler=compiler,
        allocation=allocation,
        variables=variables,
        seconds=time.monotonic() - start,
        compiling_after=began - start,
        peak_memory=backend.watch.peak,
        largest_process=backend.watch.largest_process,
    )


def _toolchain(
    kind: ToolchainKind, variant: Variant, environment: Environment, place: Workplace, progress: Progress
) -> Toolchain:
    progress.phase("toolkit", f"CUDA {variant.cuda}")
    request = ToolchainRequest(
        cuda=variant.cuda,
        folder=place.cache / "toolkits",
        environ=place.environ,
        site_packages=environment.site_packages,
        machine=variant.machine,
    )
    toolchain = provide(kind, request)
    _refuse_unknown(variant.capabilities, toolchain)
    for note in toolchain.notes:
        progress.note(note)
    return toolchain


def _refuse_unknown(capabilities: CapabilitySet, toolchain: Toolchain) -> None:
    """Let nvcc itself have the last word on what it can compile, whatever the table said when planning."""
    known = set(toolchain.gpu_codes)
    asked = sorted({*capabilities.cubins, *capabilities.ptx})
    unknown = [capability for capability in asked if capability.base not in known]
    if unknown:
        raise CapabilityError(
            f"nvcc {toolchain.release} cannot compile for {', '.join(map(str, unknown))}",
            why=f"It knows {', '.join(map(str, sorted(known)))}.",
            remedy="Leave these capabilities out, or use another toolkit.",
        )


def _satisfied(requirement: str, environment: Environment) -> bool:
    wanted = Requirement(requirement)
    if wanted.marker is not None and not wanted.marker.evaluate():
        return True
    version = environment.version_of(wanted.name)
    return bool(version) and wanted.specifier.contains(version, prereleases=True)


def _temporary_folder(work: Path) -> Path:
    # nvcc names its intermediate files after TMPDIR, and their paths can end up in what it makes.
    folder = work / "tmp"
    folder.mkdir(exist_ok=True)
    return folder
