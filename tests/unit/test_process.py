from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cudawheel.process import NOT_FOUND, TIMED_OUT, Finished, capture, stream

# Prints its child's process id, then waits for it: a build with a compiler under it.
PARENT = (
    "import subprocess, sys; c = subprocess.Popen([sys.executable, '-c', {child!r}]); "
    "print(c.pid, flush=True); c.wait()"
)
SLEEPER = "import time; time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
)


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def wait_for_end(pid: int) -> bool:
    """Whether a process that is ending does end; a zombie that nobody has buried counts as ended."""
    for _ in range(3000):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        threading.Event().wait(0.01)
    return False


def test_capture_keeps_output_of_both_kinds_in_order() -> None:
    done = capture(
        python("import sys; print('one', flush=True); print('two', file=sys.stderr, flush=True); print('three')")
    )
    assert done.output.split() == ["one", "two", "three"]
    assert done.ok
    assert done.command[0] == sys.executable


@pytest.mark.parametrize("code", [1, 7, 255])
def test_capture_tells_a_failure_by_its_status(code: int) -> None:
    done = capture(python(f"raise SystemExit({code})"))
    assert (done.code, done.ok) == (code, False)


def test_capture_tells_a_signal_by_a_negative_status() -> None:
    assert capture(python("import os; os.kill(os.getpid(), 9)")).code == -signal.SIGKILL


def test_capture_takes_bytes_that_are_no_text() -> None:
    done = capture(python(r"import sys; sys.stdout.buffer.write(b'a\xff\xfeb')"))
    assert done.output == "a��b"


def test_a_missing_program_is_status_127_and_named() -> None:
    done = capture(["/nowhere/nvcc", "--version"])
    assert done.code == NOT_FOUND
    assert "/nowhere/nvcc" in done.output


def test_a_file_that_is_no_program_is_status_127(tmp_path: Path) -> None:
    (tmp_path / "nvcc").write_text("no program", encoding="utf-8")
    done = capture([tmp_path / "nvcc"])
    assert (done.code, "nvcc" in done.output) == (NOT_FOUND, True)


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def test_a_time_out_is_status_124_with_what_was_printed_so_far() -> None:
    done = capture(shell("echo started; exec sleep 600"), timeout=1)
    assert done.code == TIMED_OUT
    assert done.output.splitlines() == ["started", "", "no answer within 1 s"]


def test_a_time_out_without_output_still_says_so() -> None:
    assert capture(shell("exec sleep 600"), timeout=0.2).output == "no answer within 0.2 s"


def test_a_time_out_ends_what_the_program_started() -> None:
    done = capture(shell("sleep 600 & echo $!; wait"), timeout=1)
    assert done.code == TIMED_OUT
    assert wait_for_end(int(done.output.split()[0]))


def test_a_time_out_ends_a_program_that_will_not_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cudawheel.process._GRACE_SECONDS", 0.2)
    done = capture(shell("trap '' TERM; echo $$; sleep 600; sleep 600"), timeout=1)
    assert done.code == TIMED_OUT
    assert wait_for_end(int(done.output.split()[0]))


