"""A remote store in a bucket, by a server on loopback that speaks S3."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer
from store_scene import key_of, make_wheel

from cudawheel.errors import RemoteStoreError
from cudawheel.factory.exchange import fetch_into, pull_all, push_all
from cudawheel.model.progress import Silent
from cudawheel.store.remote import Pushed, RemoteStore
from cudawheel.store.store import Store
from cudawheel.store.stored import require_hash

KEY = key_of(1)
URL = "s3://wheels/some/prefix"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadedMotoServer]:
    serving = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    serving.start()
    host, port = serving.get_host_and_port()
    # What an earlier server of this process was given is still there.
    requests.post(f"http://{host}:{port}/moto-api/reset", timeout=20).raise_for_status()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "something",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    yield serving
    serving.stop()


@pytest.fixture
def bucket(server: ThreadedMotoServer) -> None:
    del server
    client = boto3.client("s3")
    client.create_bucket(Bucket="wheels")
    client.close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    for number in range(3):
        store.add(key_of(number), *make_wheel(tmp_path / "built", number), {"provenance.dsse.json": b"signed"})
    return store


def names(store: Store) -> list[str]:
    return [entry.fingerprint for entry in store.entries()]


@pytest.mark.usefixtures("bucket")
def test_wheels_go_into_a_bucket_and_come_back(store: Store, tmp_path: Path) -> None:
    remote = RemoteStore(URL)
    assert remote.fingerprints() == ()
    assert remote.look(KEY) is None
    assert [done.moved for done in push_all(store, remote, names(store))] == [True] * 3
    assert [done.result for done in push_all(store, remote, names(store))] == ["there already"] * 3
    assert list(remote.fingerprints()) == names(store)
    other = Store(tmp_path / "other")
    assert [done.fault for done in pull_all(other, remote, names(store), Silent(), require_hash)] == [None] * 3
    assert names(other) == names(store)
    pulled, pushed = other.find(KEY), store.find(KEY)
    assert pulled is not None
    assert pushed is not None
    assert pulled.wheel.read_bytes() == pushed.wheel.read_bytes()
    assert pulled.record == pushed.record
    assert pulled.companion("provenance.dsse.json") == b"signed"


@pytest.mark.usefixtures("bucket")
def test_a_wheel_of_many_parts_is_the_same_afterwards(store: Store, tmp_path: Path) -> None:
    wheel, record = make_wheel(tmp_path / "built", 4)
    with wheel.open("r+b") as file:
        file.truncate(60 << 20)  # s3fs sends in parts what is larger than 50 MB
    from cudawheel.files import sha256_of  # noqa: PLC0415

    record["wheel"] |= {"sha256": sha256_of(wheel), "size": 60 << 20}
    stored = store.add(key_of(4), wheel, record)
    remote = RemoteStore(URL)
    assert remote.push(key_of(4), stored) is Pushed.UPLOADED
    entry = remote.look(key_of(4))
    assert entry is not None
    require_hash(fetch_into(Store(tmp_path / "other"), remote, entry, Silent(), require_hash))


@pytest.mark.usefixtures("bucket")
def test_of_machines_that_push_at_once_one_wins_and_all_see_its_wheel(tmp_path: Path) -> None:
    results: list[Pushed] = []
    start = threading.Barrier(4)

    def push(machine: int) -> None:
        stored = Store(tmp_path / f"store-{machine}").add(
            KEY, *make_wheel(tmp_path / f"built-{machine}", 1, edition=machine % 2)
        )
        remote = RemoteStore(URL)
        start.wait(60)
        results.append(remote.push(KEY, stored))

    threads = [threading.Thread(target=push, args=(machine,)) for machine in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 4
    assert results.count(Pushed.UPLOADED) == 1
    assert Pushed.MENDED not in results
    remote, mine = RemoteStore(URL), Store(tmp_path / "reader")
    entry = remote.look(KEY)
    assert entry is not None
    require_hash(fetch_into(mine, remote, entry, Silent(), require_hash))


@pytest.mark.usefixtures("server")
def test_a_bucket_that_is_not_there_is_said(store: Store) -> None:
    with pytest.raises(RemoteStoreError, match="does not answer as a store should") as caught:
        list(push_all(store, RemoteStore("s3://nowhere/prefix"), names(store)))
    assert "bucket" in caught.value.why


@pytest.mark.usefixtures("bucket")
def test_a_server_that_disappears_midway_is_an_error_and_leaves_no_half_wheel(
    store: Store, server: ThreadedMotoServer, tmp_path: Path
) -> None:
    remote = RemoteStore(URL)
    list(push_all(store, remote, names(store)))
    other = Store(tmp_path / "other")
    pulling = pull_all(other, remote, names(store), Silent(), require_hash)
    assert next(pulling).moved
    server.stop()
    with pytest.raises(RemoteStoreError):
        next(pulling)
    assert len(other.entries()) == 1
    assert [path.name for path in other.root.glob(".new-*")] == []
