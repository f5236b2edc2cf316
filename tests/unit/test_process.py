from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cudawheel.process import NOT_FOUND, TIMED_OUT, Finished, capture, end_all, stream

# Prints its child's process id, then waits for it: a build with a compiler under it.
PARENT = (
    "import subprocess, sys; c = subprocess.Popen([sys.executable, '-c', {child!r}]); "
    "print(c.pid, flush=True); c.wait()"
)
# Its own process id first.
SELF = "import os; print(os.getpid(), flush=True); "
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


@pytest.mark.parametrize("code", [0, 3, 255])
def test_stream_tells_the_status(code: int, tmp_path: Path) -> None:
    done = stream(python(f"raise SystemExit({code})"), log=tmp_path / "log")
    assert (done.code, done.ok) == (code, code == 0)


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
        if line == "ready" or (child == SLEEPER and len(heard) == 2):
            raise error

    kind = error if isinstance(error, type) else type(error)
    with pytest.raises(kind):
        stream(python(SELF + PARENT.format(child=child)), log=tmp_path / "log", on_line=listen)
    program, grandchild = (int(line) for line in heard if line.isdigit())
    assert wait_for_end(program)
    assert wait_for_end(grandchild)


class Hold:
    """Puts a program in front of the one that is streamed, and remembers what it was told.

    Attributes:
        told: the command and the descriptor.
        pipe: what the descriptor is, as /proc names it: numbers are used again, this is not.
    """

    def __init__(self, program: str = "") -> None:
        self.program = program
        self.told: tuple[tuple[str, ...], int] = ((), -1)
        self.pipe = ""

    def __call__(self, command: tuple[str, ...], lifeline: int) -> tuple[str, ...]:
        self.told = command, lifeline
        self.pipe = str(Path(f"/proc/self/fd/{lifeline}").readlink())
        return (*python(self.program), str(lifeline), *command) if self.program else command


# Says whether the descriptor is still open at its other end, then becomes the command.
IN_FRONT = (
    "import os, select, sys; "
    "print('ended' if select.select([int(sys.argv[1])], [], [], 0)[0] else 'open', flush=True); "
    "os.execv(sys.argv[2], sys.argv[2:])"
)
# Leaves a process behind, in a session of its own, that notes when the other end has closed.
LEAVES_A_WATCHER = f"""
import os, sys
if os.fork() == 0:
    os.setsid()
    for number in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    rest = os.read(int(sys.argv[1]), 1)
    open(os.environ["NOTE"], "w").write(f"ended {{len(rest)}}")
    os._exit(0)
{IN_FRONT}
"""
OPEN_FILES = (
    "import os; print(*(os.readlink(f'/proc/self/fd/{n}') for n in range(64) if os.path.exists(f'/proc/self/fd/{n}')))"
)


def test_what_holds_a_program_runs_in_its_place_and_is_told_what_it_holds(tmp_path: Path) -> None:
    hold, log = Hold(IN_FRONT), tmp_path / "log"
    command = python("import sys; print(sys.argv[1]); raise SystemExit(3)")
    done = stream([*command, "held"], log=log, hold=hold)
    assert hold.told[0] == (*command, "held")
    assert (done.output.splitlines(), done.code) == (["open", "held"], 3)
    assert done.command == (*command, "held"), "people know the program, not who holds it"
    assert log.read_text(encoding="utf-8").splitlines()[0] == f"$ {' '.join(command)} held"


def test_a_holder_that_is_missing_is_status_127(tmp_path: Path) -> None:
    done = stream(python("pass"), log=tmp_path / "log", hold=lambda command, _lifeline: ("/nowhere/leash", *command))
    assert done.code == NOT_FOUND
    assert "/nowhere/leash" in done.output


def test_the_lifeline_ends_when_the_stream_does(tmp_path: Path) -> None:
    note = tmp_path / "note"
    opened: list[bool] = []

    def listen(_line: str) -> None:
        opened.append(not note.exists())

    stream(
        python("print('over')"),
        log=tmp_path / "log",
        hold=Hold(LEAVES_A_WATCHER),
        on_line=listen,
        extra_env={"NOTE": str(note)},
    )
    assert opened == [True, True]
    assert read_when_there(note) == "ended 0"


