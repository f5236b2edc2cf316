"""A CPython of the version that a variant asks for, proven by running it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from uv import find_uv_bin

from cudawheel import process
from cudawheel.errors import PythonNotFoundError
from cudawheel.model.version import PythonVersion
from cudawheel.toolchain.candidates import Rejection, tried

_SECONDS = 20.0
_QUESTION = """
import json, sys, sysconfig
print(json.dumps({
    "implementation": sys.implementation.name,
    "version": "%d.%d.%d" % sys.version_info[:3],
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "include": sysconfig.get_path("include"),
}))
"""
# Of a user's environment, what would make one interpreter answer for another.
_MISLEADING = ("VIRTUAL_ENV", "CONDA_PREFIX", "UV_PYTHON", "PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python that starts and can be compiled against.

    Attributes:
        path: the program.
        version: in full, such as `3.12.1`.
        origin: where it was found.
    """

    path: Path
    version: str
    origin: str


def find_python(
    version: PythonVersion,
    *,
    environ: Mapping[str, str],
    running: Path,
    uv: Path | None = None,
) -> Interpreter:
    """Find a CPython of `version` with its headers.

    Looked at in this order: the running one, pyenv's versions, uv's choice, `pythonX.Y` on PATH. Each is run, because
    a shim on PATH may stand for nothing; pyenv's folders go before uv, because uv starts every such shim, which takes
    the better part of a second.

    Args:
        version: major and minor.
        environ: the user's environment.
        running: the interpreter that runs this.
        uv: the uv program, where it is not the one that was installed with cudawheel.

    Raises:
        PythonNotFoundError: none does; it lists every one that was tried, with the reason.
    """
    clean = {name: value for name, value in environ.items() if name not in _MISLEADING}
    rejections: list[Rejection] = []
    seen: set[Path] = set()
    for candidate in _candidates(version, clean, running, uv):
        if isinstance(candidate, Rejection):
            rejections.append(candidate)
        elif candidate.path not in seen:
            seen.add(candidate.path)
            found = _examine(candidate, version, clean)
            if isinstance(found, Interpreter):
                return found
            rejections.append(Rejection(origin=candidate.origin, candidate=str(candidate.path), reason=found))
    raise PythonNotFoundError(
        f"there is no usable Python {version} on this machine",
        why=f"tried:\n{tried(rejections)}",
        remedy=f"Install one with: uv python install {version}",
    )


class _Candidate(NamedTuple):
    origin: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What an interpreter answers to `_QUESTION`."""

    implementation: str
    version: str
    free_threaded: bool
    include: str

    def why_not(self, wanted: PythonVersion) -> str:
        """Give the reason why extensions for `wanted` cannot be built with it, or an empty string."""
        if self.implementation != "cpython":
            return f"it is {self.implementation}, not CPython"
        if PythonVersion.parse(self.version) != wanted:
            return f"it is Python {self.version}"
        if self.free_threaded:
            return "it is free-threaded, whose extensions have another ABI"
        header = Path(self.include) / "Python.h"
        packages = f"python{wanted}-dev (Debian, Ubuntu) or python{wanted}-devel (Fedora, RHEL)"
        return "" if header.is_file() else f"{header} is missing; install {packages}"


def _candidates(
    version: PythonVersion, environ: Mapping[str, str], running: Path, uv: Path | None
) -> Iterator[_Candidate | Rejection]:
    yield _Candidate("the running one", running)
    root = Path(environ.get("PYENV_ROOT") or f"{environ.get('HOME', '')}/.pyenv")
    for installed in sorted(root.glob(f"versions/{version}.*"), key=_numbers, reverse=True):
        yield _Candidate("pyenv", installed / "bin" / "python")
    yield _ask_uv(version, environ, uv)
    for folder in environ.get("PATH", "").split(":"):
        if found := shutil.which(f"python{version}", path=folder or os.devnull):
            yield _Candidate("PATH", Path(found))


def _ask_uv(version: PythonVersion, environ: Mapping[str, str], uv: Path | None) -> _Candidate | Rejection:
    try:
        program = uv or Path(find_uv_bin())
    except FileNotFoundError as error:
        return Rejection(origin="uv", candidate="uv", reason=str(error))
    command = (program, "python", "find", str(version), "--no-python-downloads", "--no-project", "--system")
    answer = process.capture(command, env=environ, timeout=_SECONDS)
    lines = answer.output.strip().splitlines() or ["it said nothing"]
    if answer.ok:
        return _Candidate("uv", Path(lines[-1]))
    return Rejection(origin="uv", candidate=f"python find {version}", reason=lines[0].removeprefix("error: "))


def _examine(candidate: _Candidate, version: PythonVersion, environ: Mapping[str, str]) -> Interpreter | str:
    """Run a candidate: give it as an interpreter, or the reason why it does not do."""
    answer = process.capture([candidate.path, "-I", "-c", _QUESTION], env=environ, timeout=_SECONDS)
    lines = answer.output.strip().splitlines() or ["it said nothing"]
    if not answer.ok:
        return f"it does not start (exit status {answer.code}): {lines[0]}"
    try:
        facts = _Facts(**json.loads(lines[-1]))
    except (ValueError, TypeError):
        return f"it answers {lines[-1]!r}"
    return facts.why_not(version) or Interpreter(path=candidate.path, version=facts.version, origin=candidate.origin)


def _numbers(path: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", path.name))
