"""Watching what a build holds in memory while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

import psutil
from typing_extensions import Self

_SAMPLE_SECONDS = 0.25


class MemoryWatch:
    """Samples the resident memory of a process and all it started, in a thread of its own.

    Use as a context manager around the work, and call `follow` once the process id is known.

    Attributes:
        peak: the most that was seen, in bytes.
        largest_process: the most that a single process held, in bytes.
    """

    def __init__(self, on_sample: Callable[[int, int], None] = lambda _now, _peak: None) -> None:
        self.peak = 0
        self.largest_process = 0
        self._on_sample = on_sample
        self._process: psutil.Process | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def follow(self, pid: int) -> None:
        """Watch the process `pid` and its descendants from now on."""
        try:
            self._process = psutil.Process(pid)
        except psutil.NoSuchProcess:
            self._process = None

    def _run(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            if self._process is not None:
                self._sample(self._process)

    def _sample(self, root: psutil.Process) -> None:
        try:
            sizes = [_resident(process) for process in (root, *root.children(recursive=True))]
        except psutil.NoSuchProcess:
            return
        now = sum(sizes)
        self.peak = max(self.peak, now)
        self.largest_process = max(self.largest_process, *sizes)
        self._on_sample(now, self.peak)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        # It ended between being listed and being asked.
        return 0
