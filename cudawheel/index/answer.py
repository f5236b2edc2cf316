"""Answers of the server as values, and how they are sent."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cudawheel.index.examine import Stamp

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PAGE_CACHING = "no-cache"
"""Pages may be kept but are asked for again each time, which costs an empty answer where nothing changed."""

FOREVER = "max-age=31536000, immutable"
"""Of wheels, whose addresses hold their hashes."""

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is sent.

    Attributes:
        status: of HTTP.
        headers: all but the length.
        body: empty where `path` is.
        path: the file that is the body.
        stamp: how that file is known to be the one that is meant.
        start: its first byte that is sent.
        length: how many bytes are sent.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    path: Path | None = None
    stamp: Stamp | None = None
    start: int = 0
    length: int = 0

    @classmethod
    def of_text(cls, status: int, text: str, *headers: tuple[str, str]) -> Answer:
        """Say something to a person."""
        body = f"{text}\n".encode()
        return cls(
            status=status,
            headers=(("content-type", "text/plain; charset=utf-8"), *headers),
            body=body,
            length=len(body),
        )

    @classmethod
    def of_bytes(cls, body: bytes, content_type: str, *, etag: str, caching: str, wanted: dict[str, str]) -> Answer:
        """Send bytes, or only that they have not changed."""
        headers = (("etag", etag), ("cache-control", caching))
        if is_unchanged(etag, wanted):
            return cls(status=304, headers=headers)
        return cls(status=200, headers=(("content-type", content_type), *headers), body=body, length=len(body))

    @classmethod
    def of_file(cls, path: Path, stamp: Stamp, *, etag: str, wanted: dict[str, str]) -> Answer:
        """Send a file or the part of it that is asked for, or only that it has not changed."""
        headers = (("etag", etag), ("cache-control", FOREVER), ("accept-ranges", "bytes"))
        if is_unchanged(etag, wanted):
            return cls(status=304, headers=headers)
        typed = (("content-type", "application/octet-stream"), *headers)
        asked = wanted.get("range", "") if wanted.get("if-range", etag) == etag else ""
        size = stamp.size
        part = _part(asked, size)
        if part is None:
            return cls(status=200, headers=typed, path=path, stamp=stamp, length=size)
        start, length = part
        if not length:
            return cls(status=416, headers=(*headers, ("content-range", f"bytes */{size}")))
        span = ("content-range", f"bytes {start}-{start + length - 1}/{size}")
        return cls(status=206, headers=(*typed, span), path=path, stamp=stamp, start=start, length=length)

    def with_headers(self, *headers: tuple[str, str]) -> Answer:
        """Add headers."""
        return replace(self, headers=(*self.headers, *headers))


def etag_of(content: bytes) -> str:
    """Give a strong entity tag, in its quotes."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def is_unchanged(etag: str, wanted: dict[str, str]) -> bool:
    """Say whether If-None-Match names what would be sent, RFC 9110, section 13.1.2."""
    known = wanted.get("if-none-match", "")
    return known.strip() == "*" or etag in {tag.strip().removeprefix("W/") for tag in known.split(",")}


def _part(asked: str, size: int) -> tuple[int, int] | None:
    """Give the first byte and the length of the one range that is asked for; length 0 where there is no such byte.

    None where all is to be sent: no range, several of them, or one that cannot be read (RFC 9110, section 14.2).
    """
    match = _RANGE.fullmatch(asked.replace(" ", ""))
    if match is None or (not match[1] and not match[2]):
        return None
    if not match[1]:
        length = min(int(match[2]), size)
        return size - length, length
    start = int(match[1])
    last = min(int(match[2]), size - 1) if match[2] else size - 1
    if match[2] and int(match[2]) < start:
        return None
    return start, max(0, last - start + 1)
