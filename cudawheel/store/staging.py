"""Folders of work in progress beside the entries of the store, and what becomes of those whose process was killed.

Each has a file `owner`, locked as long as its process lives. Whoever can lock it has found a folder that nobody works
in any more: process numbers and times of day would not tell on a file system that several machines share.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from cudawheel.store.locks import locked

_PREFIX = ".new-"
_OWNER = "owner"
REPLACED = "replaced-"
"""What a subfolder's name begins with that holds an entry about to be replaced; put back if that came to nothing."""


@contextmanager
def staging(root: Path) -> Iterator[Path]:
    """Give an empty folder below `root`, on the same disk as the entries, that is gone at the end.

    Raises:
        OSError: it cannot be made.
    """
    with ExitStack() as owned:
        folder = None
        while folder is None:
            made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
            # Somebody who sweeps may have come between, and taken the new folder for an abandoned one.
            with suppress(BlockingIOError, FileNotFoundError):
                owned.enter_context(_ownership(made))
                folder = made
        try:
            yield folder
        finally:
            _remove(folder)


def sweep(root: Path) -> int:
    """Remove what killed processes left, and put back entries that they were about to replace; gives how many."""
    swept = 0
    for folder in root.glob(f"{_PREFIX}*"):
        with suppress(BlockingIOError, FileNotFoundError, NotADirectoryError, PermissionError), _ownership(folder):
            for replaced in folder.glob(f"{REPLACED}*/*"):
                # Fails where the entry is there again, and then there is nothing to put back.
                with suppress(OSError):
                    replaced.rename(root / replaced.name)
            _remove(folder)
            swept += 1
    return swept


@contextmanager
def _ownership(folder: Path) -> Iterator[None]:
    with locked(folder / _OWNER, exclusive=True, wait=False, create=True):
        yield


def _remove(folder: Path) -> None:
    """Remove a folder, the file that says whose it is last, so that nobody meddles with one that is half removed."""
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if path.name != _OWNER:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        (folder / _OWNER).unlink()
        folder.rmdir()


def sync(path: Path) -> None:
    """Have the disk keep a file's content, or a folder's names, through a power cut.

    Raises:
        OSError: the disk is full or broken.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
