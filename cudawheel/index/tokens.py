"""Who may read: tokens from a file, presented as pip and uv present them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType

from typing_extensions import Self

from cudawheel.errors import UsageError

USER = "__token__"
"""The name that goes with a token in basic authentication, as on the public package index."""

CHALLENGE = 'Basic realm="cudawheel", charset="UTF-8"'
"""What an answer 401 asks for; pip and curl send their credentials only once they were asked."""

_SHORTEST = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Tokens that may read.

    Attributes:
        until: by the sha256 of each token, the moment from which on it is no longer valid; None for never.
    """

    until: Mapping[bytes, datetime | None]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file of tokens: one a line, and behind it, if it expires, the day from which on it is not valid.

        Empty lines and those that begin with `#` mean nothing. A day is written 2027-01-31 and begins in UTC.

        Raises:
            UsageError: the file cannot be read, holds no token, a short one, or a day that is none.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as fault:
            raise UsageError(
                f"the tokens in {path} cannot be read", why=str(fault), remedy="Name a text file, one token a line."
            ) from fault
        until = {}
        for number, line in enumerate(lines, 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if len(words[0]) < _SHORTEST:
                raise UsageError(
                    f"{path}, line {number}: a token of {len(words[0])} letters is easily guessed",
                    remedy="python -c 'import secrets; print(secrets.token_urlsafe())' makes a good one.",
                )
            until[_digest(words[0])] = _expiry(words[1:], f"{path}, line {number}")
        if not until:
            raise UsageError(f"{path} holds no token", remedy="Write one a line, or leave --token-file out.")
        return cls(until=MappingProxyType(until))

    def allow(self, authorization: str, now: datetime) -> bool:
        """Say whether an Authorization header carries a token that is valid at a moment.

        Basic with the user `__token__`, and Bearer, are understood.
        """
        presented = _digest(_token_in(authorization))
        # Every token is compared, and in constant time, so that how long it takes tells nothing.
        hits = [until for digest, until in self.until.items() if hmac.compare_digest(digest, presented)]
        return any(until is None or now < until for until in hits)


class TokenFile:
    """A file of tokens that is read again when it changes, so that tokens come and go without a restart.

    Args:
        path: the file.
        tell: is told when the file has become unreadable; the tokens from before then stay valid.

    Raises:
        UsageError: see `Tokens.load`.
    """

    def __init__(self, path: Path, tell: Callable[[str], None]) -> None:
        self._path = path
        self._tell = tell
        self._stamp = self._look()
        self._tokens = Tokens.load(path)

    def __call__(self) -> Tokens:
        """Give the tokens as they are now."""
        stamp = self._look()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._tokens = Tokens.load(self._path)
            except UsageError as fault:
                self._tell(f"{fault.what}; the tokens from before stay valid")
        return self._tokens

    def _look(self) -> tuple[int, int, int]:
        try:
            status = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return status.st_mtime_ns, status.st_size, status.st_ino


def _token_in(authorization: str) -> str:
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        user, _, password = base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return password if user == USER else ""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _expiry(words: list[str], where: str) -> datetime | None:
    if not words:
        return None
    try:
        (day,) = words
        return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=timezone.utc)
    except ValueError as fault:
        raise UsageError(
            f"{where}: {' '.join(words)!r} is no day", remedy="Behind a token stands nothing, or a day as 2027-01-31."
        ) from fault
