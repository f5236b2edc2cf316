"""What the store keeps: a wheel with its build record, as a value, and as files."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cudawheel.errors import StoredWheelError
from cudawheel.files import sha256_of

RECORD = "record.json"
LAST_USED = "last-used"
"""Name of an empty file in each entry, whose time of change is when the wheel was last asked for."""
COMPANIONS = ("provenance.dsse.json",)
"""Names of files that may lie beside a record and travel with the wheel to other stores."""

FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_SHA256 = FINGERPRINT


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWheel:
    """A wheel with its build record.

    Attributes:
        record: what `factory.record` wrote; `record["wheel"]["sha256"]` is the hash of the file.
    """

    wheel: Path
    record: dict[str, Any]

    @property
    def sha256(self) -> str:
        """The hash that the wheel has to have, in hexadecimal digits."""
        return str(self.record["wheel"]["sha256"])

    def companion(self, name: str) -> bytes | None:
        """Give the content of a file that lies beside the record, or None if there is none of that name."""
        try:
            return self.wheel.with_name(name).read_bytes()
        except FileNotFoundError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of the store, as a look at its folder shows it; nothing is hashed.

    Attributes:
        fingerprint: hash of all inputs, 64 hexadecimal digits; the name of its folder.
        stored: the wheel and its record; None where the record cannot be read.
        size: bytes of all its files.
        last_used: when the wheel was last asked for, in seconds since 1970, as the clock stood then.
    """

    fingerprint: str
    stored: StoredWheel | None
    size: int
    last_used: float


def record_text(record: dict[str, Any]) -> str:
    """Write a record as JSON."""
    return json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def parse_record(content: bytes, fingerprint: str) -> dict[str, Any]:
    """Read a record as far as the store needs it: the name and hash of its wheel.

    Args:
        content: JSON.
        fingerprint: where it was found.

    Raises:
        ValueError: it is no JSON, lacks one of these, has a name that is not that of a file in the same folder, or is
            the record of another fingerprint.
    """
    plain = json.loads(content.decode("utf-8"))
    record: dict[str, Any] = plain if isinstance(plain, dict) else {}
    wheel = record.get("wheel")
    if not isinstance(wheel, dict):
        raise ValueError("the record does not say which wheel it is of")  # noqa: TRY004 - its content is wrong
    name, digest = wheel.get("file"), wheel.get("sha256")
    if not isinstance(name, str) or name in {"", ".", ".."} or Path(name).name != name or "\\" in name or "\0" in name:
        raise ValueError(f"the record names {name!r}, which is no name of a file")
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        raise ValueError(f"the record has {digest!r} for a sha256")
    if record.get("fingerprint", fingerprint) != fingerprint:
        raise ValueError(f"it is the record of fingerprint {record['fingerprint']}")
    return record


def read_entry(folder: Path) -> StoredWheel:
    """Read the record of an entry, without a look at its wheel.

    Raises:
        OSError: the record cannot be read.
        ValueError: it is no record.
    """
    record = parse_record((folder / RECORD).read_bytes(), folder.name[:64])
    return StoredWheel(wheel=folder / record["wheel"]["file"], record=record)


def look_at(folder: Path) -> Entry | None:
    """Describe an entry; None if it is gone by now."""
    try:
        with os.scandir(folder) as files:
            size = sum(file.stat().st_size for file in files)
        last_used = _last_used(folder)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        stored = read_entry(folder)
    except (OSError, ValueError):
        stored = None
    return Entry(fingerprint=folder.name, stored=stored, size=size, last_used=last_used)


def _last_used(folder: Path) -> float:
    try:
        return (folder / LAST_USED).stat().st_mtime
    except FileNotFoundError:
        return folder.stat().st_mtime


def require_hash(stored: StoredWheel) -> None:
    """Compare a wheel with its record.

    Raises:
        OSError: the wheel cannot be read.
        StoredWheelError: it is not the file that the record is of.
    """
    found = sha256_of(stored.wheel)
    if found != stored.sha256:
        raise StoredWheelError(
            f"{stored.wheel.name} is not the wheel that its record is of",
            why=f"the record says sha256 {stored.sha256}\nthe file has    sha256 {found}",
            remedy="Build it again; if it happens again, check the disk and whoever else may write there.",
        )
