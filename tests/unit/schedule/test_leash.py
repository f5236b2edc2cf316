"""The leash, with processes that try to get away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from fake_compilers import PATIENCE, eventually, is_over

from cudawheel.process import NOT_FOUND, stream
from cudawheel.schedule import leash
from cudawheel.schedule.confinement import Confinement

# Each way of getting away ends in a process that writes its id into a file and stays.
STAY = """sh -c 'echo $$ >>"$0"; exec sleep 600' {pids}"""
STUBBORN = """sh -c 'trap "" TERM HUP INT; echo $$ >>"$0"; exec sleep 600' {pids}"""
WAYS = {
    "a child": f"{STAY} &",
    "an orphan": f"({STAY} &)",
    "a session of its own": f"setsid {STAY} &",
    "a daemon": f"(setsid sh -c '({STAY.replace(chr(39), chr(39) + chr(92) + chr(39) + chr(39))} &)' &)",
    "a daemon that heeds no signal": f"(setsid {STUBBORN} &)",
}
HOLDER = """
import sys
from pathlib import Path
from cudawheel.process import stream
from cudawheel.schedule.confinement import Confinement
stream(["/bin/sh", "-c", sys.argv[1]], log=Path(sys.argv[2]), hold=Confinement().command)
"""


class Leashed:
    """A shell script on the leash, and the end of the lifeline that cudawheel would hold."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pids = folder / "pids"
        self._read, self._write = os.pipe()
        self._children: list[subprocess.Popen[str]] = []

    def script(self, *lines: str) -> str:
        return "\n".join(lines).format(pids=self.pids, gate=self.folder / "gate")

    def start(self, *lines: str) -> subprocess.Popen[str]:
        return self.start_program("/bin/sh", "-c", self.script(*lines))

    def start_program(self, *words: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            Confinement().command(words, self._read),
            pass_fds=(self._read,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._children.append(child)
        return child

    def cut(self) -> None:
        """Do what the kernel does when cudawheel is gone."""
        for end in (self._write, self._read):
            with suppress(OSError):
                os.close(end)
        self._write = self._read = -1

    def away(self, number: int) -> list[int]:
        """Wait until so many processes have got away, and give their ids."""
        eventually(lambda: len(self._ids()) == number, "all processes run")
        return self._ids()

    def end(self) -> None:
        self.cut()
        for child in self._children:
            child.communicate(timeout=PATIENCE)

    def _ids(self) -> list[int]:
        # A line that is still being written does not count.
        text = self.pids.read_text(encoding="ascii") if self.pids.is_file() else ""
        return [int(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


WAIT_FOR_PIDS = "until [ -s {pids} ]; do sleep 0.01; done"
WAIT_FOR_GATE = "until [ -e {gate} ]; do sleep 0.01; done"


@pytest.fixture
def leashed(tmp_path: Path) -> Iterator[Leashed]:
    leashed = Leashed(tmp_path)
    yield leashed
    leashed.end()


def output(child: subprocess.Popen[str]) -> str:
    return "".join(child.communicate(timeout=PATIENCE))


@pytest.mark.parametrize("code", [0, 1, 3, 127, 255])
def test_the_exit_status_passes_through(code: int, leashed: Leashed) -> None:
    child = leashed.start(f"echo said; exit {code}")
    assert output(child) == "said\n"
    assert child.returncode == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGSEGV, signal.SIGKILL])
def test_it_ends_by_the_signal_that_ended_the_command(number: signal.Signals, leashed: Leashed) -> None:
    child = leashed.start(f"ulimit -c 0; kill -{number.value} $$")
    output(child)
    assert child.returncode == -number


@pytest.mark.parametrize("kind", ["missing", "not a program"])
def test_a_program_that_cannot_start_is_status_127_and_named(kind: str, leashed: Leashed, tmp_path: Path) -> None:
    program = tmp_path / "ninja"
    if kind == "not a program":
        program.write_text("no program", encoding="ascii")
    child = leashed.start_program(str(program))
    assert str(program) in output(child)
    assert child.returncode == NOT_FOUND


def test_the_kernels_killer_is_offered_the_build_before_what_the_person_runs(leashed: Leashed) -> None:
    assert int(output(leashed.start("cat /proc/$$/oom_score_adj"))) >= 500


def test_the_command_finds_signals_as_they_were(leashed: Leashed) -> None:
    _, blocked, _, ignored = output(leashed.start("grep -E 'Sig(Ign|Blk)' /proc/self/status")).split()
    assert int(blocked, 16) == 0
    ours = (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ)
    assert [number.name for number in ours if int(ignored, 16) >> (number - 1) & 1] == []


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_nothing_outlives_the_command(way: str, leashed: Leashed) -> None:
    child = leashed.start(way, WAIT_FOR_PIDS, "exit 3")
    output(child)
    assert child.returncode == 3
    assert [is_over(process) for process in leashed.away(1)] == [True]


def test_all_ends_when_the_lifeline_is_cut(leashed: Leashed) -> None:
    child = leashed.start(*WAYS.values(), "wait")
    away = leashed.away(len(WAYS))
    assert not any(is_over(process) for process in away)
    leashed.cut()
    output(child)
    assert child.returncode == 128 + signal.SIGTERM
    assert all(is_over(process) for process in away)


def test_all_ends_when_it_is_asked_to(leashed: Leashed) -> None:
    child = leashed.start(*WAYS.values(), "wait")
    away = leashed.away(len(WAYS))
    child.send_signal(signal.SIGTERM)
    output(child)
    assert child.returncode == 128 + signal.SIGTERM
    assert all(is_over(process) for process in away)


def test_ctrl_c_of_a_terminal_is_left_to_cudawheel(leashed: Leashed) -> None:
    child = leashed.start(WAYS["a child"], WAIT_FOR_GATE, "exit 5")
    leashed.away(1)
    child.send_signal(signal.SIGINT)
    (leashed.folder / "gate").touch()
    output(child)
    assert child.returncode == 5


def test_orphans_that_end_are_buried_while_the_command_runs(leashed: Leashed) -> None:
    child = leashed.start("for number in 1 2 3; do (sh -c 'echo $$ >>\"$0\"' {pids} &); done", WAIT_FOR_GATE)
    orphans = leashed.away(3)
    eventually(lambda: not any(psutil.pid_exists(orphan) for orphan in orphans), "the orphans are buried")
    assert child.poll() is None
    (leashed.folder / "gate").touch()
    output(child)
    assert child.returncode == 0


def test_nothing_outlives_a_cudawheel_that_is_killed(leashed: Leashed, tmp_path: Path) -> None:
    script = leashed.script(*WAYS.values(), "wait")
    with subprocess.Popen([sys.executable, "-c", HOLDER, script, str(tmp_path / "log")]) as holder:
        away = leashed.away(len(WAYS))
        [leash_] = psutil.Process(holder.pid).children()
        assert not any(is_over(process) for process in away)
        holder.kill()
    eventually(lambda: is_over(leash_.pid), "the leash has ended")
    assert all(is_over(process) for process in away)


def test_nothing_outlives_an_interrupted_build(leashed: Leashed, tmp_path: Path) -> None:
    def interrupt(line: str) -> None:
        if line == "running":
            raise KeyboardInterrupt

    counted = f'until [ "$(wc -l <{leashed.pids})" = {len(WAYS)} ]; do sleep 0.01; done'
    script = leashed.script(*WAYS.values(), counted, "echo running", "wait")
    with pytest.raises(KeyboardInterrupt):
        stream(["/bin/sh", "-c", script], log=tmp_path / "log", on_line=interrupt, hold=Confinement().command)
    assert all(is_over(process) for process in leashed.away(len(WAYS)))


def test_what_belongs_to_somebody_else_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []

    def refuse(process: int, number: int) -> None:
        told.append(process)
        raise PermissionError(number)

    monkeypatch.setattr(leash, "descendants", lambda _process: [4711])
    monkeypatch.setattr(os, "kill", refuse)
    leash.end_descendants()
    assert told == [4711]
