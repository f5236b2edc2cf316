"""Other cudawheels of the same person on this machine, and what their compilers are still going to take.

What they hold already shows in the machine's free memory. What they have promised to compilers that have only just
started does not, so two builds that start together would both give away the same gigabytes. Each writes its promises
into a file that it keeps locked; a file that nobody holds any more belongs to somebody who is gone.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from typing_extensions import Self

_numbers = itertools.count(1)
_TURN_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What compilers may still take: bytes beyond what they hold, and the threads that they run."""

    memory: int = 0
    threads: int = 0

    def __add__(self, other: Claims) -> Claims:
        return Claims(memory=self.memory + other.memory, threads=self.threads + other.threads)


class Neighbours:
    """The folder in which the claims lie. Where it cannot be used there are no neighbours.

    Args:
        folder: the same for all of one person.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mine = folder / f"{os.getpid()}-{next(_numbers)}.claims"
        self._held = FileLock(_lock_of(self._mine), thread_local=False)  # the jobserver decides in a thread

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Made by somebody else under this name, it would not be to be believed.
            if self._folder.stat().st_uid == os.getuid():
                self._held.acquire()
                self.claim(Claims())
        return self

    def __exit__(self, *_error: object) -> None:
        if self._held.is_locked:
            _forget(self._mine)
            self._held.release()

    @contextlib.contextmanager
    def deciding(self) -> Iterator[Claims]:
        """Give what the others claim, while none of them decides; the block is to be short, and to end in `claim`."""
        with contextlib.ExitStack() as turn:
            if self._held.is_locked:
                # One that was suspended in its turn is not waited for: two at once are the lesser evil.
                with contextlib.suppress(OSError, Timeout):
                    turn.enter_context(FileLock(self._folder / "turn.lock", timeout=_TURN_SECONDS))
            yield self.claims()

    def claim(self, claims: Claims) -> None:
        """Say what this one's compilers may still take."""
        if self._held.is_locked:
            with contextlib.suppress(OSError):
                fresh = self._mine.with_suffix(".new")
                fresh.write_text(f"{claims.memory} {claims.threads}", encoding="ascii")
                fresh.replace(self._mine)

    def claims(self) -> Claims:
        """Give what all others claim."""
        with contextlib.suppress(OSError):
            if not self._held.is_locked:
                return Claims()
            others = [path for path in self._folder.glob("*.claims") if path != self._mine]
            return sum((_read(path) for path in others), Claims())
        return Claims()


def claims_folder() -> Path:
    """Give the folder of this person's claims: one for each machine, which a home folder on the network is not."""
    return Path(tempfile.gettempdir()) / f"cudawheel-claims-{os.getuid()}"


def _read(path: Path) -> Claims:
    try:
        # Whoever can lock it is alone with it.
        with FileLock(_lock_of(path)).acquire(timeout=0):
            _forget(path)
    except Timeout:
        with contextlib.suppress(OSError, ValueError):
            memory, threads = path.read_text(encoding="ascii").split()
            return Claims(memory=int(memory), threads=int(threads))
    return Claims()


def _lock_of(path: Path) -> Path:
    return path.with_suffix(".lock")


def _forget(path: Path) -> None:
    for remains in (path, _lock_of(path)):
        with contextlib.suppress(OSError):
            remains.unlink(missing_ok=True)
