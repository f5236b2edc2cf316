"""One variant in, one wheel out, as the package's own backend makes it."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from packaging.requirements import Requirement

from cudawheel.builder.compiling import Compiled, Compiling
from cudawheel.builder.environment import Environment, EnvironmentSpec, provide_environment, resolve
from cudawheel.builder.frontend import static_requires
from cudawheel.builder.lock import require_none_lacking, require_same_requests, require_same_toolkit
from cudawheel.builder.order import BuildOrder, Workplace
from cudawheel.builder.requirements import build_requires
from cudawheel.builder.sources import lay_out
from cudawheel.builder.tools import Tools, find_tools
from cudawheel.model.progress import Progress
from cudawheel.schedule.timeline import Timeline
from cudawheel.toolchain.interpreter import find_python


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltWheel:
    """A wheel as the backend made it, and how.

    Attributes:
        variables: environment variables that steered the build.
        seconds: from the fetched source to the wheel.
        seconds_until_compiling: of these, the ones before the backend began to build.
        timeline: memory and compilers from there on.
        budget: what the jobserver had to give, in words.
        confinement: how the build was held, in words.
        network: what the backend had of the network, in words.
        requires: what the build asked for, as a lock keeps it.
        started_at: when it began, in UTC, as ISO 8601 writes it.
    """

    wheel: Path
    environment: Environment
    tools: Tools
    variables: dict[str, str]
    seconds: float
    seconds_until_compiling: float
    timeline: Timeline
    budget: str
    confinement: str
    network: str
    requires: tuple[str, ...]
    started_at: str


def build_variant(order: BuildOrder, place: Workplace, progress: Progress) -> BuiltWheel:
    """Build one variant from a fetched source.

    Raises:
        CudawheelError: whichever of source, interpreter, environment, toolkit, compiler or build it was; each kind
            has an error of its own.
    """
    start, started_at = time.monotonic(), datetime.now(tz=timezone.utc).isoformat(timespec="seconds")
    shutil.rmtree(place.work, ignore_errors=True)
    place.work.mkdir(parents=True)
    project = lay_out(order.fetched, order.loaded, order.settings, place.work / "source")
    spec = environment_spec(order, project, place)
    environment = _provide(spec, order, place, progress)
    tools = find_tools(order, environment, place, progress)
    if order.locked is not None:
        require_same_toolkit(order.locked, dict(tools.toolchain.components), order.lock_path)
    compiling = Compiling(project, order, place, tools, progress)
    if not (compiling.isolation.cut or order.network):
        progress.note("this machine permits no network namespace: the package's backend is not kept from the network")
    asked = compiling.requires(environment)
    missing = tuple(text for text in asked if not _satisfied(text, environment))
    if missing:
        complete = replace(spec, requirements=(*spec.requirements, *missing))
        environment = _provide(complete, order, place, progress, lacking=missing)
    began = time.monotonic()
    done: Compiled = compiling.run(environment)
    return BuiltWheel(
        wheel=done.wheel,
        environment=environment,
        tools=tools,
        variables=done.variables,
        seconds=time.monotonic() - start,
        seconds_until_compiling=began - start,
        timeline=done.timeline,
        budget=str(place.jobserver.budget),
        confinement=str(place.jobserver.confinement),
        network=str(compiling.isolation),
        requires=_as_locked(spec),
        started_at=started_at,
    )


def _provide(
    spec: EnvironmentSpec,
    order: BuildOrder,
    place: Workplace,
    progress: Progress,
    lacking: tuple[str, ...] = (),
) -> Environment:
    """Provide the build environment: as the lock says, as it is resolved today, or as it was resolved before."""
    if order.locked is not None:
        require_same_requests(order.locked, _as_locked(spec, without=lacking), order.lock_path)
        require_none_lacking(order.locked, lacking, order.lock_path)
        spec = replace(spec, pins=order.locked.pins)
    elif order.renew:
        progress.phase("environment", "resolving anew")
        spec = replace(spec, pins=resolve(spec, place.work, place.log))
    return provide_environment(spec, place.cache / "environments", place.log, progress)


def _as_locked(spec: EnvironmentSpec, without: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Say what a spec asks for, as a lock keeps it: the running cudawheel and what a backend adds are left out."""
    asked = (text for text in spec.requirements if not (Requirement(text).url or "").startswith("file:"))
    return (*(text for text in asked if text not in without), *(f"override: {text}" for text in spec.overrides))


def environment_spec(order: BuildOrder, project: Path, place: Workplace) -> EnvironmentSpec:
    """Say what the build environment of a project is to hold.

    Raises:
        PythonNotFoundError: there is no interpreter of the variant's version.
        BuildError: the project cannot be read.
    """
    interpreter = find_python(order.variant.python, environ=place.environ, running=Path(sys.executable))
    return EnvironmentSpec(
        interpreter=interpreter.path,
        requirements=build_requires(
            static_requires(project),
            order.settings,
            order.variant,
            order.toolchain,
            place.cache / "own",
            cuda_libraries=order.loaded.recipe.wheel.cuda_libraries,
        ),
        overrides=order.settings.overrides,
        hashed=True,
    )


def _satisfied(requirement: str, environment: Environment) -> bool:
    wanted = Requirement(requirement)
    # Not this process's own Python, which may be another: the environment lies in lib/python3.12/site-packages.
    python = environment.site_packages.parent.name.removeprefix("python")
    if wanted.marker is not None and not wanted.marker.evaluate({"python_version": python}):
        return True
    version = environment.version_of(wanted.name)
    return bool(version) and wanted.specifier.contains(version, prereleases=True)
