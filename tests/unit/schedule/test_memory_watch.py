"""The watch, on real processes that hold a known amount."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from cudawheel.schedule.watch import MemoryWatch

MIB = 1 << 20
HELD = 64 * MIB
# Touched page by page, so that it is resident; ends when its input does.
HOLDER = f"import sys; held = bytearray(b'x') * {HELD}; print('held', flush=True); sys.stdin.read()"
PARENT = f"""
import subprocess, sys
pipe = subprocess.PIPE
children = [subprocess.Popen([sys.executable, '-c', {HOLDER!r}], stdin=pipe, stdout=pipe) for _ in range(2)]
for child in children:
    child.stdout.readline()
print('held', flush=True)
sys.stdin.read()
for child in children:
    child.communicate()
"""


@contextmanager
def running(program: str) -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        yield child.pid


class Samples:
    """A listener that lets a test wait for samples instead of for time to pass."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []
        self._arrived = threading.Semaphore(0)

    def __call__(self, now: int, peak: int) -> None:
        self.seen.append((now, peak))
        self._arrived.release()

    def wait(self, number: int) -> None:
        for _ in range(number):
            assert self._arrived.acquire(timeout=60)


def test_a_process_is_seen_with_what_it_holds() -> None:
    samples = Samples()
    with running(HOLDER) as pid, MemoryWatch(samples) as watch:
        watch.follow(pid)
        samples.wait(2)
    assert HELD < watch.peak < HELD + 100 * MIB
    assert watch.largest_process == watch.peak
    assert all(now <= peak <= watch.peak for now, peak in samples.seen)


def test_children_are_added_up_and_the_largest_is_told_apart() -> None:
    samples = Samples()
    with running(PARENT) as pid, MemoryWatch(samples) as watch:
        watch.follow(pid)
        samples.wait(1)
    assert watch.peak > 2 * HELD
    assert HELD < watch.largest_process < watch.peak - HELD


def test_the_peak_outlives_the_process_that_made_it() -> None:
    samples = Samples()
    with MemoryWatch(samples) as watch:
        with running(HOLDER) as pid:
            watch.follow(pid)
            samples.wait(1)
        peak = watch.peak
        with running("import sys; print('held', flush=True); sys.stdin.read()") as pid:
            watch.follow(pid)
            samples.wait(3)
    assert watch.peak == peak > HELD
    assert samples.seen[-1][0] < HELD
    assert samples.seen[-1][1] == peak


def test_a_process_that_is_gone_is_no_error() -> None:
    with running("print('held', flush=True)") as pid:
        pass
    samples = Samples()
    with MemoryWatch(samples) as watch:
        watch.follow(pid)
        assert (watch.peak, samples.seen) == (0, [])


def test_a_process_that_ends_while_it_is_watched_is_no_error() -> None:
    samples = Samples()
    with MemoryWatch(samples) as watch:
        with running(HOLDER) as pid:
            process = psutil.Process(pid)
            watch.follow(pid)
            samples.wait(1)
        seen = len(samples.seen)
        watch._sample(process)
    assert len(samples.seen) == seen


def test_a_child_that_ends_while_it_is_asked_counts_as_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(self: psutil.Process) -> None:
        raise psutil.NoSuchProcess(self.pid)

    samples = Samples()
    with running(HOLDER) as pid, MemoryWatch(samples) as watch:
        monkeypatch.setattr(psutil.Process, "memory_info", gone)
        watch.follow(pid)
        samples.wait(1)
    assert watch.peak == 0


def test_a_watch_that_follows_nothing_sees_nothing() -> None:
    with MemoryWatch() as watch:
        pass
    assert (watch.peak, watch.largest_process) == (0, 0)


def test_the_thread_ends_with_the_work_even_if_that_fails() -> None:
    with pytest.raises(KeyboardInterrupt), MemoryWatch():
        raise KeyboardInterrupt
    assert "memory-watch" not in {thread.name for thread in threading.enumerate()}
