"""One variant in, one wheel out, as the package's own backend makes it."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.requirements import Requirement

from cudawheel.builder.environment import Environment, EnvironmentSpec, provide_environment
from cudawheel.builder.frontend import Backend, static_requires
from cudawheel.builder.order import BuildOrder, Workplace
from cudawheel.builder.requirements import build_requires
from cudawheel.builder.sources import lay_out
from cudawheel.builder.variables import flag_variables, job_variables, torch_variables
from cudawheel.errors import CapabilityError
from cudawheel.model.capability_set import CapabilitySet
from cudawheel.model.progress import Progress
from cudawheel.plan.variables import capability_variables
from cudawheel.schedule.budget import Allocation, allocate, available_memory, usable_cores
from cudawheel.toolchain.compiler_limits import compiler_limits
from cudawheel.toolchain.environment import build_environment, search_path
from cudawheel.toolchain.host_compiler import HostCompiler, find_host_compiler
from cudawheel.toolchain.interpreter import find_python
from cudawheel.toolchain.provide import ToolchainRequest, provide
from cudawheel.toolchain.toolchain import Toolchain


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltWheel:
    """A wheel as the backend made it, and how.

    Attributes:
        variables: environment variables that steered the build.
        seconds: from the fetched source to the wheel.
        seconds_until_compiling: of these, the ones before the backend began to build.
        peak_memory: bytes that the backend and all its compilers held at most.
        largest_process: bytes that a single one of them held at most.
    """

    wheel: Path
    environment: Environment
    tools: Tools
    variables: dict[str, str]
    seconds: float
    seconds_until_compiling: float
    peak_memory: int
    largest_process: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a build works with: the toolkit, the host compiler, and how many of them may run at once."""

    toolchain: Toolchain
    compiler: HostCompiler
    allocation: Allocation


def build_variant(order: BuildOrder, place: Workplace, progress: Progress) -> BuiltWheel:
    """Build one variant from a fetched source.

    Raises:
        CudawheelError: whichever of source, interpreter, environment, toolkit, compiler or build it was; each kind
            has an error of its own.
    """
    start = time.monotonic()
    shutil.rmtree(place.work, ignore_errors=True)
    place.work.mkdir(parents=True)
    project = lay_out(order.fetched, order.loaded, order.settings, place.work / "source")
    spec = _environment_spec(order, project, place)
    environment = provide_environment(spec, place.cache / "environments", place.log, progress)
    tools = _tools(order, environment, place, progress)
    variables = {
        **capability_variables(order.settings, order.variant.capabilities),
        **job_variables(tools.allocation.jobs),
        **order.settings.environment,
        **flag_variables(order.settings.environment),
    }
    environment, backend = _ready_backend(project, spec, environment, tools, variables, order, place, progress)
    began = time.monotonic()
    wheel = backend.build_wheel(order.settings.config_settings, place.work / "wheel")
    return BuiltWheel(
        wheel=wheel,
        environment=environment,
        tools=tools,
        variables=variables,
        seconds=time.monotonic() - start,
        seconds_until_compiling=began - start,
        peak_memory=backend.watch.peak,
        largest_process=backend.watch.largest_process,
    )


def _environment_spec(order: BuildOrder, project: Path, place: Workplace) -> EnvironmentSpec:
    interpreter = find_python(order.variant.python, environ=place.environ, running=Path(sys.executable))
    return EnvironmentSpec(
        interpreter=interpreter.path,
        requirements=build_requires(
            static_requires(project), order.settings, order.variant, order.toolchain, place.cache / "own"
        ),
        overrides=order.settings.overrides,
    )


def _tools(order: BuildOrder, environment: Environment, place: Workplace, progress: Progress) -> Tools:
    progress.phase("toolkit", f"CUDA {order.variant.cuda}")
    request = ToolchainRequest(
        cuda=order.variant.cuda,
        folder=place.cache / "toolkits",
        environ=place.environ,
        site_packages=environment.site_packages,
        machine=order.variant.machine,
        redist=order.redist,
        progress=progress,
    )
    toolchain = provide(order.toolchain, request)
    _refuse_unknown(order.variant.capabilities, toolchain)
    compiler = find_host_compiler(compiler_limits(toolchain.version, toolchain.home), place.environ)
    allocation = allocate(order.settings.memory_per_job, cores=usable_cores(), available=available_memory())
    for note in (*toolchain.notes, *compiler.notes, allocation.reason):
        progress.note(note)
    return Tools(toolchain=toolchain, compiler=compiler, allocation=allocation)


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


def _ready_backend(  # noqa: PLR0917 - the one place where everything of a build comes together
    project: Path,
    spec: EnvironmentSpec,
    environment: Environment,
    tools: Tools,
    variables: dict[str, str],
    order: BuildOrder,
    place: Workplace,
    progress: Progress,
) -> tuple[Environment, Backend]:
    """Ask the backend what it needs besides, install that, and give it in the environment that has everything."""

    def backend_in(environment: Environment) -> Backend:
        environ = _environ(environment, tools, variables, place)
        return Backend(project, environment, environ, log=place.log, progress=progress)

    backend = backend_in(environment)
    asked = backend.dynamic_requires(order.settings.config_settings)
    missing = tuple(text for text in asked if not _satisfied(text, environment))
    if not missing:
        return environment, backend
    complete = replace(spec, requirements=(*spec.requirements, *missing))
    environment = provide_environment(complete, place.cache / "environments", place.log, progress)
    return environment, backend_in(environment)


def _environ(environment: Environment, tools: Tools, variables: dict[str, str], place: Workplace) -> dict[str, str]:
    home = tools.toolchain.home
    path = search_path(
        place.environ.get("PATH", ""),
        first=(environment.scripts, home / "bin"),
        shadows=place.cache / "shadows",
    )
    # nvcc names its intermediate files after TMPDIR, and such a path can end up in what it makes.
    temporary = place.work / "tmp"
    temporary.mkdir(exist_ok=True)
    extra = {
        **torch_variables(environment.site_packages),
        **variables,
        "CUDAWHEEL_CUDA_HOME": str(home),
        "TMPDIR": str(temporary),
    }
    return build_environment(place.environ, toolchain=tools.toolchain, compiler=tools.compiler, path=path, extra=extra)


def _satisfied(requirement: str, environment: Environment) -> bool:
    wanted = Requirement(requirement)
    # Not this process's own Python, which may be another: the environment lies in lib/python3.12/site-packages.
    python = environment.site_packages.parent.name.removeprefix("python")
    if wanted.marker is not None and not wanted.marker.evaluate({"python_version": python}):
        return True
    version = environment.version_of(wanted.name)
    return bool(version) and wanted.specifier.contains(version, prereleases=True)
