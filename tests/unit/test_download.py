from __future__ import annotations

import errno
import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback_server import Site, serving

from cudawheel.download import Remote, download, read_url
from cudawheel.errors import DiskFullError, SourceHashError, SourceUnreachableError, StoreError
from cudawheel.model.progress import Silent

PIECE = 1 << 16
CONTENT = bytes(range(256)) * 1000  # not quite four pieces


class Listener(Silent):
    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def steps(self, done: int, total: int) -> None:
        self.seen.append((done, total))


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as site:
        site.files["file"] = CONTENT
        yield site


def remote(site: Site, content: bytes = CONTENT, timeout: float = 5) -> Remote:
    return Remote(url=f"{site.url}file", sha256=hashlib.sha256(content).hexdigest(), timeout=timeout)


def test_a_file_arrives_and_its_bytes_are_counted(site: Site, tmp_path: Path) -> None:
    listener = Listener()

    download(remote(site), tmp_path / "new" / "file", listener)

    assert (tmp_path / "new" / "file").read_bytes() == CONTENT
    assert listener.seen[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]


def test_one_that_is_there_already_is_not_fetched(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    download(remote(site), tmp_path / "file", Silent())
    assert site.requests == []


def test_a_broken_connection_is_continued(site: Site, tmp_path: Path) -> None:
    site.cut_after = 2 * PIECE + 1

    download(remote(site), tmp_path / "file", Silent())

    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [wanted for _, wanted in site.requests] == ["", f"bytes={2 * PIECE}-"]


def test_what_an_earlier_run_left_is_continued(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT[:100])
    download(remote(site), tmp_path / "file", Silent())
    assert site.requests == [("file", "bytes=100-")]


def test_a_server_without_ranges_sends_the_whole_again(site: Site, tmp_path: Path) -> None:
    site.ranges = False
    (tmp_path / "file.part").write_bytes(b"x" * 100)
    download(remote(site), tmp_path / "file", Silent())
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("left_over", [b"x" * 100, b"x" * len(CONTENT), CONTENT + b"more"])
def test_what_was_left_of_another_file_is_thrown_away(site: Site, tmp_path: Path, left_over: bytes) -> None:
    (tmp_path / "file.part").write_bytes(left_over)
    download(remote(site), tmp_path / "file", Silent())
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_another_file_than_promised_is_an_error_and_leaves_nothing(site: Site, tmp_path: Path) -> None:
    with pytest.raises(SourceHashError, match="not what was promised") as caught:
        download(remote(site, b"promised"), tmp_path / "file", Silent())

    assert hashlib.sha256(CONTENT).hexdigest() in caught.value.why
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_an_error(site: Site, tmp_path: Path) -> None:
    site.files.clear()
    with pytest.raises(SourceUnreachableError, match="404"):
        download(remote(site), tmp_path / "file", Silent())


def test_a_silent_server_is_given_up_on(site: Site, tmp_path: Path) -> None:
    site.silent.add("file")
    with pytest.raises(SourceUnreachableError, match=r"[Tt]imed? ?out"):
        download(remote(site, timeout=0.2), tmp_path / "file", Silent())


@pytest.mark.parametrize("scheme", ["file:///etc/passwd", "ftp://host/file", "nonsense"])
def test_other_schemes_are_not_fetched(tmp_path: Path, scheme: str) -> None:
    with pytest.raises(SourceUnreachableError):
        download(Remote(url=scheme, sha256="0"), tmp_path / "file", Silent())


def test_a_closed_port_is_an_error_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(SourceUnreachableError, match="refused"):
        read_url(f"http://127.0.0.1:{port}/", limit=10)


def test_a_small_file_must_be_small(site: Site) -> None:
    assert read_url(f"{site.url}file", limit=len(CONTENT)) == CONTENT
    with pytest.raises(SourceUnreachableError, match="larger than 10 bytes"):
        read_url(f"{site.url}file", limit=10)


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, DiskFullError),
        (errno.EDQUOT, DiskFullError),
        (errno.EROFS, StoreError),
        (errno.EACCES, StoreError),
    ],
)
def test_a_disk_that_takes_no_more_is_told_from_a_network_that_fails(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[StoreError]
) -> None:
    def fails(*_words: Any, **_named: Any) -> None:
        raise OSError(number, "the disk says no")

    monkeypatch.setattr(Path, "open", fails)
    with pytest.raises(error, match="the disk says no"):
        download(remote(site), tmp_path / "file", Silent())
