from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cudawheel.errors import PythonNotFoundError
from cudawheel.model.version import PythonVersion
from cudawheel.toolchain.interpreter import Interpreter, find_python

NewProgram = Callable[[Path, str], Path]
WANTED = PythonVersion(3, 12)


@pytest.fixture
def include(tmp_path: Path) -> Path:
    folder = tmp_path / "include"
    folder.mkdir()
    (folder / "Python.h").touch()
    return folder


@pytest.fixture
def new_python(new_program: NewProgram, include: Path) -> Callable[..., Path]:
    def write(path: Path, **facts: object) -> Path:
        said = {"implementation": "cpython", "version": "3.12.1", "free_threaded": False, "include": str(include)}
        return new_program(path, f"#!/bin/sh\necho '{json.dumps(said | facts)}'\n")

    return write


@pytest.fixture
def search(tmp_path: Path, new_program: NewProgram) -> Callable[..., Interpreter]:
    """Search in a machine that has nothing but what a test puts there: no running Python, a uv that finds none."""
    uv = new_program(tmp_path / "uv", "#!/bin/sh\necho 'error: No interpreter found'\nexit 2\n")

    def run(running: Path = tmp_path / "running", uv: Path = uv, **environ: str) -> Interpreter:
        base = {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home")}
        return find_python(WANTED, environ=base | environ, running=running, uv=uv)

    return run


def test_the_running_one_is_taken_where_it_fits(
    tmp_path: Path, new_python: Callable[..., Path], search: Callable[..., Interpreter]
) -> None:
    running = new_python(tmp_path / "running")
    assert search() == Interpreter(path=running, version="3.12.1", origin="the running one")


def test_uv_is_asked_next_and_never_downloads(
    tmp_path: Path, new_python: Callable[..., Path], new_program: NewProgram, search: Callable[..., Interpreter]
) -> None:
    managed = new_python(tmp_path / "managed" / "python3.12")
    new_python(tmp_path / "running", version="3.11.7")
    script = f'case "$*" in *"find 3.12 --no-python-downloads"*) echo warning; echo {managed} ;; *) exit 2 ;; esac'

    found = search(uv=new_program(tmp_path / "another-uv", f"#!/bin/sh\n{script}\n"), VIRTUAL_ENV="/elsewhere")

    assert (found.path, found.origin) == (managed, "uv")


def test_a_shim_that_does_not_start_gives_way_to_the_next_on_path(
    tmp_path: Path, new_python: Callable[..., Path], new_program: NewProgram, search: Callable[..., Interpreter]
) -> None:
    new_program(tmp_path / "shims" / "python3.12", "#!/bin/sh\necho 'pyenv: python3.12: command not found'\nexit 127\n")
    real = new_python(tmp_path / "bin" / "python3.12")

    found = search(PATH=f"{tmp_path}/shims::{tmp_path}/bin")

    assert (found.path, found.origin) == (real, "PATH")


@pytest.mark.parametrize("by_variable", [True, False])
def test_pyenvs_newest_patch_release_is_found(
    tmp_path: Path, new_python: Callable[..., Path], search: Callable[..., Interpreter], by_variable: bool
) -> None:
    root = tmp_path / ("pyenv" if by_variable else "home/.pyenv")
    for patch in (9, 10):
        new_python(root / "versions" / f"3.12.{patch}" / "bin" / "python", version=f"3.12.{patch}")

    found = search(**({"PYENV_ROOT": str(root)} if by_variable else {}))

    assert (found.version, found.origin) == ("3.12.10", "pyenv")


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"version": "3.11.7"}, "it is Python 3.11.7"),
        ({"implementation": "pypy"}, "it is pypy, not CPython"),
        ({"free_threaded": True}, "free-threaded"),
        ({"include": "/nowhere"}, r"Python\.h is missing; install python3\.12-dev .*python3\.12-devel"),
        ({"unexpected": 1}, "it answers"),
    ],
)
def test_one_that_does_not_do_is_named_with_the_reason(
    tmp_path: Path,
    new_python: Callable[..., Path],
    search: Callable[..., Interpreter],
    facts: dict[str, object],
    reason: str,
) -> None:
    new_python(tmp_path / "bin" / "python3.12", **facts)
    with pytest.raises(PythonNotFoundError, match=reason):
        search()


def test_when_none_is_found_all_that_was_tried_is_listed_with_the_remedy(search: Callable[..., Interpreter]) -> None:
    with pytest.raises(PythonNotFoundError, match=r"no usable Python 3\.12") as caught:
        search()

    lines = caught.value.why.splitlines()
    assert [line.split(":")[0].strip() for line in lines] == ["tried", "the running one", "uv"]
    assert "No interpreter found" in lines[2]
    assert "uv python install 3.12" in caught.value.remedy


def test_uv_missing_altogether_is_one_more_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise FileNotFoundError("uv is not installed")

    monkeypatch.setattr("cudawheel.toolchain.interpreter.find_uv_bin", missing)
    with pytest.raises(PythonNotFoundError, match="uv is not installed"):
        find_python(WANTED, environ={"HOME": str(tmp_path)}, running=tmp_path / "running")


def test_this_very_interpreter_answers() -> None:
    version = PythonVersion(*sys.version_info[:2])
    found = find_python(version, environ={"PATH": "", "HOME": "/"}, running=Path(sys.executable))
    assert found.version == ".".join(map(str, sys.version_info[:3]))
