"""Remote stores in a folder and behind a web server: what is pushed, what comes back, and what is refused."""

from __future__ import annotations

import errno
import http.server
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from store_scene import faults_of_remote, key_of, make_wheel

from cudawheel.errors import DiskFullError, ExtraMissingError, RemoteStoreError, StoredWheelError, UsageError
from cudawheel.model.progress import Silent
from cudawheel.store import places
from cudawheel.store.remote import Pushed, RemoteStore
from cudawheel.store.store import Store, StoredWheel

KEY = key_of(1)
SIGNED = "provenance.dsse.json"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def stored(tmp_path: Path) -> StoredWheel:
    return Store(tmp_path / "store").add(KEY, *make_wheel(tmp_path / "built", 1), {SIGNED: b"signed"})


@pytest.fixture
def other(tmp_path: Path) -> StoredWheel:
    """Another wheel of the same fingerprint."""
    return Store(tmp_path / "other").add(KEY, *make_wheel(tmp_path / "built", 1, edition=1))


@pytest.fixture
def remote(tmp_path: Path) -> RemoteStore:
    return RemoteStore(str(tmp_path / "remote"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where fetched wheels go."""
    (tmp_path / "fetched").mkdir()
    return tmp_path / "fetched"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    lists = True

    def list_directory(self, path: Any) -> Any:
        if self.lists:
            return super().list_directory(path)
        self.send_error(403)
        return None

    def log_message(self, *_words: Any) -> None:
        """Keep quiet."""


@contextmanager
def served(folder: Path, *, lists: bool = True) -> Iterator[str]:
    """Serve a folder as any web server does; gives its address."""

    def handle(*words: Any) -> _Quiet:
        return type("Handler", (_Quiet,), {"lists": lists})(*words, directory=str(folder))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handle) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def fetch(remote: RemoteStore, folder: Path) -> tuple[StoredWheel, dict[str, bytes]]:
    entry = remote.look(KEY)
    assert entry is not None
    return remote.fetch(entry, folder, Silent())


def test_what_was_pushed_comes_back(remote: RemoteStore, stored: StoredWheel, folder: Path, tmp_path: Path) -> None:
    assert remote.push(KEY, stored) is Pushed.UPLOADED
    fetched, beside = fetch(remote, folder)
    assert fetched.wheel == folder / stored.wheel.name
    assert fetched.wheel.read_bytes() == stored.wheel.read_bytes()
    assert fetched.record == stored.record
    assert beside == {SIGNED: b"signed"}
    assert remote.fingerprints() == (KEY,)
    found = {path.relative_to(tmp_path / "remote").as_posix() for path in (tmp_path / "remote").rglob("*.*")}
    assert found == {f"{KEY}/record.json", *(f"{KEY}/{stored.sha256}/{name}" for name in (stored.wheel.name, SIGNED))}


def test_what_nobody_pushed_is_not_there(remote: RemoteStore, stored: StoredWheel) -> None:
    assert remote.look(KEY) is None
    with pytest.raises(RemoteStoreError, match="nothing at"):
        remote.fingerprints()
    remote.push(KEY, stored)
    assert remote.look(key_of(2)) is None


def test_the_first_wheel_of_a_fingerprint_stays(
    remote: RemoteStore, stored: StoredWheel, other: StoredWheel, folder: Path
) -> None:
    assert remote.push(KEY, stored) is Pushed.UPLOADED
    assert remote.push(KEY, stored) is Pushed.THERE
    assert remote.push(KEY, other) is Pushed.OTHER
    assert fetch(remote, folder)[0].record == stored.record


@pytest.mark.parametrize("same", [True, False])
def test_of_two_that_push_at_once_one_wins_and_the_store_is_sound(
    same: bool, stored: StoredWheel, other: StoredWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote, rival = (RemoteStore(str(tmp_path / "remote")) for _ in range(2))
    real = places.Place.put
    results: list[Pushed] = []

    def put(self: places.Place, local: Path, path: str) -> None:
        real(self, local, path)
        if not results:
            results.append(Pushed.OTHER)  # so that the rival does not come here, too
            results[0] = rival.push(KEY, stored if same else other)

    monkeypatch.setattr(places.Place, "put", put)
    results.append(remote.push(KEY, stored))
    assert results == [Pushed.UPLOADED, Pushed.THERE if same else Pushed.OTHER]
    assert faults_of_remote(tmp_path / "remote") == []


@pytest.mark.parametrize("damage", ["wheel gone", "wheel cut short", "record no JSON", "record of another"])
def test_a_damaged_entry_is_refused_and_mended_by_the_next_push(
    damage: str, remote: RemoteStore, stored: StoredWheel, folder: Path, tmp_path: Path
) -> None:
    remote.push(KEY, stored)
    there = tmp_path / "remote" / KEY
    wheel, record = there / stored.sha256 / stored.wheel.name, there / "record.json"
    if damage == "wheel gone":
        wheel.unlink()
    elif damage == "wheel cut short":
        os.truncate(wheel, 100)
    else:
        changed = json.dumps({**stored.record, "fingerprint": key_of(2)})
        record.write_text("{" if damage == "record no JSON" else changed, encoding="utf-8")
    with pytest.raises((RemoteStoreError, StoredWheelError)):
        fetch(remote, folder)
    assert remote.push(KEY, stored) is Pushed.MENDED
    assert fetch(remote, folder)[0].record == stored.record


def test_a_flipped_byte_is_refused(remote: RemoteStore, stored: StoredWheel, folder: Path, tmp_path: Path) -> None:
    remote.push(KEY, stored)
    wheel = tmp_path / "remote" / KEY / stored.sha256 / stored.wheel.name
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 1
    wheel.write_bytes(content)
    with pytest.raises(StoredWheelError, match="not the wheel that its record is of"):
        fetch(remote, folder)


def test_no_more_is_fetched_than_the_record_promises(
    remote: RemoteStore, stored: StoredWheel, folder: Path, tmp_path: Path
) -> None:
    remote.push(KEY, stored)
    wheel = tmp_path / "remote" / KEY / stored.sha256 / stored.wheel.name
    with wheel.open("ab") as file:
        file.truncate(1 << 30)
    with pytest.raises(StoredWheelError):
        fetch(remote, folder)
    assert (folder / stored.wheel.name).stat().st_size < 1 << 24


@pytest.mark.parametrize("name", ["../escaped.whl", "/escaped.whl", "a/../../escaped.whl"])
def test_a_record_that_names_a_file_elsewhere_is_refused(
    name: str, remote: RemoteStore, stored: StoredWheel, tmp_path: Path
) -> None:
    remote.push(KEY, stored)
    record = {**stored.record, "wheel": {**stored.record["wheel"], "file": name}}
    (tmp_path / "remote" / KEY / "record.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(StoredWheelError, match="no readable record"):
        remote.look(KEY)


def test_a_push_that_breaks_off_leaves_no_record(
    remote: RemoteStore, stored: StoredWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_words: object, **_named: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as disk:
        disk.setattr(Path, "write_bytes", full)
        with pytest.raises(DiskFullError):
            remote.push(KEY, stored)
    with monkeypatch.context() as disk:
        disk.setattr(shutil, "copyfileobj", full)
        disk.setattr(shutil, "copyfile", full)
        with pytest.raises((DiskFullError, RemoteStoreError)):
            remote.push(KEY, stored)
    assert remote.look(KEY) is None
    assert list((tmp_path / "remote").rglob(".*")) == []
    assert remote.push(KEY, stored) is Pushed.UPLOADED


def test_a_web_server_is_read_and_never_written(
    remote: RemoteStore, stored: StoredWheel, folder: Path, tmp_path: Path
) -> None:
    remote.push(KEY, stored)
    with served(tmp_path / "remote") as url:
        web = RemoteStore(url)
        assert web.fingerprints() == (KEY,)
        assert web.look(key_of(2)) is None
        fetched, beside = fetch(web, folder)
        assert fetched.wheel.read_bytes() == stored.wheel.read_bytes()
        assert beside == {SIGNED: b"signed"}
        with pytest.raises(RemoteStoreError, match="can only be read"):
            web.push(KEY, stored)


def test_a_web_server_that_lists_nothing_is_asked_by_name(
    remote: RemoteStore, stored: StoredWheel, folder: Path, tmp_path: Path
) -> None:
    remote.push(KEY, stored)
    with served(tmp_path / "remote", lists=False) as url:
        web = RemoteStore(url)
        assert fetch(web, folder)[0].record == stored.record
        with pytest.raises(RemoteStoreError):
            web.fingerprints()


def test_a_web_server_that_is_gone_is_not_one_without_the_wheel(tmp_path: Path) -> None:
    (tmp_path / "remote").mkdir()
    with served(tmp_path / "remote") as url:
        assert RemoteStore(url).look(KEY) is None
    with pytest.raises(RemoteStoreError, match="does not answer"):
        RemoteStore(url).look(KEY)


@pytest.mark.parametrize("url", ["", "ftp://host/path", "s3://", "https:///path", "simplecache::s3://bucket"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="no address of a remote store"):
        RemoteStore(url)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_words: object, **_named: object) -> None:
        raise ImportError("no module named gcsfs")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(ExtraMissingError) as caught:
        RemoteStore("gs://bucket/wheels")
    assert "[gs]" in caught.value.remedy


def test_a_password_is_not_shown() -> None:
    assert RemoteStore("https://me:secret@localhost/wheels?token=secret").url == "https://localhost/wheels"


def test_file_urls_and_relative_folders_are_folders(
    stored: StoredWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert RemoteStore("remote").push(KEY, stored) is Pushed.UPLOADED
    assert RemoteStore((tmp_path / "remote").as_uri()).push(KEY, stored) is Pushed.THERE


def test_a_file_system_without_hard_links_will_do(
    remote: RemoteStore, stored: StoredWheel, other: StoredWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_words: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert remote.push(KEY, stored) is Pushed.UPLOADED
    assert remote.push(KEY, other) is Pushed.OTHER
