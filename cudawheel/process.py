"""The one place that starts other programs.

Short commands are captured; long ones are streamed line by line into a log file. Each runs in a process group of its
own that is ended as a whole on Ctrl-C and on a time-out, so that no compiler or download outlives the build.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

NOT_FOUND = 127
TIMED_OUT = 124

_TAIL_LINES = 60
_PIECE = 1 << 16
_GRACE_SECONDS = 3.0

_streamed: set[subprocess.Popen[str]] = set()
_starting = threading.Lock()
_stopped = threading.Event()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A program that has ended.

    Attributes:
        command: what was run.
        code: its exit status; negative for a signal.
        output: standard output and error together; for a streamed program only the last lines.
        seconds: wall time.
    """

    command: tuple[str, ...]
    code: int
    output: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether it ended with exit status 0."""
        return self.code == 0


def capture(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    extra_env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 60.0,
) -> Finished:
    """Run a short command and keep all it prints. A time-out counts as exit status 124, a missing program as 127.

    Args:
        env: the whole environment; None inherits this process's own.
        extra_env: variables on top of that.
        timeout: seconds.
    """
    words = tuple(str(word) for word in command)
    environment = {**(os.environ if env is None else env), **(extra_env or {})}
    start = time.monotonic()
    try:
        with _start(words, environment, cwd) as child:
            try:
                output, _ = child.communicate(timeout=timeout)
                code = child.returncode
            except subprocess.TimeoutExpired as late:
                end_group(child)
                # CPython hands back bytes here even in text mode.
                partial = late.output.decode(errors="replace") if isinstance(late.output, bytes) else ""
                output, code = f"{partial}\nno answer within {timeout:g} s".strip(), TIMED_OUT
            except BaseException:
                end_group(child)
                raise
    except OSError as missing:
        output, code = str(missing), NOT_FOUND
    return Finished(command=words, code=code, output=output, seconds=time.monotonic() - start)


def stream(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    extra_env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    on_line: Callable[[str], None] = lambda _line: None,
    hold: Callable[[tuple[str, ...], int], tuple[str, ...]] = lambda command, _lifeline: command,
) -> Finished:
    """Run a long command, appending all it prints to `log` and passing each line on; a missing program is status 127.

    Args:
        env: the whole environment; None inherits this process's own.
        extra_env: variables on top of that.
        log: file that receives the whole output, the command itself first.
        on_line: called with each line, without its line end.
        hold: gives the command that runs another one on a leash. It is told a descriptor, to be inherited, whose other
            end stays open as long as this process lives.

    Raises:
        KeyboardInterrupt: passed on after the whole process group has been ended; also after `end_all`.
    """
    words = tuple(str(word) for word in command)
    environment = {**(os.environ if env is None else env), **(extra_env or {})}
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    start = time.monotonic()
    with log.open("a", encoding="utf-8", errors="replace") as sink, _lifeline() as lifeline:
        sink.write(f"$ {' '.join(words)}\n")
        try:
            child = _start_listed(hold(words, lifeline), environment, cwd, lifeline)
        except OSError as missing:
            sink.write(f"{missing}\n")
            return Finished(command=words, code=NOT_FOUND, output=str(missing), seconds=time.monotonic() - start)
        with child:
            try:
                assert child.stdout is not None  # noqa: S101 - stdout=PIPE makes it so; this is for the type checker
                for line in child.stdout:
                    sink.write(line)
                    tail.append(line.rstrip("\n"))
                    on_line(tail[-1])
                code = child.wait()
            except BaseException:
                end_group(child)
                raise
            finally:
                _streamed.discard(child)
    return Finished(command=words, code=code, output="\n".join(tail), seconds=time.monotonic() - start)


def follow(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    on_output: Callable[[bytes, bool], None],
    hold: Callable[[tuple[str, ...], int], tuple[str, ...]] = lambda command, _lifeline: command,
) -> Finished:
    """Run a command as if it had been called by itself: with this process's standard input, and its output passed on.

    Args:
        env: the whole environment.
        on_output: called with each piece of output as it comes, and whether it was written to standard error.
        hold: gives the command that runs another one on a leash, as for `stream`.

    Raises:
        KeyboardInterrupt: passed on after the whole process group has been ended; also after `end_all`.
    """
    words = tuple(str(word) for word in command)
    start = time.monotonic()
    with _lifeline() as lifeline:
        try:
            child = _start_listed(hold(words, lifeline), dict(env), None, lifeline, passed_on=True)
        except OSError as missing:
            return Finished(command=words, code=NOT_FOUND, output=str(missing), seconds=time.monotonic() - start)
        with child:
            try:
                _pump(child, on_output)
                code = child.wait()
            except BaseException:
                end_group(child)
                raise
            finally:
                _streamed.discard(child)
    return Finished(command=words, code=code, output="", seconds=time.monotonic() - start)


def _pump(child: subprocess.Popen[str], on_output: Callable[[bytes, bool], None]) -> None:
    assert child.stdout is not None  # noqa: S101 - stdout=PIPE makes it so; this is for the type checker
    assert child.stderr is not None  # noqa: S101 - as above
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout.fileno(), selectors.EVENT_READ, data=False)
        selector.register(child.stderr.fileno(), selectors.EVENT_READ, data=True)
        while selector.get_map():
            for key, _ in selector.select():
                piece = os.read(key.fd, _PIECE)
                if piece:
                    on_output(piece, key.data)
                else:
                    selector.unregister(key.fd)


def _start_listed(
    words: tuple[str, ...],
    environment: dict[str, str],
    cwd: Path | None,
    lifeline: int,
    *,
    passed_on: bool = False,
) -> subprocess.Popen[str]:
    with _starting:
        if _stopped.is_set():
            raise KeyboardInterrupt
        child = _start(words, environment, cwd, inherited=(lifeline,), passed_on=passed_on)
        _streamed.add(child)
        return child


@contextlib.contextmanager
def _lifeline() -> Iterator[int]:
    """Give a descriptor that reads as ended once the block is left, or this process is gone."""
    read, write = os.pipe()
    try:
        yield read
    finally:
        os.close(write)
        os.close(read)


def end_all() -> None:
    """End every program that is being streamed, whichever thread waits for it, and let none be streamed any more."""
    with _starting:
        _stopped.set()
        running = list(_streamed)
    for child in running:
        end_group(child)


def _start(
    words: tuple[str, ...],
    environment: dict[str, str],
    cwd: Path | None,
    inherited: tuple[int, ...] = (),
    *,
    passed_on: bool = False,
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words,
        pass_fds=inherited,
        env=environment,
        cwd=cwd,
        stdin=None if passed_on else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if passed_on else subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def end_group(child: subprocess.Popen[str]) -> None:
    """End a program and all it started: politely first, then for good."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
        waiter = threading.Event()
        deadline = time.monotonic() + _GRACE_SECONDS
        while child.poll() is None and time.monotonic() < deadline:
            waiter.wait(0.05)
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
