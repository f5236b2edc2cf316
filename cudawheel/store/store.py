"""Wheels that passed their audit, kept by the fingerprint of everything that went into them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cudawheel.files import disk_errors, sha256_of, write_together
from cudawheel.model.progress import Progress

_RECORD = "record.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWheel:
    """A wheel with its build record.

    Attributes:
        record: what `factory.record` wrote; `record["wheel"]["sha256"]` is the hash of the file.
    """

    wheel: Path
    record: dict[str, Any]


class Store:
    """A folder of wheels, one subfolder a fingerprint."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def claim(self, fingerprint: str, progress: Progress) -> Iterator[None]:
        """Hold a fingerprint, so that no other process builds the same; waits until the other one is done.

        Raises:
            StoreError: the store cannot be written.
        """
        with disk_errors(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._root / f"{fingerprint}.lock")
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

        A damaged entry is set aside under `damaged/`, never used and never silently deleted.

        Raises:
            StoreError: a damaged entry cannot be set aside.
        """
        folder = self._root / fingerprint
        if not folder.is_dir():
            return None
        try:
            record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
            wheel = folder / record["wheel"]["file"]
            if sha256_of(wheel) == record["wheel"]["sha256"]:
                return StoredWheel(wheel=wheel, record=record)
        except (OSError, ValueError, KeyError, TypeError):
            pass
        with disk_errors(self._root):
            self._set_aside(folder)
        return None

    def add(self, fingerprint: str, wheel: Path, record: dict[str, Any]) -> StoredWheel:
        """Keep a wheel under its fingerprint; it appears whole or not at all.

        Raises:
            DiskFullError: no space is left.
            StoreError: the store cannot be written.
        """
        folder = self._root / fingerprint
        with disk_errors(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=self._root))
            try:
                new = temporary / "new"
                new.mkdir()
                shutil.copyfile(wheel, new / wheel.name)
                (new / _RECORD).write_text(_to_text(record), encoding="utf-8")
                if self.find(fingerprint) is not None:
                    folder.rename(temporary / "replaced")
                new.rename(folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        return StoredWheel(wheel=folder / wheel.name, record=record)

    def _set_aside(self, folder: Path) -> None:
        damaged = self._root / "damaged"
        damaged.mkdir(exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f"{folder.name[:16]}-", dir=damaged))
        try:
            folder.rename(place / folder.name)
        except FileNotFoundError:
            # Another process found the damage at the same time and was faster.
            place.rmdir()


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
    with disk_errors(wheelhouse):
        wheelhouse.mkdir(parents=True, exist_ok=True)
        files = {wheelhouse / f"{stored.wheel.name}.json": _to_text(stored.record).encode()}
        files |= {wheelhouse / f"{stored.wheel.name}{ending}": content for ending, content in (beside or {}).items()}
        if not target.is_file() or sha256_of(target) != stored.record["wheel"]["sha256"]:
            files[target] = stored.wheel.read_bytes()
        write_together(files)
    return target


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


def _to_text(record: dict[str, Any]) -> str:
    return json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
