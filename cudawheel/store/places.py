"""Where remote stores lie: addresses, the file systems behind them, and the two ways in which they write.

fsspec reads them all alike. Writing differs: an object store shows an object once it is whole, a folder shows a file
while it grows, so that there it is written beside its place and moved.
"""

from __future__ import annotations

import contextlib
import errno
import http
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from cudawheel.errors import CudawheelError, ExtraMissingError, RemoteStoreError, UsageError
from cudawheel.files import disk_errors

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

SECONDS_WITHOUT_DATA = 20.0
_KINDS = {"": "file", "file": "file", "s3": "s3", "gs": "gs", "gcs": "gs", "http": "http", "https": "http"}
_ABSENT = {http.HTTPStatus.NOT_FOUND, http.HTTPStatus.GONE}
_EXTRAS = {"s3": "s3", "gs": "gs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The root of a remote store.

    Attributes:
        url: as a person wrote it, without what might be a password.
        kind: `file`, `s3`, `gs` or `http`.
        files: the file system.
        root: the path in it, without a slash at the end.
    """

    url: str
    kind: str
    files: AbstractFileSystem
    root: str

    def path(self, *parts: str) -> str:
        """Give the path of something below the root."""
        return "/".join((self.root, *parts))

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Say in our own words what any of the libraries has against a request.

        Raises:
            RemoteStoreError: the request failed.
        """
        try:
            yield
        except CudawheelError:
            raise
        except Exception as error:  # the libraries share no base class: botocore, aiohttp, google, asyncio, OSError
            raise _no_answer(self.url, error) from error

    @contextlib.contextmanager
    def absence(self) -> Iterator[None]:
        """Let a missing file be told from a server that does not answer, which fsspec calls a missing file over HTTP.

        Raises:
            FileNotFoundError: there is no such file.
            RemoteStoreError: who knows.
        """
        try:
            yield
        except FileNotFoundError as error:
            cause = error.__cause__
            absent = cause is None or isinstance(cause, FileNotFoundError) or getattr(cause, "status", 0) in _ABSENT
            if self.kind == "http" and cause is not None and not absent:
                raise _no_answer(self.url, cause) from error
            raise

    def put(self, local: Path, path: str) -> None:
        """Write a file; it is there whole or not at all, in place of whatever was there.

        Raises:
            RemoteStoreError: it cannot be written.
        """
        with self.errors():
            if self.kind != "file":
                self.files.put_file(str(local), path)
                return
            with _beside(Path(path)) as part, disk_errors(Path(self.root)):
                self.files.put_file(str(local), str(part))
                part.replace(path)

    def write(self, content: bytes, path: str, *, replace: bool = False) -> bool:
        """Write a small file unless there is one already; gives whether it was written.

        Args:
            content: the whole.
            path: where.
            replace: whether to write it in any case.

        Raises:
            RemoteStoreError: it cannot be written.
        """
        with self.errors():
            try:
                if self.kind != "file":
                    self.files.pipe_file(path, content, mode="overwrite" if replace else "create")
                    return True
                with _beside(Path(path)) as part:
                    with disk_errors(Path(self.root)):
                        part.write_bytes(content)
                    part.replace(path) if replace else _link(part, Path(path))
            except FileExistsError:
                return False
        return True


def _no_answer(url: str, error: BaseException) -> RemoteStoreError:
    return RemoteStoreError(
        f"{url} does not answer as a store should",
        why=f"{type(error).__name__}: {error}".rstrip(": "),
        remedy="Check the address, the network, the credentials and what they permit.",
    )


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Give the name of a file that becomes `target`, and is gone if it did not."""
    with disk_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _link(part: Path, path: Path) -> None:
    """Give a finished file its name; raises FileExistsError where another has it."""
    try:
        os.link(part, path)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP}:
            raise
        # A file system without hard links: the look and the move are two steps there, some microseconds apart.
        if path.exists():
            raise FileExistsError(path) from error
        part.replace(path)


def open_place(url: str) -> Place:
    """Find the file system behind an address; nothing is asked of it yet.

    Args:
        url: a folder, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, or `http(s)://HOST/PATH`.

    Raises:
        UsageError: it is none of these.
        ExtraMissingError: the packages for it are not installed.
    """
    parts = urlsplit(url)
    kind = _KINDS.get(parts.scheme) if url else None
    if kind is None or (kind != "file" and not parts.netloc):
        raise UsageError(
            f"{url!r} is no address of a remote store",
            remedy="Name a folder, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, or https://HOST/PATH.",
        )
    from fsspec.core import url_to_fs  # noqa: PLC0415 - a build that needs no remote store does not wait for it

    where = str(Path(url.removeprefix("file://")).absolute()) if kind == "file" else url.rstrip("/")
    try:
        files, root = url_to_fs(where, use_listings_cache=False, skip_instance_cache=True, **_options(kind))
    except ImportError as error:
        extra = _EXTRAS.get(kind, "")
        raise ExtraMissingError(
            f"{parts.scheme}:// needs packages that are not installed",
            why=str(error),
            extra=extra,
        ) from error
    return Place(url=_without_password(url), kind=kind, files=files, root=root.rstrip("/"))


def _options(kind: str) -> dict[str, Any]:
    """Give up on a server that says nothing for a while, and not on one that is only slow."""
    if kind == "s3":
        waits = {"connect_timeout": SECONDS_WITHOUT_DATA, "read_timeout": SECONDS_WITHOUT_DATA}
        return {"config_kwargs": {**waits, "retries": {"max_attempts": 3, "mode": "standard"}}}
    if kind == "http":
        import aiohttp  # noqa: PLC0415 - as fsspec above

        waits = {"sock_connect": SECONDS_WITHOUT_DATA, "sock_read": SECONDS_WITHOUT_DATA}
        return {"client_kwargs": {"timeout": aiohttp.ClientTimeout(total=None, **waits)}}
    return {}


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=host, query="", fragment="")) if parts.netloc else url
