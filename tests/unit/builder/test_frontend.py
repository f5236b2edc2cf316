"""A package's own backend, run and listened to."""

from __future__ import annotations

import json
import os
import sys
import sysconfig
import time
import warnings
from pathlib import Path

import psutil
import pytest
from listening import Heard
from small_packages import write_project

from cudawheel.builder.environment import Environment
from cudawheel.builder.frontend import Backend, static_requires
from cudawheel.errors import BuildError, DiskFullError, OutOfMemoryError
from cudawheel.explain.pattern import Pattern, known_patterns
from cudawheel.explain.scanner import explain_text
from cudawheel.schedule.confinement import Confinement


def backend(project: Path, heard: Heard | None = None, **environ: str) -> Backend:
    scripts = Path(sys.executable).parent
    environment = Environment(
        folder=scripts.parent,
        python=Path(sys.executable),
        site_packages=Path(sysconfig.get_path("purelib")),
        packages=(),
    )
    path = {"PATH": os.environ["PATH"]}
    return Backend(
        project,
        environment,
        {**path, **environ},
        log=project.parent / "log",
        progress=heard or Heard(),
        confinement=Confinement(),
    )


def log_of(tmp_path: Path) -> str:
    return (tmp_path / "log").read_text()


def test_a_wheel_is_built_where_it_was_asked_for(tmp_path: Path) -> None:
    heard = Heard()
    wheel = backend(write_project(tmp_path / "project"), heard).build_wheel({}, tmp_path / "new" / "out")
    assert wheel == tmp_path / "new" / "out" / "tiny_ext-1.0-py3-none-any.whl"
    assert wheel.is_file()
    assert heard.phases == ["compiling"]


def test_steps_of_ninja_are_heard_and_the_log_holds_everything(tmp_path: Path) -> None:
    said = ["-- configuring", "[1/3] nvcc a.cu", "a.cu(7): warning: [9/9] unused", "[2/3] nvcc b.cu", "[3/3] link"]
    heard = Heard()
    backend(write_project(tmp_path / "project", say=said), heard).build_wheel({}, tmp_path / "out")
    assert heard.edges == [(1, 3), (2, 3), (3, 3)]
    assert [line for line in log_of(tmp_path).splitlines() if line in said] == said


def test_the_whole_of_a_long_output_is_in_the_log_and_its_end_in_the_error(tmp_path: Path) -> None:
    said = [f"line {n}" for n in range(5000)]
    project = write_project(tmp_path / "project", say=said, fails=True)
    with pytest.raises(BuildError, match="the package did not build") as caught:
        backend(project).build_wheel({}, tmp_path / "out")
    assert set(said) <= set(log_of(tmp_path).splitlines())
    assert caught.value.why.splitlines()[-1] == "line 4999"
    assert "line 0" not in caught.value.why.splitlines()
    assert str(tmp_path / "log") in caught.value.remedy


def test_settings_and_variables_reach_the_backend_and_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CFLAGS", "-march=native")
    project = write_project(tmp_path / "project", show=["CFLAGS", "MAX_JOBS"])
    backend(project, MAX_JOBS="3").build_wheel({"cmake.define": ["A=1", "B=2"], "one": "x"}, tmp_path / "out")
    said = dict(line.split(" ", 1) for line in log_of(tmp_path).splitlines() if line.startswith(("var", "set")))
    assert json.loads(said["variables"]) == {"CFLAGS": None, "MAX_JOBS": "3"}
    assert json.loads(said["settings"]) == {"cmake.define": ["A=1", "B=2"], "one": "x"}


def test_a_backend_says_what_else_it_needs(tmp_path: Path) -> None:
    heard = Heard()
    project = write_project(tmp_path / "project", requires=["tiny>=1"], needs=["ninja>=1.11", "cmake"])
    assert static_requires(project) == ("tiny>=1",)
    assert backend(project, heard).dynamic_requires({}) == ("cmake", "ninja>=1.11")
    assert heard.phases == ["backend"]


