"""The whole way from recipe to wheelhouse, with every room at work and only toolkit and compiler in name."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_tools
import psutil
import pytest
from fake_tools import PLAIN_TAG, build_request, compiler, give, toolchain, write_program, write_toolkit
from listening import Heard
from small_packages import path_source, sha256, write_project, write_recipe

from cudawheel.audit import report
from cudawheel.builder import tools as builder_tools
from cudawheel.errors import AuditError, BuildError, DiskFullError
from cudawheel.factory import job, proof
from cudawheel.factory.factory import make_wheel
from cudawheel.factory.request import BuildRequest
from cudawheel.schedule.limits import memory_groups
from cudawheel.wheel.reading import Wheel

PHASES = ["source", "environment", "toolkit", "backend", "compiling", "naming", "audit", "import"]


@pytest.fixture(autouse=True)
def tools(links: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del links
    monkeypatch.setattr(builder_tools, "provide", give(toolchain(write_toolkit(tmp_path / "cuda"))))
    found = replace(compiler(), cxx=write_program(tmp_path / "bin" / "g++", "#!/bin/sh\n"), cc=None)
    monkeypatch.setattr(builder_tools, "find_host_compiler", give(found))
    monkeypatch.setattr(job, "find_host_compiler", give(compiler()))


@pytest.fixture
def plain_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without auditwheel, which takes the better part of a second each time."""
    monkeypatch.setattr(proof, "find_platform_tag", give(PLAIN_TAG))
    monkeypatch.setattr(report, "find_platform_tag", give(PLAIN_TAG))


def request(tmp_path: Path, **orders: Any) -> BuildRequest:
    write_project(tmp_path / "recipes" / "here", **orders)
    return build_request(write_recipe(tmp_path / "recipes", path_source("here")), tmp_path)


def leftovers(asked: BuildRequest) -> list[str]:
    """What must not be there after a build that came to nothing: anything but locks."""
    store, work = asked.cache / "store", asked.cache / "work"
    found = [*asked.wheelhouse.glob("*"), *asked.wheelhouse.glob(".*"), *work.glob("*"), *store.glob("*")]
    return [path.name for path in found if path.suffix != ".lock"]


def program(asked: BuildRequest, *more: Path) -> list[str]:
    script = Path(fake_tools.__file__).with_name("run_build.py")
    return [sys.executable, *map(str, (script, asked.recipe, asked.cache.parent, *more))]


def wait_for(path: Path) -> None:
    for _ in range(1500):
        if path.exists() and path.read_text():
            return
        time.sleep(0.02)
    pytest.fail(f"{path} never came")


def test_a_recipe_becomes_a_proven_wheel(tmp_path: Path) -> None:
    heard = Heard()
    asked = request(tmp_path)
    made = make_wheel(asked, heard)
    assert heard.phases == PHASES
    assert not made.cached
    assert made.wheel.parent == asked.wheelhouse
    assert made.wheel.name.startswith("tiny_ext-1.0+cu.13.0.torch.2.11-py3-none-")
    wheel = Wheel.read(made.wheel)
    assert wheel.verify_record() == ()
    assert "torch==2.11.*" in {str(requirement) for requirement in wheel.requirements}
    record = json.loads(Path(f"{made.wheel}.json").read_text())
    assert record == made.record
    assert record["source"]["label"] == "here"
    assert record["source"]["skipped"] == []
    assert record["variant"]["capabilities"] == ["8.0", "9.0"]
    assert record["variant"]["ptx"] == ["9.0"]
    assert record["audit"]["imported"]["modules"] == "tiny_ext"
    assert record["wheel"]["sha256"] == sha256(made.wheel.read_bytes())
    assert "torch==2.11.0" in record["build"]["environment"]
    heard = Heard()
    again = make_wheel(asked, heard)
    assert (again.cached, again.wheel, heard.phases) == (True, made.wheel, [])


@pytest.mark.usefixtures("plain_tag", "shared_environments")
def test_building_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    asked = request(tmp_path)
    first = make_wheel(asked, Heard()).wheel.read_bytes()
    assert make_wheel(replace(asked, reuse=False), Heard()).wheel.read_bytes() == first


@pytest.mark.usefixtures("plain_tag")
def test_ctrl_c_at_each_phase_leaves_nothing_half_written_and_the_next_run_goes_on(tmp_path: Path) -> None:
    asked = request(tmp_path)
    for number, phase in enumerate(PHASES):
        # What an earlier run completed, such as the environment, is kept: its phase does not come again.
        expected = [name for name in PHASES if name != "environment"] if number > 1 else PHASES
        heard = Heard(interrupt_at=expected.index(phase))
        with pytest.raises(KeyboardInterrupt):
            make_wheel(asked, heard)
        assert heard.phases[-1] == phase
        assert leftovers(asked) == [], phase
        if phase == "environment":
            with pytest.raises(KeyboardInterrupt):
                make_wheel(asked, Heard(interrupt_at=PHASES.index("toolkit")))
    assert not make_wheel(asked, Heard()).cached


