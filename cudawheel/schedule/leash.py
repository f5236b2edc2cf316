"""Holds a build so that nothing of it can get away: no compiler outlives the build, and no build outlives cudawheel.

A program of its own, run as `python -IS leash.py LIFELINE SCORE GROUP COMMAND...`, between cudawheel and a package's
backend. Every orphan below it becomes its child, whichever process group or session it moved to. When
the backend ends, when somebody asks it to end, or when the other end of LIFELINE closes because cudawheel was killed,
it ends everything below it.

    LIFELINE  descriptor of a pipe that cudawheel holds open as long as it lives
    SCORE     oom_score_adj of all that runs below
    GROUP     the file `cgroup.procs` of the cgroup to enter, or an empty word
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time

# Of prctl(2): orphans below this process become its children.
_PR_SET_CHILD_SUBREAPER = 36
_POLL_MILLISECONDS = 100
_GRACE_SECONDS = 0.5
_NOT_FOUND = 127
# By Python, and the first by the leash; what runs below is to find them as they were.
_IGNORED = (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ)


def main(arguments: list[str]) -> int:
    """Run a command on the leash; give its exit status, or end by the signal that ended it."""
    lifeline, score, group, *command = arguments
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _write("/proc/self/oom_score_adj", score)
    if group:
        _write(group, "0")
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: asked.append(number))
    # Of a terminal: cudawheel hears it too, and says what is to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = os.posix_spawnp(command[0], command, dict(os.environ), setsigdef=_IGNORED)
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return _NOT_FOUND
    try:
        status = _await(child, int(lifeline), asked)
    finally:
        end_descendants()
    code = 128 + signal.SIGTERM if status is None else os.waitstatus_to_exitcode(status)
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _await(child: int, lifeline: int, asked: list[int]) -> int | None:
    """Wait for the command; give its wait status, or None if it is to end before its time."""
    poll = select.poll()
    poll.register(lifeline, select.POLLIN)
    poll.register(os.pidfd_open(child), select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll(_POLL_MILLISECONDS)}
        for process, status in _reap():
            if process == child:
                return status
        if lifeline in ready or asked:
            return None


def _reap() -> list[tuple[int, int]]:
    """Take note of children that have ended, adopted ones too: their process ids and wait statuses."""
    ended = []
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended.append(found)
    return ended


def end_descendants() -> None:
    """End all that runs below this process: politely, and after a moment for good."""
    start = time.monotonic()
    while alive := descendants(os.getpid()):
        number = signal.SIGTERM if time.monotonic() - start < _GRACE_SECONDS else signal.SIGKILL
        within_reach = [process for process in alive if _tell(process, number)]
        if not within_reach:
            return
        time.sleep(0.02)
        _reap()


def _tell(process: int, number: int) -> bool:
    """Send a signal; say whether that is allowed, which it is not to what sudo runs."""
    try:
        os.kill(process, number)
    except ProcessLookupError:
        pass  # it has just ended, and may have left children
    except PermissionError:
        return False
    return True


def descendants(process: int) -> list[int]:
    """Give the ids of all processes below one, nearest first."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - hundreds of them, many times
        if entry.isdigit():
            children.setdefault(_parent(entry), []).append(int(entry))
    found = [process]
    for one in found:
        found += children.get(one, [])
    return found[1:]


def _parent(process: str) -> int:
    # The name of a program, which stands before the parent, may hold blanks and brackets (proc(5)).
    with (
        contextlib.suppress(OSError, IndexError, ValueError),
        open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file,  # noqa: PTH123 - as below
    ):
        return int(file.read().rpartition(")")[2].split()[1])
    return 0


def _write(path: str, text: str) -> None:
    # Not being allowed to is no reason not to build; and pathlib takes as long to import as Python to start.
    with contextlib.suppress(OSError), open(path, "w", encoding="ascii") as file:  # noqa: PTH123
        file.write(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
