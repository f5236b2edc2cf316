"""Stores elsewhere: a shared folder, a bucket, or static files on a web server.

Layout, the same everywhere, so that a bucket or a folder can be served as it is:

    FINGERPRINT/record.json             written last, and by the first who comes
    FINGERPRINT/SHA256/NAME.whl         the wheel that the record is of
    FINGERPRINT/SHA256/COMPANION        what may lie beside it

A wheel lies under its own hash, so nobody ever overwrites bytes that a record speaks of: whatever several machines do
at the same time, each record names a wheel that was whole before the record appeared.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from cudawheel.errors import RemoteStoreError, StoredWheelError
from cudawheel.files import disk_errors
from cudawheel.model.progress import Progress
from cudawheel.store.places import Place, open_place
from cudawheel.store.stored import COMPANIONS, FINGERPRINT, RECORD, StoredWheel, parse_record, record_text

_CHUNK_BYTES = 4 << 20
_LARGEST_SMALL_FILE = 64 << 20


class Pushed(Enum):
    """What came of pushing a wheel."""

    UPLOADED = "uploaded"
    THERE = "there already"
    COMPLETED = "there already, and signed since"
    OTHER = "another wheel of this fingerprint is there, and stays"
    MENDED = "uploaded in place of a damaged one"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteEntry:
    """What a remote store says that it holds; not yet looked at."""

    fingerprint: str
    record: dict[str, Any]

    @property
    def sha256(self) -> str:
        """What the wheel's hash has to be."""
        return str(self.record["wheel"]["sha256"])

    @property
    def file(self) -> str:
        """The wheel's name."""
        return str(self.record["wheel"]["file"])