def test_the_lifeline_ends_when_the_stream_is_interrupted(tmp_path: Path) -> None:
    note = tmp_path / "note"

    def interrupt(line: str) -> None:
        if line == "ready":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stream(
            python(f"print('ready', flush=True); {SLEEPER}"),
            log=tmp_path / "log",
            hold=Hold(LEAVES_A_WATCHER),
            on_line=interrupt,
            extra_env={"NOTE": str(note)},
        )
    assert read_when_there(note) == "ended 0"


STREAMING = """
import sys
from pathlib import Path
from cudawheel.process import stream

def hold(command, lifeline):
    return (sys.executable, "-c", sys.argv[2], str(lifeline), *command)

stream([sys.executable, "-c", sys.argv[3]], log=Path(sys.argv[1]), hold=hold)
"""


def test_the_lifeline_ends_when_the_process_that_streams_is_killed(tmp_path: Path) -> None:
    note, running = tmp_path / "note", tmp_path / "running"
    program = f"import os, pathlib; pathlib.Path({str(running)!r}).write_text(str(os.getpid())); {SLEEPER}"
    words = [*python(STREAMING), str(tmp_path / "log"), LEAVES_A_WATCHER, program]
    with subprocess.Popen(words, env={**os.environ, "NOTE": str(note)}) as streaming:
        pid = int(read_when_there(running))
        assert not note.exists()
        streaming.kill()
    assert read_when_there(note) == "ended 0"
    # Nothing holds it on a leash here: it is for the test to end.
    os.kill(pid, signal.SIGKILL)


def read_when_there(path: Path) -> str:
    for _ in range(3000):
        if path.is_file() and (text := path.read_text(encoding="utf-8")):
            return text
        threading.Event().wait(0.01)
    pytest.fail(f"{path} never came")


def test_no_other_program_inherits_a_lifeline(tmp_path: Path) -> None:
    hold, others = Hold(), []

    def listen(_line: str) -> None:
        others.append(capture(python(OPEN_FILES)).output)
        others.append(stream(python(OPEN_FILES), log=tmp_path / "other").output)

    done = stream(python(OPEN_FILES), log=tmp_path / "log", hold=hold, on_line=listen)
    assert hold.pipe.startswith("pipe:")
    assert done.output.split().count(hold.pipe) == 1, "the one that is held has its end, and not the other one"
    assert len(others) == 2
    assert [other for other in others if hold.pipe in other] == []


def descriptors() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_a_stream_leaves_no_descriptor_open(tmp_path: Path) -> None:
    before = descriptors()
    for command in (python("pass"), ["/nowhere/ninja"]):
        stream(command, log=tmp_path / "log")
    assert descriptors() == before


def test_all_that_is_streamed_can_be_ended_by_another_thread(tmp_path: Path) -> None:
    ready, done = threading.Barrier(3), []

    def listen(line: str) -> None:
        assert line.isdigit()
        ready.wait(30)

    def run(name: str) -> None:
        done.append(stream(python(SELF + SLEEPER), log=tmp_path / name, on_line=listen))

    waiting = [threading.Thread(target=run, args=(name,)) for name in ("one", "other")]
    for thread in waiting:
        thread.start()
    ready.wait(30)
    end_all()
    for thread in waiting:
        thread.join()
    assert [finished.code for finished in done] == [-signal.SIGTERM] * 2
    end_all()  # there is nothing left to end


def test_an_exception_of_what_gives_the_holder_is_passed_on(tmp_path: Path) -> None:
    def refuse(_command: tuple[str, ...], _lifeline: int) -> tuple[str, ...]:
        raise ZeroDivisionError

    before = descriptors()
    with pytest.raises(ZeroDivisionError):
        stream(python(SLEEPER), log=tmp_path / "log", hold=refuse)
    assert descriptors() == before
