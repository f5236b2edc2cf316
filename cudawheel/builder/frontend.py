"""Driving a package's own PEP 517 backend through pypa/build."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from build import BuildBackendException, BuildException, ProjectBuilder
from pyproject_hooks import BackendUnavailable

from cudawheel.builder.diagnosis import diagnose
from cudawheel.builder.environment import Environment
from cudawheel.errors import BuildError, DiskFullError
from cudawheel.model.progress import Progress
from cudawheel.process import Finished, stream
from cudawheel.schedule.watch import MemoryWatch

_NINJA_EDGE = re.compile(r"^\[(\d+)/(\d+)\]")
_TAIL_LINES = 20


def static_requires(project: Path) -> tuple[str, ...]:
    """Give what the project's pyproject.toml asks for before its backend can speak.

    Raises:
        BuildError: there is no pyproject.toml or setup.py, or it cannot be read.
    """
    try:
        return tuple(sorted(ProjectBuilder(project).build_system_requires))
    except (BuildException, OSError) as error:
        raise BuildError(
            f"{project.name} is not a project that can be built",
            why=str(error),
            remedy="Check `subdirectory` of the recipe's source: pyproject.toml or setup.py has to lie there.",
        ) from error


class Backend:
    """A package's build backend, run inside its build environment, with its whole output in a log file."""

    def __init__(
        self, project: Path, environment: Environment, environ: Mapping[str, str], *, log: Path, progress: Progress
    ) -> None:
        self._environ = environ
        self._log = log
        self._progress = progress
        self._last: Finished | None = None
        self.watch = MemoryWatch(progress.memory)
        self._builder = ProjectBuilder(project, python_executable=str(environment.python), runner=self._run)

    def dynamic_requires(self, config_settings: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
        """Ask the backend what else it needs to build a wheel.

        Raises:
            BuildError: the backend failed.
        """
        self._progress.phase("backend", "asking what it needs")
        try:
            with _quiet():
                return tuple(sorted(self._builder.get_requires_for_build("wheel", _plain(config_settings))))
        except (BuildBackendException, BackendUnavailable) as error:
            raise self._failure("the package's build backend does not say what it needs", error) from error

    def build_wheel(self, config_settings: Mapping[str, Sequence[str]], into: Path) -> Path:
        """Build the wheel into a folder and give its path.

        Raises:
            OutOfMemoryError: a compiler was killed or ran out of memory.
            BuildError: the backend failed otherwise; the error carries the cause where it is known.
        """
        self._progress.phase("compiling")
        into.mkdir(parents=True, exist_ok=True)
        try:
            with self.watch, _quiet():
                return Path(self._builder.build("wheel", into, _plain(config_settings)))
        except (BuildBackendException, BackendUnavailable) as error:
            raise self._failure("the package did not build", error) from error

    def _run(self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        self._last = stream(
            cmd,
            log=self._log,
            env=self._environ,
            extra_env=extra_environ,
            cwd=Path(cwd) if cwd else None,
            on_line=self._hear,
            on_start=self.watch.follow,
        )
        if not self._last.ok:
            message = f"the backend ended with exit status {self._last.code}"
            raise BuildError(message)

    def _hear(self, line: str) -> None:
        if match := _NINJA_EDGE.match(line):
            self._progress.steps(int(match[1]), int(match[2]))

    def _failure(self, what: str, error: Exception) -> BuildError | DiskFullError:
        output = self._log.read_text(encoding="utf-8", errors="replace")
        tail = self._last.output.splitlines()[-_TAIL_LINES:] if self._last else [str(error)]
        return diagnose(what, output=output, tail=tail, log=self._log)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave to the log what build reads out of a backend's output as warnings, such as torch's about NumPy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _plain(config_settings: Mapping[str, Sequence[str]]) -> dict[str, str | Sequence[str]]:
    return dict(config_settings)
