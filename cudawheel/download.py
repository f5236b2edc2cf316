"""Fetching large files: verified, continued where a connection broke, given up on where nothing comes."""

from __future__ import annotations

import http
from dataclasses import dataclass
from pathlib import Path

import requests

from cudawheel.errors import SourceHashError, SourceUnreachableError
from cudawheel.files import disk_errors, sha256_of
from cudawheel.model.progress import Progress

SECONDS_WITHOUT_DATA = 20.0
# What a broken connection can cost at most: a piece that has begun is not handed over.
_CHUNK_BYTES = 1 << 16
# A server that packs on the way would make sizes and ranges mean something else.
_HEADERS = {"Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A file to fetch.

    Attributes:
        url: where it is, http or https.
        sha256: what its hash has to be, in lower-case hexadecimal digits.
        timeout: seconds without a connection, an answer or data after which the server counts as gone.
    """

    url: str
    sha256: str
    timeout: float = SECONDS_WITHOUT_DATA


def read_url(url: str, *, limit: int, timeout: float = SECONDS_WITHOUT_DATA) -> bytes:
    """Fetch a small file.

    Args:
        url: http or https.
        limit: the most bytes to take.
        timeout: seconds without an answer or data.

    Raises:
        SourceUnreachableError: it cannot be fetched, or is larger.
    """
    content = bytearray()
    try:
        with requests.get(url, stream=True, timeout=timeout, headers=_HEADERS) as answer:
            answer.raise_for_status()
            for piece in answer.iter_content(_CHUNK_BYTES):
                content += piece
                if len(content) > limit:
                    raise _unreachable(url, f"it is larger than {limit} bytes")
    except requests.RequestException as error:
        raise _unreachable(url, str(error)) from error
    return bytes(content)


def download(remote: Remote, target: Path, progress: Progress) -> None:
    """Fetch a file to `target`, which appears only once its hash is right.

    What a broken connection leaves is kept beside `target` and continued from, now and by the next call. Attempts go
    on as long as each one brings something.

    Raises:
        SourceUnreachableError: nothing (more) comes.
        SourceHashError: it is not what was promised.
        DiskFullError: no space is left.
        StoreError: the folder cannot be written.
    """
    part = target.with_name(f"{target.name}.part")
    with disk_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_file() and sha256_of(target) == remote.sha256:
            return
        left_over = part.exists()
        found = _fetch(remote, part, progress)
        if found != remote.sha256 and left_over:
            # What was left over may have been of another file, which is not the server's fault: once more, from zero.
            part.unlink()
            found = _fetch(remote, part, progress)
        if found != remote.sha256:
            part.unlink()
            raise SourceHashError(
                f"{remote.url} is not what was promised",
                why=f"expected sha256 {remote.sha256}\nfound    sha256 {found}",
                remedy="Try again; if it stays so, something between here and the server changes files.",
            )
        part.replace(target)


def _fetch(remote: Remote, part: Path, progress: Progress) -> str:
    """Fill `part` to its end, over as many connections as it takes, and give its hash."""
    part.touch()
    while True:
        before = part.stat().st_size
        try:
            _one_connection(remote, part, progress)
            return sha256_of(part)
        except requests.RequestException as error:
            if part.stat().st_size <= before:
                raise _unreachable(remote.url, str(error)) from error


def _one_connection(remote: Remote, part: Path, progress: Progress) -> None:
    """Append to `part` what one connection brings; one that ends early raises."""
    done = part.stat().st_size
    headers = {**_HEADERS, "Range": f"bytes={done}-"} if done else _HEADERS
    with requests.get(remote.url, stream=True, timeout=remote.timeout, headers=headers) as answer:
        if answer.status_code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # there is no more, and the hash will tell whether that is right
        answer.raise_for_status()
        if answer.status_code != http.HTTPStatus.PARTIAL_CONTENT:
            done = 0  # the server sends the whole
        total = done + int(answer.headers.get("Content-Length", 0))
        with part.open("ab" if done else "wb") as sink:
            for piece in answer.iter_content(_CHUNK_BYTES):
                sink.write(piece)
                done += len(piece)
                progress.steps(done, total)


def _unreachable(url: str, why: str) -> SourceUnreachableError:
    return SourceUnreachableError(
        f"{url} cannot be fetched",
        why=why,
        remedy="Check the address, the network and the proxy.",
    )
