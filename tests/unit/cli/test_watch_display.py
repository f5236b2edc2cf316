"""What a person sees of a watched command on a real terminal: a pseudo-terminal, that is."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE = 60.0


class Terminal:
    """A terminal, and what was written to it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.shown = ""

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} never came, but {self.shown!r}"
            self._read(0.2)

    def rest(self) -> str:
        while self._read(1.0):
            pass
        return self.shown

    def answer(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self.descriptor], [], [], seconds)
        piece = b""
        if ready:
            with suppress(OSError):  # the other end is closed
                piece = os.read(self.descriptor, 1 << 16)
        self.shown += piece.decode("utf-8", "replace")
        return bool(piece)


@contextmanager
def watching(script: str, cache: Path, **streams: int) -> Iterator[tuple[Terminal, subprocess.Popen[bytes]]]:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "cudawheel", "watch", "--", "sh", "-c", script]
    environment = {**os.environ, "CUDAWHEEL_CACHE": str(cache), "TERM": "xterm", "COLUMNS": "120"}
    given = {"stdin": theirs, "stdout": theirs, "stderr": theirs, **streams}
    process = subprocess.Popen(command, env=environment, **given)  # type: ignore[call-overload]
    os.close(theirs)
    try:
        yield Terminal(ours), process
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_a_live_line_stands_below_the_output(tmp_path: Path) -> None:
    with watching("echo first; sleep 1; echo last; exit 4", tmp_path) as (terminal, process):
        terminal.wait_for("GiB")
        assert process.wait(PATIENCE) == 4
        shown = terminal.rest()
    assert shown.index("first") < shown.index("▸ 0:0") < shown.index("last") < shown.index("exit status 4")


def test_a_question_is_seen_and_can_be_answered(tmp_path: Path) -> None:
    with watching("printf 'Proceed (Y/n)? '; read answer; echo you said $answer", tmp_path) as (terminal, process):
        terminal.wait_for("Proceed (Y/n)?")
        terminal.answer("yes\n")
        terminal.wait_for("you said yes")
        assert process.wait(PATIENCE) == 0


def test_what_is_not_for_the_terminal_passes_untouched(tmp_path: Path) -> None:
    read, write = os.pipe()
    script = "printf 'a\\001\\377\\033[31mb'; sleep 0.6; echo shown >&2"
    with watching(script, tmp_path, stdout=write) as (terminal, process):
        os.close(write)
        assert process.wait(PATIENCE) == 0
        assert "shown" in terminal.rest()
    assert os.read(read, 100) == b"a\x01\xff\x1b[31mb"
    os.close(read)


def test_ctrl_c_ends_the_command_and_is_told(tmp_path: Path) -> None:
    with watching("echo started; sleep 600", tmp_path) as (terminal, process):
        terminal.wait_for("started")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert "was ended" in terminal.rest()


def test_a_reader_that_goes_away_ends_it(tmp_path: Path) -> None:
    command = f"{sys.executable} -m cudawheel watch -- seq 200000 | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],  # noqa: S607 - any bash
        env={**os.environ, "CUDAWHEEL_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "1\n"
    assert done.returncode == 128 + 13
    assert "Traceback" not in done.stderr


def test_what_nobody_reads_any_more_does_not_fail_at_the_end() -> None:
    program = (
        "import sys; from cudawheel.cli.streams import let_go; "
        "sys.stdout.write('x'); sys.stdin.read(); let_go(); sys.exit(3)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        running.stdout.close()
        running.stdout = None
        _, said = running.communicate(timeout=60)
    # Python ends with 120 where its last flush fails.
    assert (running.returncode, said) == (3, b"")