def test_an_interruption_of_capture_ends_the_program(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    program = f"import os, pathlib; pathlib.Path({str(note)!r}).write_text(str(os.getpid())); {SLEEPER}"

    def interrupt() -> None:
        while not (note.is_file() and note.read_text(encoding="utf-8")):
            threading.Event().wait(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        capture(python(program))
    thread.join()
    assert wait_for_end(int(note.read_text(encoding="utf-8")))


def run_captured(program: str, log: Path, **keywords: dict[str, str]) -> Finished:
    del log
    return capture(python(program), **keywords)  # type: ignore[arg-type] # env and extra_env only


def run_streamed(program: str, log: Path, **keywords: dict[str, str]) -> Finished:
    return stream(python(program), log=log, **keywords)  # type: ignore[arg-type] # env and extra_env only


@pytest.mark.parametrize("run", [run_captured, run_streamed])
def test_the_environment_is_inherited_replaced_or_added_to(
    run: Callable[..., Finished], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS", "1")
    program = "import os; print(os.environ.get('OURS'), os.environ.get('MORE'))"
    log = tmp_path / "log"
    assert run(program, log).output.split() == ["1", "None"]
    assert run(program, log, extra_env={"MORE": "2"}).output.split() == ["1", "2"]
    assert run(program, log, env={}).output.split() == ["None", "None"]
    assert run(program, log, env={"MORE": "0"}, extra_env={"MORE": "2"}).output.split() == ["None", "2"]


@pytest.mark.parametrize("run", [run_captured, run_streamed])
def test_programs_get_no_input(run: Callable[..., Finished], tmp_path: Path) -> None:
    assert run("import sys; print(repr(sys.stdin.read()))", tmp_path / "log").output.strip() == "''"


def test_programs_run_where_they_are_told(tmp_path: Path) -> None:
    program = "import os; print(os.getcwd())"
    assert capture(python(program), cwd=tmp_path).output.strip() == str(tmp_path)
    assert stream(python(program), cwd=tmp_path, log=tmp_path / "log").output == str(tmp_path)


def test_stream_logs_the_command_and_all_it_prints_after_what_is_there(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n", encoding="utf-8")
    command = [sys.executable, "-c", "print('one'); print('two')"]
    heard: list[str] = []
    done = stream(command, log=log, on_line=heard.append)
    assert log.read_text(encoding="utf-8") == f"before\n$ {' '.join(command)}\none\ntwo\n"
    assert heard == ["one", "two"]
    assert done.output == "one\ntwo"
    assert done.ok


def test_stream_keeps_the_tail_and_logs_the_whole(tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = stream(python("for i in range(1000): print(i)"), log=log)
    tail = done.output.splitlines()
    assert tail[-1] == "999"
    assert tail == [str(number) for number in range(1000 - len(tail), 1000)]
    assert 20 <= len(tail) < 1000
    assert log.read_text(encoding="utf-8").splitlines()[1:] == [str(number) for number in range(1000)]


def test_stream_tells_the_process_id_and_the_status(tmp_path: Path) -> None:
    started: list[int] = []
    done = stream(
        python("import os; print(os.getpid()); raise SystemExit(3)"), log=tmp_path / "log", on_start=started.append
    )
    assert [str(pid) for pid in started] == [done.output]
    assert done.code == 3


def test_a_missing_program_is_streamed_as_status_127_and_logged(tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = stream(["/nowhere/ninja"], log=log)
    assert done.code == NOT_FOUND
    assert "/nowhere/ninja" in done.output
    assert done.output in log.read_text(encoding="utf-8")


@pytest.mark.parametrize("child", [SLEEPER, STUBBORN], ids=["sleeper", "stubborn"])
@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, OSError(errno.ENOSPC, "no room"), ValueError("listener is broken")]
)
def test_an_exception_ends_the_program_and_all_it_started(
    child: str, error: type[BaseException] | BaseException, tmp_path: Path
) -> None:
    heard: list[str] = []

    def listen(line: str) -> None:
        heard.append(line)
        if child == SLEEPER or line == "ready":
            raise error

    started: list[int] = []
    kind = error if isinstance(error, type) else type(error)
    with pytest.raises(kind):
        stream(python(PARENT.format(child=child)), log=tmp_path / "log", on_line=listen, on_start=started.append)
    grandchild = next(int(line) for line in heard if line.isdigit())
    assert wait_for_end(started[0])
    assert wait_for_end(grandchild)


def test_an_exception_on_start_ends_the_program(tmp_path: Path) -> None:
    started: list[int] = []

    def refuse(pid: int) -> None:
        started.append(pid)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        stream(python(SLEEPER), log=tmp_path / "log", on_start=refuse)
    assert wait_for_end(started[0])
