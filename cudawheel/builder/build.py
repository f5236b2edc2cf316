"""One variant in, one wheel out, as the package's own backend makes it."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.requirements import Requirement

from cudawheel.builder.compiling import Compiled, Compiling
from cudawheel.builder.environment import Environment, EnvironmentSpec, provide_environment
from cudawheel.builder.frontend import static_requires
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
    spec = environment_spec(order, project, place)
    environment = provide_environment(spec, place.cache / "environments", place.log, progress)
    tools = find_tools(order, environment, place, progress)
    compiling = Compiling(project, order, place, tools, progress)
    asked = compiling.requires(environment)
    missing = tuple(text for text in asked if not _satisfied(text, environment))
    if missing:
        complete = replace(spec, requirements=(*spec.requirements, *missing))
        environment = provide_environment(complete, place.cache / "environments", place.log, progress)
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
    )


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
            static_requires(project), order.settings, order.variant, order.toolchain, place.cache / "own"
        ),
        overrides=order.settings.overrides,
    )


def _satisfied(requirement: str, environment: Environment) -> bool:
    wanted = Requirement(requirement)
    # Not this process's own Python, which may be another: the environment lies in lib/python3.12/site-packages.
    python = environment.site_packages.parent.name.removeprefix("python")
    if wanted.marker is not None and not wanted.marker.evaluate({"python_version": python}):
        return True
    version = environment.version_of(wanted.name)
    return bool(version) and wanted.specifier.contains(version, prereleases=True)
