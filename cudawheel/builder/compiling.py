"""Running a package's backend under the jobserver, with fewer jobs where it ran out of memory all the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cudawheel.builder.compiler_cache import provide_compiler_cache
from cudawheel.builder.costs import cost_key
from cudawheel.builder.environment import Environment
from cudawheel.builder.frontend import Backend
from cudawheel.builder.isolation import isolate
from cudawheel.builder.order import BuildOrder, Workplace
from cudawheel.builder.tools import Tools
from cudawheel.builder.variables import flag_variables, job_variables, torch_variables
from cudawheel.errors import BuildError, OutOfMemoryError
from cudawheel.model.progress import Progress
from cudawheel.plan.variables import capability_variables
from cudawheel.schedule import launcher
from cudawheel.schedule.dispatcher import Build
from cudawheel.schedule.stand_ins import write_stand_ins
from cudawheel.schedule.timeline import Timeline
from cudawheel.toolchain.environment import build_environment, search_path

# More compilers are started than can run, so that the jobserver sees the longest of them early: a backend has an order
# of its own, and a long one that is started last is what all wait for at the end.
_STARTED_PER_SLOT, _SEEN_AHEAD = 2, 8
_WHERE = "The whole output is in"
# After a want of memory outside of the jobserver's reach.
_FEWER = 4


def most_jobs(slots: int) -> int:
    """Give the number of compilers that a backend is to start at once, so many of which may run."""
    return max(_STARTED_PER_SLOT * slots, slots + _SEEN_AHEAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A wheel as the backend left it.

    Attributes:
        variables: environment variables that steered the backend.
        timeline: memory and compilers while it ran.
    """

    wheel: Path
    variables: dict[str, str]
    timeline: Timeline


class Compiling:
    """One project that is to be compiled."""

    def __init__(self, project: Path, order: BuildOrder, place: Workplace, tools: Tools, progress: Progress) -> None:
        self._project = project
        self._order = order
        self._place = place
        self._tools = self._behind_stand_ins(tools)
        self._progress = progress
        self.isolation = isolate(network=order.network)
        self._jobs = most_jobs(place.jobserver.budget.slots)
        self._build = Build(
            name=f"{order.loaded.recipe.package.name} {order.variant.identifier}",
            key=cost_key(order.loaded.recipe, order.settings, order.variant, order.fingerprint),
            folder=project,
            note=progress.note,
            # A unit that comes out of a cache costs nothing, which is not what the next one costs.
            remember=not order.compiler_cache,
        )

    def backend(self, environment: Environment) -> Backend:
        """Give the project's backend in an environment."""
        return Backend(
            self._project,
            environment,
            self._environ(environment),
            log=self._place.log,
            progress=self._progress,
            confinement=self._place.jobserver.confinement,
            isolation=self.isolation,
        )

    def requires(self, environment: Environment) -> tuple[str, ...]:
        """Ask the backend what it needs besides; a setup.py may try a compiler out before it says so.

        Raises:
            OutOfMemoryError: the backend was killed.
            BuildError: the backend failed otherwise, or asks for what is no requirement.
        """
        with self._place.jobserver.serve(self._build):
            return self.backend(environment).dynamic_requires(self._order.settings.config_settings)

    def run(self, environment: Environment) -> Compiled:
        """Build the wheel.

        Raises:
            OutOfMemoryError: a compiler found too little memory alone, or the backend did with a single job.
            BuildError: the backend failed otherwise.
        """
        jobserver = self._place.jobserver
        start = jobserver.now()
        with jobserver.serve(self._build):
            wheel = self._until_it_fits(environment)
            self._build.finished = True
        timeline = jobserver.timeline.between(start, jobserver.now())
        return Compiled(wheel=wheel, variables=self._variables(), timeline=timeline)

    def _until_it_fits(self, environment: Environment) -> Path:
        settings, into = self._order.settings.config_settings, self._place.work / "wheel"
        try:
            return self.backend(environment).build_wheel(settings, into)
        except BuildError as error:
            # A compiler that was killed may not have said a word that the output could be recognised by.
            if self._build.starved:
                why = "\n".join((*self._build.starved, error.why))
                remedy = (
                    f"Give this source more memory than that, or leave capabilities out. {_WHERE} {self._place.log}."
                )
                raise OutOfMemoryError(error.what, why=why, remedy=remedy) from error
            if self._jobs == 1 or not isinstance(error, OutOfMemoryError):
                raise
            # What was killed had not asked the jobserver: a program of the package's own.
            self._jobs = max(1, self._jobs // _FEWER)
            jobs = "one job" if self._jobs == 1 else f"{self._jobs} jobs"
            self._progress.note(
                f"{error.what}: a program that does not wait its turn ran out of memory; now with {jobs}"
            )
        return self._until_it_fits(environment)

    def _variables(self) -> dict[str, str]:
        return {
            **capability_variables(self._order.settings, self._order.variant.capabilities),
            **job_variables(self._jobs),
            **self._order.settings.environment,
            **flag_variables(self._order.settings.environment),
        }

    def _behind_stand_ins(self, tools: Tools) -> Tools:
        """Give tools whose compilers ask the jobserver before they start."""
        stand_ins = write_stand_ins(
            self._place.work / "compilers",
            cuda_home=tools.toolchain.home,
            cxx=tools.compiler.cxx,
            cc=tools.compiler.cc,
            path=self._place.environ.get("PATH", ""),
            socket=self._place.jobserver.socket,
        )
        home = stand_ins.cuda_home
        return Tools(
            toolchain=replace(tools.toolchain, home=home, nvcc=home / "bin" / "nvcc"),
            compiler=replace(tools.compiler, cxx=stand_ins.cxx, cc=stand_ins.cc),
        )

    def _compiler_cache(self, environment: Environment) -> dict[str, str]:
        if not self._order.compiler_cache:
            return {}
        found = provide_compiler_cache(
            interpreter=environment.python,
            cache=self._place.cache,
            socket=self._place.jobserver.socket.with_name(f"sccache-{self._order.fingerprint[:8]}"),
            log=self._place.log,
            progress=self._progress,
        )
        return {**found.variables, launcher.COMPILER_CACHE: str(found.program)}

    def _environ(self, environment: Environment) -> dict[str, str]:
        home, place = self._tools.toolchain.home, self._place
        path = search_path(
            place.environ.get("PATH", ""),
            first=(environment.scripts, home / "bin", self._tools.compiler.cxx.parent),
            shadows=place.cache / "shadows",
        )
        # nvcc names its intermediate files after TMPDIR, and such a path can end up in what it makes.
        temporary = place.work / "tmp"
        temporary.mkdir(exist_ok=True)
        extra = {
            **(torch_variables(environment.site_packages) if self._order.variant.torch is not None else {}),
            **self._variables(),
            "CUDAWHEEL_CUDA_HOME": str(home),
            launcher.BUILD: self._build.name,
            "TMPDIR": str(temporary),
            **self._compiler_cache(environment),
        }
        return build_environment(
            place.environ, toolchain=self._tools.toolchain, compiler=self._tools.compiler, path=path, extra=extra
        )