def test_a_backend_that_does_not_say_what_it_needs_is_an_error(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", refuses_to_say=True)
    with pytest.raises(BuildError, match="does not say what it needs") as caught:
        backend(project).dynamic_requires({})
    assert "asked what it needs" in caught.value.why


def test_a_backend_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    (project / "backend.py").unlink()
    with pytest.raises(BuildError):
        backend(project).build_wheel({}, tmp_path / "out")


@pytest.mark.parametrize(
    "pattern", [one for one in known_patterns() if one.stage != "run"], ids=lambda pattern: pattern.id
)
def test_each_known_failure_is_named_with_its_remedy(pattern: Pattern, tmp_path: Path) -> None:
    example = pattern.examples[0]
    project = write_project(tmp_path / "project", say=["[1/2] nvcc", example, "ninja: stopped"], fails=True)
    kinds = {"out of memory": (OutOfMemoryError, 15), "disk full": (DiskFullError, 19)}
    kind, code = kinds.get(pattern.kind, (BuildError, 14))
    known = explain_text(example)[0]
    with pytest.raises(kind) as caught:
        backend(project).build_wheel({}, tmp_path / "out")
    assert type(caught.value) is kind
    assert caught.value.exit_code == code
    assert caught.value.why.startswith(known.cause)
    assert caught.value.remedy.startswith(known.recipe or known.remedy)
    assert not list((tmp_path / "out").iterdir())


def test_a_backend_that_is_killed_counts_as_out_of_memory(tmp_path: Path) -> None:
    """The kernel's killer writes nothing into anybody's output."""
    project = write_project(tmp_path / "project", killed=True)
    with pytest.raises(OutOfMemoryError, match="did not build") as caught:
        backend(project).build_wheel({}, tmp_path / "out")
    assert "signal 9" in caught.value.why


def test_a_warning_of_the_backend_stays_in_the_log(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", warn="numpy is missing")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        backend(project).build_wheel({}, tmp_path / "out")
    assert heard == []
    assert "numpy is missing" in log_of(tmp_path)


class PressesCtrlC(Heard):
    def steps(self, _done: int, _total: int) -> None:
        raise KeyboardInterrupt


def test_ctrl_c_ends_the_backend_and_all_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    project = write_project(tmp_path / "project", child=str(pids))
    with pytest.raises(KeyboardInterrupt):
        backend(project, PressesCtrlC()).build_wheel({}, tmp_path / "out")
    for pid in map(int, pids.read_text().split()):
        assert has_ended(pid)
    assert not list((tmp_path / "out").iterdir())


def test_nothing_that_a_backend_left_running_outlives_it(tmp_path: Path) -> None:
    """A compiler server that moved to a session of its own would hold memory that nobody counts any more."""
    leave = f"setsid sleep 600 & echo $! > {tmp_path}/pid"
    wheel = backend(write_project(tmp_path / "project", run=[leave])).build_wheel({}, tmp_path / "out")
    assert wheel.is_file()
    assert has_ended(int((tmp_path / "pid").read_text()))


def test_a_failure_is_explained_by_the_output_of_its_own_run(tmp_path: Path) -> None:
    """The log holds earlier runs as well, and what they said is no cause of this one's end."""
    known = "nvcc error   : 'cicc' died due to signal 9 (Kill signal)"
    project = write_project(tmp_path / "project", say=[known], fails=True)
    with pytest.raises(OutOfMemoryError):
        backend(project).build_wheel({}, tmp_path / "out")
    write_project(project, say=["a.cu(7): error: no"], fails=True)
    with pytest.raises(BuildError) as caught:
        backend(project).build_wheel({}, tmp_path / "out")
    assert type(caught.value) is BuildError
    assert known in log_of(tmp_path)
    assert known not in caught.value.why


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or will be as soon as somebody collects it."""
    for _ in range(100):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    "text", ["[build-system]\nrequires = 'x'\n", "[build-system\n", '[build-system]\nbuild-backend = "x"\n']
)
def test_a_project_file_that_cannot_be_read_is_said(text: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(BuildError, match="is not a project that can be built") as caught:
        static_requires(tmp_path)
    assert "subdirectory" in caught.value.remedy


@pytest.mark.parametrize("folder", ["empty", "gone"])
def test_a_folder_without_a_project_is_said(folder: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BuildError, match=f"{folder} is not a project"):
        static_requires(tmp_path / folder)


def test_an_old_project_without_a_project_file_is_built_with_setuptools(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("")
    assert any(text.startswith("setuptools") for text in static_requires(tmp_path))


def test_a_requirement_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="is not a project that can be built") as caught:
        static_requires(write_project(tmp_path / "project", requires=["not a requirement ==="]))
    assert "not a requirement" in caught.value.why


def test_a_requirement_of_the_backend_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", needs=["== what"])
    with pytest.raises(BuildError, match="asks for what is no requirement") as caught:
        backend(project).dynamic_requires({})
    assert "== what" in caught.value.why
