"""RECORD, the list of a wheel's files with their hashes.

Format: PyPA "Recording installed projects", section "The RECORD file"; which files carry no hash: "Binary distribution
format", section "The .dist-info directory".
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO

from cudawheel.errors import WheelError

SIGNATURES = ("RECORD.jws", "RECORD.p7s")
"""Signatures of RECORD, which it cannot hold the hashes of; a rewritten wheel has to drop them."""

_CHUNK = 1 << 20
_COLUMNS = 3
_STRONG = frozenset({"sha256", "sha384", "sha512"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRow:
    """One line of RECORD.

    Attributes:
        path: the member it is about.
        digest: algorithm and value, `sha256=<urlsafe base64 without padding>`; empty for RECORD itself.
        size: bytes, as text; may be empty.
    """

    path: str
    digest: str = ""
    size: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """One disagreement between RECORD and the wheel's members."""

    path: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.path}: RECORD says {self.expected}, found {self.found}"


def parse_record(text: str, where: str) -> tuple[RecordRow, ...]:
    """Read RECORD.

    Raises:
        WheelError: it is not the CSV that it has to be.
    """
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as fault:
        raise WheelError(f"{where} is not readable as CSV", why=str(fault), remedy="Build the wheel again.") from fault
    for row in rows:
        if len(row) != _COLUMNS:
            raise WheelError(
                f"{where} has a line with {len(row)} columns",
                why=f"Found {','.join(row)!r}; a line is path, hash, size.",
                remedy="Build the wheel again.",
            )
    return tuple(RecordRow(path=path, digest=digest, size=size) for path, digest, size in rows)


def write_record(rows: Iterable[RecordRow]) -> bytes:
    """Write RECORD, one line a row in the order given."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows((row.path, row.digest, row.size) for row in rows)
    return text.getvalue().encode("utf-8")


def compute_digest(source: IO[bytes], algorithm: str = "sha256") -> tuple[str, int]:
    """Hash a stream to its end; gives the digest as RECORD writes it, and the number of bytes."""
    state = hashlib.new(algorithm)
    size = 0
    while chunk := source.read(_CHUNK):
        state.update(chunk)
        size += len(chunk)
    value = base64.urlsafe_b64encode(state.digest()).rstrip(b"=").decode("ascii")
    return f"{algorithm}={value}", size


def compare_row(row: RecordRow, source: IO[bytes]) -> Mismatch | None:
    """Compare one line of RECORD with the bytes of its member."""
    algorithm, _, _ = row.digest.partition("=")
    if algorithm not in _STRONG:
        return Mismatch(path=row.path, expected=row.digest or "no hash", found="a file that needs sha256 or better")
    digest, size = compute_digest(source, algorithm)
    if digest != row.digest.rstrip("="):
        return Mismatch(path=row.path, expected=row.digest, found=digest)
    if row.size and row.size != str(size):
        return Mismatch(path=row.path, expected=f"{row.size} bytes", found=f"{size} bytes")
    return None
