"""The launcher and the leash within this process, where what they do to a process can be watched from inside.

As programs of their own they are tested in test_launcher.py and test_leash.py.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_compilers import BUILD, PATIENCE, Served, eventually, is_over, serving
from fake_tools import write_program

from cudawheel.process import NOT_FOUND
from cudawheel.schedule import launcher, leash
from cudawheel.schedule.budget import BudgetRequest
from cudawheel.schedule.limits import GIB


@pytest.fixture(autouse=True)
def connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what a launcher leaves to the end of its process."""
    made: list[launcher.Connection] = []

    class Kept(launcher.Connection):
        def __init__(self, path: str) -> None:
            made.append(self)
            super().__init__(path)

    monkeypatch.setattr(launcher, "Connection", Kept)
    yield
    for connection in made:
        connection._socket.close()


@pytest.fixture
def served(machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv(launcher.BUILD, BUILD)
    monkeypatch.delenv(launcher.HOLDING, raising=False)
    with serving(tmp_path / "shop", BudgetRequest(memory=5 * GIB, jobs=4), root=machine) as served:
        yield served


Launch = Callable[..., "Future[int]"]


@pytest.fixture
def launch(served: Served) -> Iterator[Launch]:
    """Starts the launcher of one of the workshop's compilers."""
    with ThreadPoolExecutor() as pool:

        def start(tool: str, script: str, *flags: str) -> Future[int]:
            source = served.workshop.unit("a.cu" if tool == "nvcc" else "a.cpp", script)
            folder = "toolkit/bin" if tool == "nvcc" else "host"
            command = [str(served.workshop.folder / folder / tool), *flags, "-c", str(source)]
            return pool.submit(launcher.main, [str(served.jobserver.socket), *command])

        yield start


def test_a_launcher_writes_what_the_compiler_wrote_and_gives_its_status(
    launch: Launch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert launch("nvcc", "echo out; echo err >&2; exit 3").result(PATIENCE) == 3
    assert capfdbinary.readouterr() == (b"out\n", b"err\n")
    assert launch("c++", "kill -15 $$").result(PATIENCE) == 128 + signal.SIGTERM


def test_a_launcher_compiles_again_when_it_is_told_to(
    launch: Launch, served: Served, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    two = ["-gencode=arch=compute_80,code=sm_80", "-gencode=arch=compute_90,code=sm_90"]
    script = "[ $try = 2 ] && echo good && exit; echo LLVM ERROR: out of memory >&2; exit 1"
    assert launch("nvcc", script, *two).result(PATIENCE) == 0
    assert capfdbinary.readouterr() == (b"good\n", b"")
    first, second = served.workshop.marks("start")
    assert first.threads > second.threads


def test_a_launcher_puts_the_compiler_cache_in_front(
    launch: Launch, served: Served, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    cache = write_program(served.workshop.folder / "sccache", '#!/bin/sh\necho cached\nexec "$@"\n')
    monkeypatch.setenv(launcher.COMPILER_CACHE, str(cache))
    assert launch("nvcc", "echo compiled").result(PATIENCE) == 0
    assert capfdbinary.readouterr().out == b"cached\ncompiled\n"


def test_a_launcher_ends_its_compiler_when_the_jobserver_hangs_up(
    launch: Launch, served: Served, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    status = launch("nvcc", "wait_for ever")
    eventually(lambda: served.workshop.marks("start"), "the compiler runs")
    [connection] = served.jobserver._launchers()
    connection.connection.shutdown(2)
    assert status.result(PATIENCE) == 1
    assert b"cudawheel is gone" in capfdbinary.readouterr().err
    assert is_over(served.workshop.marks("start")[0].process)


def test_a_launcher_says_where_nobody_answers(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    nobody = tmp_path / "nobody"
    assert launcher.main([str(nobody), "/usr/bin/c++", "-c", "a.cpp"]) == 1
    assert f"cudawheel does not answer at {nobody}".encode() in capfdbinary.readouterr().err


class Held:
    """The leash within this process: what it wrote, and the other end of its lifeline."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()
        self.written: list[tuple[str, str]] = []
        self.asked_of_the_kernel: list[tuple[int, ...]] = []

    def run(self, script: str, group: str = "") -> int:
        return leash.main([str(self.read), "500", group, "/bin/sh", "-c", script])


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    held = Held()
    library = SimpleNamespace(prctl=lambda *words: held.asked_of_the_kernel.append(words))
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: library)
    monkeypatch.setattr(leash, "_write", lambda path, text: held.written.append((path, text)))
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield held
    for number, handler in before.items():
        signal.signal(number, handler)
    os.close(held.read)
    if held.write >= 0:
        os.close(held.write)


def test_a_leash_prepares_its_process_and_gives_the_commands_status(held: Held) -> None:
    assert held.run("exit 3", group="/group/cgroup.procs") == 3
    assert held.written == [("/proc/self/oom_score_adj", "500"), ("/group/cgroup.procs", "0")]
    assert held.asked_of_the_kernel == [(36, 1, 0, 0, 0)]


def test_a_leash_whose_lifeline_is_cut_ends_the_command(held: Held, tmp_path: Path) -> None:
    os.close(held.write)
    held.write = -1
    note = tmp_path / "pid"
    assert held.run(f"trap '' TERM; echo $$ >{note}; while :; do sleep 0.05; done") == 128 + signal.SIGTERM
    text = note.read_text(encoding="ascii") if note.is_file() else ""
    assert not text or is_over(int(text))


def test_a_leash_names_a_program_that_does_not_exist(held: Held, capfd: pytest.CaptureFixture[str]) -> None:
    assert leash.main([str(held.read), "500", "", "/nowhere/ninja"]) == NOT_FOUND
    assert "/nowhere/ninja" in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_leash_ends_as_the_command_did(number: signal.Signals, held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda process, how: ended.append((process, how)))
    held.run(f"kill -{number.value} $$")
    assert ended == [(os.getpid(), number)]
    assert number == signal.SIGKILL or signal.getsignal(number) == signal.SIG_DFL


def test_a_file_that_may_not_be_written_is_no_reason_to_stop(tmp_path: Path) -> None:
    leash._write(str(tmp_path), "500")
    leash._write(str(tmp_path / "score"), "500")
    assert (tmp_path / "score").read_text(encoding="ascii") == "500"


@pytest.mark.parametrize(
    ("output", "starved"),
    [
        (b"nvcc error   : 'cicc' died due to signal 9 (Kill signal)", True),
        (b"nvcc step 'cicc' died due to signal 9", True),
        (b"g++: fatal error: Killed signal terminated program cc1plus", True),
        (b"LLVM ERROR: out of memory\nAllocation failed", True),
        (b'"kernel.cu": catastrophic error: out of memory', True),
        (b"ptxas fatal   : Memory allocation failure", True),
        (b"cc1plus: out of memory allocating 65536 bytes after a total of 1 bytes", True),
        (b"virtual memory exhausted: Cannot allocate memory", True),
        (b"terminate called after throwing an instance of 'std::bad_alloc'", True),
        (b"/usr/bin/ld: final link failed: memory exhausted", True),
        (b'kernel.cu:3:2: error: #error "this kernel runs out of memory on small cards"', False),
        (b'kernel.cu(7): error: identifier "out_of_memory" is undefined', False),
        (b'kernel.cu(7): error: static assertion failed with "not enough shared memory"', False),
    ],
)
def test_words_that_speak_of_a_want_of_memory_are_told_from_those_about_code(output: bytes, *, starved: bool) -> None:
    assert launcher._speaks_of_memory(output) is starved
