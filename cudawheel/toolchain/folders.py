"""Folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from cudawheel.files import disk_errors


@contextlib.contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the lock of `target`, a folder that several processes may want to make at once.

    Raises:
        StoreError: there can be no lock, because nothing can be written there.
    """
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    with disk_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Give an empty folder beside `target` that takes its name once the block ends well; an older one is dropped.

    To be used while holding the lock of `target`. A kill in the middle leaves `target` as it was, or absent, and the
    half-made folder is swept away by the next one that comes here.
    """
    with disk_errors(target.parent):
        for left_over in target.parent.glob(f".{target.name}.*.tmp"):
            shutil.rmtree(left_over, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"))
        retired = target.with_name(f".{target.name}.old.tmp")
        try:
            yield fresh
            fresh.chmod(0o755)  # mkdtemp makes folders that others cannot read
            if target.exists():
                target.rename(retired)  # a folder that is not empty cannot be renamed over
            fresh.rename(target)
        finally:
            for remains in (fresh, retired):
                shutil.rmtree(remains, ignore_errors=True)