class RemoteStore:
    """A store that is not a folder of this machine's own; see the module for its layout."""

    def __init__(self, url: str) -> None:
        """Find what is behind an address; nothing is asked of it yet.

        Raises:
            UsageError: it is no address of a remote store.
            ExtraMissingError: the packages for it are not installed.
        """
        self._place: Place = open_place(url)

    @property
    def url(self) -> str:
        """Its address, without a password."""
        return self._place.url

    def fingerprints(self) -> tuple[str, ...]:
        """List what there is.

        Raises:
            RemoteStoreError: it cannot be reached, or is a web server that lists nothing.
        """
        place = self._place
        with place.errors():
            try:
                names = [str(name).rstrip("/").rpartition("/")[2] for name in place.files.ls(place.root, detail=False)]
            except FileNotFoundError as error:
                if place.kind in {"s3", "gs"}:
                    return ()  # a prefix that nothing was put under; a missing bucket says so when it is written
                raise RemoteStoreError(
                    f"there is nothing at {self.url}",
                    why=str(error),
                    remedy="Check the address; a folder is made by the first push.",
                ) from error
        found = tuple(sorted({name for name in names if FINGERPRINT.fullmatch(name)}))
        if not found and place.kind == "http":
            raise RemoteStoreError(
                f"{self.url} lists no wheels",
                why="Its server may list no folders, or it is no store.",
                remedy="Name the fingerprints; `cudawheel build --remote-cache` needs no list.",
            )
        return found

    def look(self, fingerprint: str) -> RemoteEntry | None:
        """Read the record of a fingerprint; None if there is none.

        Raises:
            RemoteStoreError: it cannot be reached.
            StoredWheelError: what is there is no record of that fingerprint.
        """
        content = self._read_small(fingerprint, RECORD)
        if content is None:
            return None
        try:
            record = parse_record(content, fingerprint)
        except ValueError as error:
            raise StoredWheelError(
                f"{self.url} holds no readable record of {fingerprint[:12]}…",
                why=str(error),
                remedy="Push the wheel again from a machine that has it, or remove the folder there.",
            ) from error
        return RemoteEntry(fingerprint=fingerprint, record=record)

    def fetch(self, entry: RemoteEntry, folder: Path, progress: Progress) -> tuple[StoredWheel, dict[str, bytes]]:
        """Fetch a wheel and what lies beside it into a folder.

        Returns:
            The wheel, whose hash is what the record says and nothing else checked, and its companions by name.

        Raises:
            RemoteStoreError: it cannot be reached, or is gone.
            StoredWheelError: it is not what its record says.
            DiskFullError: no space is left here.
        """
        stored = StoredWheel(wheel=folder / entry.file, record=entry.record)
        with disk_errors(folder):
            stored.wheel.touch()
        with self._place.errors():
            try:
                with self._place.absence():
                    found = self._download(entry, stored.wheel, progress)
            except FileNotFoundError as error:
                raise RemoteStoreError(
                    f"{self.url} holds the record of {entry.file} and not the wheel",
                    why=str(error),
                    remedy="Push the wheel again from a machine that has it.",
                ) from error
        if found != entry.sha256:
            raise StoredWheelError(
                f"{entry.file} from {self.url} is not the wheel that its record is of",
                why=f"the record says sha256 {entry.sha256}\nwhat came has   sha256 {found}",
                remedy="Push it again from a machine that has it; find out who changed it.",
            )
        return stored, self.beside(entry)

    def beside(self, entry: RemoteEntry) -> dict[str, bytes]:
        """Read what lies beside a wheel, by name.

        Raises:
            RemoteStoreError: it cannot be reached.
            StoredWheelError: a file is too large for what it should be.
        """
        found = {name: self._read_small(entry.fingerprint, entry.sha256, name) for name in COMPANIONS}
        return {name: content for name, content in found.items() if content is not None}

    def _download(self, entry: RemoteEntry, target: Path, progress: Progress) -> str:
        """Copy a wheel, but no more of it than its record promises; gives the hash of what came."""
        promised = entry.record["wheel"].get("size")
        digest, size = hashlib.sha256(), 0
        path = self._path(entry, entry.file)
        with self._place.files.open(path, "rb", block_size=_CHUNK_BYTES) as source, target.open("wb") as sink:
            while piece := source.read(_CHUNK_BYTES):
                digest.update(piece)
                size += len(piece)
                if isinstance(promised, int) and size > promised:
                    break
                with disk_errors(target.parent):
                    sink.write(piece)
                    sink.flush()
                progress.steps(size, 0)
        return digest.hexdigest()

    def push(self, fingerprint: str, stored: StoredWheel) -> Pushed:
        """Put a wheel there unless there is one; the first one of a fingerprint stays, and so does what is beside it.

        Raises:
            RemoteStoreError: it cannot be reached or written.
        """
        place = self._place
        if place.kind == "http":
            raise RemoteStoreError(
                f"{self.url} can only be read",
                remedy="Push to the folder or bucket behind it.",
            )
        there = self._look_if_sound(fingerprint)
        mine = RemoteEntry(fingerprint=fingerprint, record=stored.record)
        if isinstance(there, RemoteEntry):
            if there.sha256 != mine.sha256:
                return Pushed.OTHER
            return Pushed.COMPLETED if self._push_beside(mine, stored, replace=False) else Pushed.THERE
        place.put(stored.wheel, self._path(mine, mine.file))
        self._push_beside(mine, stored, replace=True)
        damaged = there is False
        if place.write(record_text(stored.record).encode(), place.path(fingerprint, RECORD), replace=damaged):
            return Pushed.MENDED if damaged else Pushed.UPLOADED
        # Another machine was faster between our look and now.
        other = self.look(fingerprint)
        return Pushed.THERE if other is None or other.sha256 == mine.sha256 else Pushed.OTHER

    def _push_beside(self, entry: RemoteEntry, stored: StoredWheel, *, replace: bool) -> bool:
        """Put there what lies beside a wheel; gives whether anything of it was new."""
        mine = {name: stored.companion(name) for name in COMPANIONS}
        written = [
            self._place.write(content, self._path(entry, name), replace=replace)
            for name, content in mine.items()
            if content is not None
        ]
        return any(written)

    def _look_if_sound(self, fingerprint: str) -> RemoteEntry | bool | None:
        """Give an entry whose wheel is there in full length; False if one is damaged, None if there is none."""
        try:
            entry = self.look(fingerprint)
        except StoredWheelError:
            return False
        if entry is None:
            return None
        with self._place.errors():
            try:
                size = self._place.files.info(self._path(entry, entry.file))["size"]
            except FileNotFoundError:
                return False
        return entry if size == entry.record["wheel"].get("size", size) else False

    def _path(self, entry: RemoteEntry, name: str) -> str:
        return self._place.path(entry.fingerprint, entry.sha256, name)

    def _read_small(self, *parts: str) -> bytes | None:
        """Read a small file whole; None if it is not there."""
        place = self._place
        with place.errors():
            try:
                with place.absence(), place.files.open(place.path(*parts), "rb", block_size=_CHUNK_BYTES) as source:
                    content = bytes(source.read(_LARGEST_SMALL_FILE + 1))
            except FileNotFoundError:
                return None
        if len(content) > _LARGEST_SMALL_FILE:
            raise StoredWheelError(
                f"{'/'.join(parts)} of {self.url} is larger than {_LARGEST_SMALL_FILE >> 20} MiB",
                remedy="Remove it there, and push the wheel again.",
            )
        return content
