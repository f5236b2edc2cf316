"""Locks on single files, shared or exclusive, that end with the process however it ends.

Claims are filelock's, which knows no shared locks. Readers of one entry must not wait for each other, so entries are
locked by `flock` itself: on their record, which moves along with the entry and needs no file of its own.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, *, exclusive: bool = False, wait: bool = True, create: bool = False) -> Iterator[int]:
    """Lock the file that a path names at this moment; gives its descriptor.

    Args:
        path: the file; it may be moved, replaced or removed by others before the lock is had.
        exclusive: whether nobody else may hold it at the same time.
        wait: whether to wait for others.
        create: whether to make the file where it is missing.

    Raises:
        FileNotFoundError: there is no such file, or no more.
        BlockingIOError: somebody else holds it, and `wait` is false.
    """
    operation = (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB)
    # NFS carries an exclusive lock out as one on bytes, for which the file has to be open for writing.
    flags = (os.O_RDWR if exclusive else os.O_RDONLY) | (os.O_CREAT if create else 0)
    handle = _lock(path, flags, operation)
    try:
        yield handle
    finally:
        os.close(handle)


def _lock(path: Path, flags: int, operation: int) -> int:
    while True:
        handle = os.open(path, flags, 0o644)
        try:
            fcntl.flock(handle, operation)
            if _is_there(handle, path):
                return handle
        except BaseException:
            os.close(handle)
            raise
        # While this one waited, another file has taken the name.
        os.close(handle)
        flags &= ~os.O_CREAT


def _is_there(handle: int, path: Path) -> bool:
    """Whether a path still names the file that a descriptor is open on."""
    mine = os.fstat(handle)
    try:
        there = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)
