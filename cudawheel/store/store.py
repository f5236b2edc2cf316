"""Wheels that passed their audit, kept by the fingerprint of everything that went into them."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cudawheel.errors import StoredWheelError
from cudawheel.files import disk_errors, sha256_of, write_together
from cudawheel.model.progress import Progress
from cudawheel.store.locks import locked
from cudawheel.store.staging import REPLACED, staging, sweep, sync
from cudawheel.store.stored import (
    FINGERPRINT,
    LAST_USED,
    RECORD,
    Entry,
    StoredWheel,
    look_at,
    read_entry,
    record_text,
    require_hash,
)

__all__ = ["Entry", "Store", "StoredWheel", "other_of_that_name", "publish", "require_writable"]

_IN_THE_WAY = {errno.EEXIST, errno.ENOTEMPTY}


class Store:
    """A folder of wheels, one subfolder a fingerprint.

    An entry appears whole or not at all, and is checked whenever it is asked for. Who reads one holds a shared lock on
    it, who replaces or removes one an exclusive lock, and who makes one the claim to its fingerprint.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def root(self) -> Path:
        """The folder."""
        return self._root

    @contextmanager
    def claim(self, fingerprint: str, progress: Progress) -> Iterator[None]:
        """Hold a fingerprint, so that no other process builds or removes the same; waits until the other one is done.

        Raises:
            StoreError: the store cannot be written.
        """
        with disk_errors(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            lock = self._claim_lock(fingerprint)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                progress.phase("waiting", "another process builds the same variant")
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def find(self, fingerprint: str) -> StoredWheel | None:
        """Give the wheel of a fingerprint, if it is there and its bytes are the ones that were stored.

        A damaged entry is set aside under `damaged/`, never used and never silently deleted. What is to be done with
        the wheel while others may remove it is done within `reading`.

        Raises:
            StoreError: the entry cannot be locked, or a damaged one cannot be set aside.
        """
        with self.reading(fingerprint) as stored:
            return stored

    @contextmanager
    def reading(self, fingerprint: str, *, counts_as_use: bool = True) -> Iterator[StoredWheel | None]:
        """Do what `find` does, and let nobody remove or replace the entry within the block.

        Raises:
            StoreError: as `find`.
        """
        folder = self._root / fingerprint
        with ExitStack() as held:
            with disk_errors(self._root):
                stored = _lock_and_check(folder, held)
                while stored is None and folder.is_dir():
                    if self._set_aside(folder):
                        break
                    # Another process has mended it at the same moment.
                    stored = _lock_and_check(folder, held)
            if stored is not None and counts_as_use:
                _note_use(folder / LAST_USED)
            yield stored

    def add(
        self, fingerprint: str, wheel: Path, record: dict[str, Any], beside: Mapping[str, bytes] | None = None
    ) -> StoredWheel:
        """Keep a wheel under its fingerprint; it appears whole or not at all, and outlives a power cut.

        Args:
            fingerprint: hash of all its inputs.
            wheel: the file, which is copied.
            record: its build record.
            beside: more files of the entry, by name.

        Raises:
            DiskFullError: no space is left.
            StoreError: the store cannot be written.
            StoredWheelError: the wheel is not what its record says.
        """
        folder = self._root / fingerprint
        with disk_errors(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            sweep(self._root)
            with staging(self._root) as temporary:
                new = temporary / "new"
                new.mkdir()
                _write_entry(new, wheel, record, beside or {})
                while not _swap_in(new, folder):
                    self._take_away(folder, temporary)
                sync(self._root)
        return StoredWheel(wheel=folder / wheel.name, record=record)

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """Give an empty folder on the store's disk, gone after the block, or once somebody adds if this one is killed.

        Raises:
            DiskFullError: no space is left.
            StoreError: the store cannot be written.
        """
        with ExitStack() as held:
            with disk_errors(self._root):
                self._root.mkdir(parents=True, exist_ok=True)
                sweep(self._root)
                folder = held.enter_context(staging(self._root))
            yield folder

    def entries(self) -> tuple[Entry, ...]:
        """Describe all entries, by fingerprint, without hashing them."""
        if not self._root.is_dir():
            return ()
        folders = sorted(folder for folder in self._root.iterdir() if FINGERPRINT.fullmatch(folder.name))
        return tuple(entry for folder in folders if (entry := look_at(folder)) is not None)

    def remove(self, entry: Entry) -> bool:
        """Remove an entry unless it is claimed, is being read, or was used since it was looked at; gives whether.

        Raises:
            StoreError: the store cannot be written.
        """
        folder = self._root / entry.fingerprint
        with disk_errors(self._root), ExitStack() as held:
            try:
                held.enter_context(self._claim_lock(entry.fingerprint).acquire(timeout=0))
                temporary = held.enter_context(staging(self._root))
                with locked(folder / RECORD, exclusive=True, wait=False):
                    now = look_at(folder)
                    if now is None or now.last_used != entry.last_used:
                        return False
                    folder.rename(temporary / "removed")
            except (Timeout, BlockingIOError, FileNotFoundError):
                return False
        return True

    def set_aside(self, stored: StoredWheel) -> None:
        """Move an entry to `damaged/` that was found unsound by more than its hash, unless it was replaced meanwhile.

        Raises:
            StoreError: the store cannot be written.
        """
        folder = stored.wheel.parent
        with disk_errors(self._root), suppress(FileNotFoundError), locked(folder / RECORD, exclusive=True):
            if look_at(folder) is not None and read_entry(folder) == stored:
                self._move_to_damaged(folder)

    def damaged(self) -> tuple[Path, ...]:
        """Give the folders of the entries that were set aside."""
        folder = self._root / "damaged"
        return tuple(sorted(folder.iterdir())) if folder.is_dir() else ()

    def sweep(self) -> int:
        """Remove what killed processes left; gives how many folders. `add` does so, too.

        Raises:
            StoreError: the store cannot be written.
        """
        with disk_errors(self._root):
            return sweep(self._root)

    def _claim_lock(self, fingerprint: str) -> FileLock:
        return FileLock(self._root / f"{fingerprint}.lock")

    def _take_away(self, folder: Path, temporary: Path) -> None:
        """Make room for a new entry: wait for those who read the old one; keep it aside if it is damaged."""
        if self._set_aside(folder):
            return
        with suppress(FileNotFoundError), locked(folder / RECORD, exclusive=True):
            folder.rename(Path(tempfile.mkdtemp(prefix=REPLACED, dir=temporary), folder.name))

    def _set_aside(self, folder: Path) -> bool:
        """Move an entry to `damaged/` unless it is sound; gives whether it is out of the way."""
        try:
            with locked(folder / RECORD, exclusive=True):
                if _read_sound(folder) is not None:
                    return False
                self._move_to_damaged(folder)
        except FileNotFoundError:
            # Without a record there is nothing to lock, and nobody who reads.
            with suppress(FileNotFoundError):
                place = self._move_to_damaged(folder)
                if _read_sound(place) is not None:  # somebody has put a good one there at this very moment
                    place.rename(folder)
                    return False
        return True

    def _move_to_damaged(self, folder: Path) -> Path:
        damaged = self._root / "damaged"
        damaged.mkdir(exist_ok=True)
        return folder.rename(damaged / f"{folder.name}-{secrets.token_hex(4)}")


def _lock_and_check(folder: Path, held: ExitStack) -> StoredWheel | None:
    """Lock an entry for reading and give its wheel; None, and no lock, if it is absent or damaged."""
    with ExitStack() as lock:
        try:
            lock.enter_context(locked(folder / RECORD))
        except (FileNotFoundError, NotADirectoryError):
            return None
        stored = _read_sound(folder)
        if stored is not None:
            held.push(lock.pop_all())
    return stored


def _read_sound(folder: Path) -> StoredWheel | None:
    """Read an entry and hash its wheel; None if they do not fit together."""
    try:
        stored = read_entry(folder)
        require_hash(stored)
    except (OSError, ValueError, StoredWheelError):
        return None
    return stored


def _note_use(path: Path) -> None:
    """Write down that an entry was used just now; a clock that went back does not make it look unused for long."""
    with suppress(OSError):  # a store that may only be read is used all the same
        before = path.stat().st_mtime if path.exists() else 0.0
        path.touch()
        os.utime(path, (max(time.time(), before),) * 2)


def _write_entry(new: Path, wheel: Path, record: dict[str, Any], beside: Mapping[str, bytes]) -> None:
    copy = StoredWheel(wheel=new / wheel.name, record=record)
    shutil.copyfile(wheel, copy.wheel)
    require_hash(copy)
    if wheel.name != record["wheel"]["file"]:
        raise StoredWheelError(f"the record of {wheel.name} is of {record['wheel']['file']}", remedy="Build it again.")
    for name, content in {**beside, LAST_USED: b"", RECORD: record_text(record).encode()}.items():
        (new / name).write_bytes(content)
    for path in (*new.iterdir(), new):
        sync(path)


def _swap_in(new: Path, folder: Path) -> bool:
    """Give a finished entry its place; whether that was free."""
    try:
        new.rename(folder)
    except OSError as error:
        if error.errno in _IN_THE_WAY:
            return False
        raise
    return True


def publish(stored: StoredWheel, wheelhouse: Path, beside: Mapping[str, bytes] | None = None) -> Path:
    """Put a wheel and its record into the wheelhouse, the wheel last, each whole or not at all.

    Args:
        stored: the wheel.
        wheelhouse: the folder.
        beside: more files, by what their names have behind the wheel's, such as `.svg`.

    Raises:
        DiskFullError: no space is left.
        StoreError: the wheelhouse cannot be written.
    """
    target = wheelhouse / stored.wheel.name
    with ExitStack() as held, disk_errors(wheelhouse):
        wheelhouse.mkdir(parents=True, exist_ok=True)
        files = {wheelhouse / f"{stored.wheel.name}.json": record_text(stored.record).encode()}
        files |= {wheelhouse / f"{stored.wheel.name}{ending}": content for ending, content in (beside or {}).items()}
        if _one_at_a_time(wheelhouse, held):
            for left in wheelhouse.glob(f".{glob.escape(stored.wheel.name)}*"):
                left.unlink()  # by a process that was killed while it published this wheel
        if not target.is_file() or sha256_of(target) != stored.record["wheel"]["sha256"]:
            files[target] = stored.wheel.read_bytes()
        write_together(files)
    return target


def _one_at_a_time(wheelhouse: Path, held: ExitStack) -> bool:
    """Wait until nobody else publishes there: of two wheels of one name, one's record could end up beside the other.

    Gives whether that is certain: NFS locks no folders, and there it is left to chance.
    """
    handle = os.open(wheelhouse, os.O_RDONLY)
    held.callback(os.close, handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def other_of_that_name(stored: StoredWheel, wheelhouse: Path) -> str:
    """Give the sha256 of a wheel that `publish` would replace by one with other bytes; empty where there is none."""
    target = wheelhouse / stored.wheel.name
    found = sha256_of(target) if target.is_file() else stored.record["wheel"]["sha256"]
    return "" if found == stored.record["wheel"]["sha256"] else found


def require_writable(folder: Path) -> None:
    """Make sure that a folder can be written before hours are spent on what goes into it.

    Raises:
        StoreError: it cannot.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
