"""Driving a package's own PEP 517 backend through pypa/build."""

from __future__ import annotations

import re
import signal
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from build import BuildBackendException, BuildException, ProjectBuilder
from packaging.requirements import InvalidRequirement, Requirement
from pyproject_hooks import BackendUnavailable

from cudawheel.builder.diagnosis import diagnose
from cudawheel.builder.environment import Environment
from cudawheel.builder.isolation import Isolation, cry_for_network
from cudawheel.builder.warnings_apart import warnings_of_this_thread
from cudawheel.errors import BuildError, DiskFullError, NetworkNeededError
from cudawheel.model.progress import Progress
from cudawheel.process import Finished, stream
from cudawheel.schedule.confinement import Confinement

_NINJA_EDGE = re.compile(r"^\[(\d+)/(\d+)\]")
_TAIL_LINES = 20
NO_ISOLATION = Isolation()


def static_requires(project: Path) -> tuple[str, ...]:
    """Give what the project's pyproject.toml asks for before its backend can speak.

    Raises:
        BuildError: there is no pyproject.toml or setup.py, or it cannot be read, or what it asks for cannot.
    """
    try:
        return _readable(ProjectBuilder(project).build_system_requires)
    except (BuildException, InvalidRequirement, OSError) as error:
        raise BuildError(
            f"{project.name} is not a project that can be built",
            why=str(error),
            remedy="Check `subdirectory` of the recipe's source: pyproject.toml or setup.py has to lie there.",
        ) from error


class Backend:
    """A package's build backend, run inside its build environment, with its whole output in a log file."""

    def __init__(
        self,
        project: Path,
        environment: Environment,
        environ: Mapping[str, str],
        *,
        log: Path,
        progress: Progress,
        confinement: Confinement,
        isolation: Isolation = NO_ISOLATION,
    ) -> None:
        self._environ = environ
        self._confinement = confinement
        self._isolation = isolation
        self._log = log
        self._progress = progress
        self._last: Finished | None = None
        self._log_begins = 0
        self._builder = ProjectBuilder(project, python_executable=str(environment.python), runner=self._run)

    def dynamic_requires(self, config_settings: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
        """Ask the backend what else it needs to build a wheel.

        Raises:
            OutOfMemoryError: the backend was killed.
            BuildError: the backend failed otherwise, or asks for what is no requirement.
        """
        self._progress.phase("backend", "asking what it needs")
        try:
            with self._warnings_logged():
                return _readable(self._builder.get_requires_for_build("wheel", _plain(config_settings)))
        except (BuildBackendException, BackendUnavailable) as error:
            raise self._failure("the package's build backend does not say what it needs", error) from error
        except InvalidRequirement as error:
            raise BuildError(
                "the package's build backend asks for what is no requirement",
                why=str(error),
                remedy=f"The package has to mend that. The whole output is in {self._log}.",
            ) from error

    def build_wheel(self, config_settings: Mapping[str, Sequence[str]], into: Path) -> Path:
        """Build the wheel into a folder and give its path.

        Raises:
            OutOfMemoryError: a compiler was killed or ran out of memory.
            BuildError: the backend failed otherwise; the error carries the cause where it is known.
        """
        self._progress.phase("compiling")
        into.mkdir(parents=True, exist_ok=True)
        try:
            with self._warnings_logged():
                return Path(self._builder.build("wheel", into, _plain(config_settings)))
        except (BuildBackendException, BackendUnavailable) as error:
            raise self._failure("the package did not build", error) from error

    def _run(self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        # What came before, such as a first try that ran out of memory, is not the cause of what fails now.
        self._log_begins = self._log.stat().st_size if self._log.is_file() else 0
        self._last = stream(
            cmd,
            log=self._log,
            env=self._environ,
            extra_env=extra_environ,
            cwd=Path(cwd) if cwd else None,
            on_line=self._hear,
            hold=self._hold,
        )
        if not self._last.ok:
            message = f"the backend ended with exit status {self._last.code}"
            raise BuildError(message)

    def _hold(self, command: tuple[str, ...], lifeline: int) -> tuple[str, ...]:
        return self._confinement.command(self._isolation.command(command), lifeline)

    @contextmanager
    def _warnings_logged(self) -> Iterator[None]:
        """Write into the log what build reads out of a backend's run as warnings, such as torch's about NumPy."""
        with warnings_of_this_thread() as caught:
            try:
                yield
            finally:
                with self._log.open("a", encoding="utf-8") as log:
                    log.writelines(f"{warning}\n" for warning in caught)

    def _hear(self, line: str) -> None:
        if match := _NINJA_EDGE.match(line):
            self._progress.steps(int(match[1]), int(match[2]))

    def _failure(self, what: str, error: Exception) -> BuildError | DiskFullError:
        output = self._log.read_bytes()[self._log_begins :].decode("utf-8", errors="replace")
        tail = self._last.output.splitlines()[-_TAIL_LINES:] if self._last else [str(error)]
        if self._last and self._last.code in {-signal.SIGKILL, 128 + signal.SIGKILL}:
            # The kernel's killer, which ends whoever holds most when memory runs out, leaves no word in the output.
            # The second number is how a program in between, such as bubblewrap, passes that on.
            tail.append("the backend was ended by signal 9 (Killed)")
            output += f"\n{tail[-1]}"
        if self._isolation.cut and (cry := cry_for_network(output)):
            return network_needed(what, cry=cry, tail=tail, log=self._log)
        return diagnose(what, output=output, tail=tail, log=self._log)


def network_needed(what: str, *, cry: str, tail: Sequence[str], log: Path) -> NetworkNeededError:
    """Make the error of a build that reached for the network; `cry` is the line that says so."""
    ending = "\n".join(tail)
    return NetworkNeededError(
        f"{what}: it reached for the network",
        why=f"A build has no network once its sources and requirements are there, so that nothing goes into a wheel "
        f"that was not pinned and hashed.\n  {cry}\n\nThe output ended with:\n{ending}",
        remedy="Let the recipe bring what it fetches: in `build.requires`, in the source, or by a patch that leaves it "
        f"out. Or allow it: --network; the provenance then says so.\nThe whole output is in {log}.",
    )


def _readable(requirements: Collection[str]) -> tuple[str, ...]:
    """Sort requirements; raises InvalidRequirement if one cannot be read."""
    for text in requirements:
        Requirement(text)
    return tuple(sorted(requirements))


def _plain(config_settings: Mapping[str, Sequence[str]]) -> dict[str, str | Sequence[str]]:
    return dict(config_settings)