@pytest.mark.usefixtures("plain_tag", "shared_environments")
def test_a_wheel_that_is_not_what_was_planned_is_not_stored(tmp_path: Path) -> None:
    asked = request(tmp_path)
    asked.recipe.write_text(asked.recipe.read_text().replace('cuda = "optional"', 'cuda = "required"'))
    with pytest.raises(AuditError, match="is not what was planned") as caught:
        make_wheel(asked, Heard())
    assert "device code" in caught.value.why
    assert caught.value.remedy
    assert leftovers(asked) == []


@pytest.mark.usefixtures("plain_tag", "shared_environments")
def test_a_wheel_that_does_not_import_is_not_stored(tmp_path: Path) -> None:
    asked = request(tmp_path, module="import nowhere_to_be_found\n")
    with pytest.raises(AuditError, match="does not import in a clean environment") as caught:
        make_wheel(asked, Heard())
    assert "nowhere_to_be_found" in caught.value.why
    assert leftovers(asked) == []


@pytest.mark.usefixtures("shared_environments")
def test_a_build_that_fails_leaves_its_log_and_nothing_else(tmp_path: Path) -> None:
    asked = request(tmp_path, say=["something nobody has met"], fails=True)
    with pytest.raises(BuildError) as caught:
        make_wheel(asked, Heard())
    assert leftovers(asked) == []
    (log,) = (asked.cache / "logs").iterdir()
    assert str(log) in caught.value.remedy
    assert "something nobody has met" in log.read_text()


@pytest.mark.usefixtures("plain_tag", "shared_environments")
def test_two_processes_at_once_build_once(tmp_path: Path) -> None:
    count, hold = tmp_path / "count", tmp_path / "hold"
    hold.touch()
    asked = request(tmp_path, count=str(count), hold=str(hold))
    one = subprocess.Popen(program(asked), stdout=subprocess.PIPE, text=True)
    wait_for(Path(f"{hold}.pid"))
    heard = Unlocks(hold)
    made = make_wheel(asked, heard)
    output, _ = one.communicate(timeout=60)
    assert (one.returncode, output.split()[0]) == (0, "built")
    assert heard.phases == ["source", "waiting"]
    assert made.cached
    assert count.read_text() == "built\n"
    there = {name for name in leftovers(asked) if not name.startswith("cudawheel-")}
    assert there == {made.record["fingerprint"], *(f"{made.wheel.name}{ending}" for ending in ("", ".json", ".svg"))}


class Unlocks(Heard):
    """Lets the other process go on as soon as this one waits for it, or would not wait."""

    def __init__(self, hold: Path) -> None:
        super().__init__()
        self.hold = hold

    def phase(self, name: str, detail: str = "") -> None:
        super().phase(name, detail)
        if name != "source":
            self.hold.unlink(missing_ok=True)


@pytest.mark.usefixtures("plain_tag", "shared_environments")
def test_a_build_that_is_killed_leaves_the_wheelhouse_clean_and_the_next_one_works(tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    asked = request(tmp_path, hold=str(hold))
    with subprocess.Popen(program(asked)) as killed:
        wait_for(Path(f"{hold}.pid"))
        killed.kill()
    # What nobody waits for any more has no claim to the machine's memory.
    wait_for_end(int(Path(f"{hold}.pid").read_text()))
    remove_groups_of(killed.pid)
    assert list(asked.wheelhouse.iterdir()) == []
    hold.unlink()
    made = make_wheel(asked, Heard())
    assert not made.cached
    assert zipfile.is_zipfile(made.wheel)
    assert list((asked.cache / "work").iterdir()) == []


def wait_for_end(pid: int) -> None:
    for _ in range(1500):
        if not psutil.pid_exists(pid):
            return
        time.sleep(0.02)
    pytest.fail(f"{pid} never ended")


def remove_groups_of(pid: int) -> None:
    """Do for a process that was killed what it does by itself when it ends in order."""
    for _controller, mine in memory_groups():
        for place in (mine, mine.parent):
            for group in place.glob(f"cudawheel-{pid}-*"):
                with contextlib.suppress(OSError):  # what ran in it may still be leaving; the next cudawheel sweeps
                    group.rmdir()


class LetsGoOnceItIsLookedAt(Heard):
    """Lets the backend go on only when something was said of memory and compilers."""

    def __init__(self, hold: Path) -> None:
        super().__init__()
        self.hold = hold

    def compilers(self, used: int, budget: int, running: int, waiting: int) -> None:
        super().compilers(used, budget, running, waiting)
        if Path(f"{self.hold}.pid").exists():
            self.hold.unlink(missing_ok=True)


@pytest.mark.usefixtures("plain_tag", "shared_environments")
def test_memory_and_compilers_are_shown_while_a_build_runs_and_kept_in_its_record(tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    asked = request(tmp_path, hold=str(hold), run=["$CXX -c tiny.cpp"])
    (asked.recipe.parent / "here" / "tiny.cpp").touch()
    heard = LetsGoOnceItIsLookedAt(hold)
    made = make_wheel(asked, heard)
    assert any(used > 0 and budget > used for used, budget, _running, _waiting in heard.looks)
    build = made.record["build"]
    assert [(unit["source"], unit["outcome"]) for unit in build["timeline"]["units"]] == [("tiny.cpp", "ok")]
    assert build["most_compilers"] == 1
    assert 0 < build["largest_process"] <= build["peak_memory"]
    assert build["budget"]
    assert build["confinement"]
    picture = made.wheel.with_name(f"{made.wheel.name}.svg").read_text()
    assert picture.startswith("<svg")
    assert "tiny.cpp" in picture
    assert any(note.startswith("up to ") and "never measured here" in note for note in heard.notes)
    heard = Heard()
    make_wheel(replace(asked, reuse=False), heard)
    assert any("as measured" in note for note in heard.notes), "the second build knows what the first one took"


def in_a_namespace(mount: str, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command where this process may mount, which ends with it."""
    script = f'{mount} && exec "$@"'
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", *command]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)


def ways_to_refuse_writing() -> list[str]:
    """A folder below a file everywhere; a real read-only mount where the kernel lets anybody mount."""
    mounts = shutil.which("unshare") and in_a_namespace("mount -t tmpfs none /mnt", ["true"]).returncode == 0
    return ["below a file", *(["read-only mount"] if mounts else [])]


@pytest.mark.parametrize("way", ways_to_refuse_writing())
def test_a_wheelhouse_that_cannot_be_written_is_refused_before_anything_is_fetched(way: str, tmp_path: Path) -> None:
    asked = request(tmp_path)
    wheelhouse = tmp_path / "wheelhouse"
    if way == "below a file":
        wheelhouse.write_text("not a folder")
        done = subprocess.run(
            program(asked, wheelhouse / "sub"), capture_output=True, text=True, timeout=60, check=False
        )
    else:
        wheelhouse.mkdir()
        done = in_a_namespace(f"mount -t tmpfs -o ro none '{wheelhouse}'", program(asked))
    assert done.returncode == 18
    assert str(wheelhouse) in done.stderr
    assert "--wheelhouse" in done.stderr
    assert done.stderr.rstrip().endswith("[]"), "no phase has begun"
    assert not asked.cache.exists()


def places_that_fill_up() -> list[str]:
    return ["wheelhouse", "store"] if len(ways_to_refuse_writing()) > 1 else []


@pytest.mark.usefixtures("plain_tag", "shared_environments")
def test_a_full_disk_is_said_and_nothing_half_written_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = request(tmp_path)

    def full_in(place: Path, function: Callable[..., Any]) -> Callable[..., Any]:
        def write(source: Any, target: Any, **named: Any) -> Any:
            if Path(target).is_relative_to(place):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return function(source, target, **named)

        return write

    with monkeypatch.context() as disk:
        disk.setattr(shutil, "copyfile", full_in(asked.cache / "store", shutil.copyfile))
        with pytest.raises(DiskFullError, match="no space is left for"):
            make_wheel(asked, Heard())
    assert leftovers(asked) == []
    with monkeypatch.context() as disk:
        disk.setattr(Path, "replace", full_in(asked.wheelhouse, Path.replace))
        with pytest.raises(DiskFullError, match=f"no space is left for {asked.wheelhouse}"):
            make_wheel(asked, Heard())
    assert list(asked.wheelhouse.iterdir()) == []
    assert make_wheel(asked, Heard()).cached


@pytest.mark.parametrize("place", places_that_fill_up())
@pytest.mark.usefixtures("shared_environments")
def test_a_disk_that_is_really_full_is_said(place: str, tmp_path: Path) -> None:
    asked = request(tmp_path, module="# " + os.urandom(40_000).hex() + "\n")
    folder = {"wheelhouse": asked.wheelhouse, "store": asked.cache / "store"}[place]
    folder.mkdir(parents=True)
    script = f"mount -t tmpfs -o size=16k none '{folder}'"
    command = ["sh", "-c", '"$@"; code=$?; ls -A "$0" >&2; exit $code', str(folder), *program(asked)]
    done = in_a_namespace(script, command)
    assert done.returncode == 19
    assert f"no space is left for {folder}" in done.stderr
    assert "tiny_ext" not in done.stderr.splitlines()[-1]
