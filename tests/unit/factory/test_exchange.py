"""Wheels that others may have built: what is taken from a remote store, and what is refused although it looks right."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_rooms import Rooms
from fake_tools import PLAIN_TAG, give
from listening import Heard

from cudawheel.audit import report
from cudawheel.errors import ProvenanceError, UsageError
from cudawheel.factory.checking import check_store
from cudawheel.factory.exchange import pull_all, push_all, signed_by
from cudawheel.factory.factory import make_wheel
from cudawheel.factory.request import BuildRequest
from cudawheel.provenance.envelope import IN_STORE
from cudawheel.provenance.keys import PUBLIC, PrivateKey, new_key
from cudawheel.store.remote import Pushed, RemoteStore
from cudawheel.store.store import Store, StoredWheel
from cudawheel.store.stored import COMPANIONS
from cudawheel.wheel.rewrite import Changes, rewrite


@pytest.fixture
def asked(asked_of_folders: BuildRequest) -> BuildRequest:
    return asked_of_folders


class ProvenRooms(Rooms):
    """Rooms whose wheels are named and pinned as the planned ones are, so that a true audit passes."""

    def prove(self, *words: Any) -> Any:
        proof = super().prove(*words)
        order = words[0]
        local = proof.wheel.name.split("+")[1].split("-")[0]
        plain = proof.wheel.with_name("tiny_ext-1.0-py3-none-any.whl")
        proof.wheel.rename(plain)
        (folder := plain.parent / "named").mkdir()
        changes = Changes(local_version=local, requirements=(order.variant.abi.requirement(order.variant.torch),))
        return replace(proof, wheel=rewrite(plain, folder, changes))


@pytest.fixture
def rooms(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> Rooms:
    from cudawheel.factory import making  # noqa: PLC0415

    del rooms
    proven = ProvenRooms()
    monkeypatch.setattr(making, "build_variant", proven.build)
    monkeypatch.setattr(making, "prove", proven.prove)
    monkeypatch.setattr(report, "find_platform_tag", give(PLAIN_TAG))
    return proven


@pytest.fixture
def elsewhere(asked: BuildRequest, tmp_path: Path) -> BuildRequest:
    """The same request on another machine, which asks a remote store."""
    folder = tmp_path / "elsewhere"
    return replace(asked, cache=folder / "cache", wheelhouse=folder / "wheelhouse", remote=str(tmp_path / "remote"))


@pytest.fixture
def pushed(asked: BuildRequest, rooms: Rooms, tmp_path: Path) -> Path:
    """The folder of a remote store that has the wheel; the repository that it was built from is gone."""
    del rooms
    make_wheel(asked, Heard())
    mine = Store(asked.cache / "store")
    (done,) = push_all(mine, RemoteStore(str(tmp_path / "remote")), [entry.fingerprint for entry in mine.entries()])
    assert done.moved
    (found,) = (tmp_path / "remote").iterdir()
    return found


def change(there: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change the record of a remote entry; its wheel moves along if it now has another hash."""
    record = json.loads((there / "record.json").read_text(encoding="utf-8"))
    edit(record)
    (there / "record.json").write_text(json.dumps(record), encoding="utf-8")


def replace_wheel(there: Path, wheel: Path) -> None:
    """Put another wheel there, with a record that says so."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (there / digest).mkdir()
    shutil.copyfile(wheel, there / digest / wheel.name)
    facts = {"file": wheel.name, "sha256": digest, "size": wheel.stat().st_size}
    change(there, lambda record: record.update(wheel=facts))


def wheel_of(there: Path) -> Path:
    (wheel,) = there.glob("*/*.whl")
    return wheel


def test_what_a_remote_store_has_is_not_built(pushed: Path, elsewhere: BuildRequest, rooms: Rooms) -> None:
    heard = Heard()
    made = make_wheel(elsewhere, heard)
    assert rooms.built == ["upstream"]
    assert made.cached
    assert made.wheel.read_bytes() == wheel_of(pushed).read_bytes()
    assert heard.phases == ["remote store"]
    assert heard.notes[-1].endswith("and checked")
    shutil.rmtree(pushed.parent)
    heard = Heard()
    assert make_wheel(elsewhere, heard).cached
    assert heard.phases == [], "from now on it is here"


def test_what_a_remote_store_does_not_have_is_built(elsewhere: BuildRequest, rooms: Rooms, tmp_path: Path) -> None:
    (tmp_path / "remote").mkdir()
    heard = Heard()
    assert not make_wheel(elsewhere, heard).cached
    assert rooms.built == ["upstream"]
    assert any("does not have this wheel" in note for note in heard.notes)


def test_without_the_cache_no_remote_store_is_asked(pushed: Path, elsewhere: BuildRequest, rooms: Rooms) -> None:
    assert pushed.is_dir()
    assert not make_wheel(replace(elsewhere, reuse=False), Heard()).cached
    assert rooms.built == ["upstream", "upstream"]


def test_a_remote_store_that_cannot_be_meant_is_refused(elsewhere: BuildRequest) -> None:
    with pytest.raises(UsageError, match="no address of a remote store"):
        make_wheel(replace(elsewhere, remote="ftp://host"), Heard())


def test_a_remote_store_that_does_not_answer_costs_a_build(elsewhere: BuildRequest, rooms: Rooms) -> None:
    heard = Heard()
    # Port 9 of this machine: nobody listens there.
    assert not make_wheel(replace(elsewhere, remote="http://127.0.0.1:9/wheels"), heard).cached
    assert rooms.built == ["upstream"]
    assert any(note.startswith("WARNING: http://127.0.0.1:9/wheels does not answer") for note in heard.notes)


def flip(there: Path) -> None:
    content = bytearray(wheel_of(there).read_bytes())
    content[len(content) // 2] ^= 1
    wheel_of(there).write_bytes(content)


def other_requirement(there: Path) -> None:
    wheel = wheel_of(there)
    (folder := there.parent.parent / "evil").mkdir()
    replace_wheel(there, rewrite(wheel, folder, Changes(requirements=("torch==2.9.*",))))


def wrong_record_file(there: Path) -> None:
    """A byte of a member changed, with RECORD left as it was: the archive itself is sound."""
    import zipfile  # noqa: PLC0415

    wheel = wheel_of(there)
    (folder := there.parent.parent / "evil").mkdir()
    evil = folder / wheel.name
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(evil, "w") as target:
        for info in source.infolist():
            content = source.read(info)
            target.writestr(info, content + b"import evil\n" if info.filename.endswith("__init__.py") else content)
    replace_wheel(there, evil)


UNSOUND: dict[str, Callable[[Path], None]] = {
    "flipped byte": flip,
    "RECORD does not hold": wrong_record_file,
    "audit does not pass": other_requirement,
    "no wheel": lambda there: wheel_of(there).unlink(),
    "record is no JSON": lambda there: (there / "record.json").write_text("{", encoding="utf-8") and None,
    "record of another package": lambda there: change(there, lambda record: record["package"].update(name="other")),
    "record of another variant": lambda there: change(there, lambda record: record["variant"].update(identifier="x")),
    "record says too little": lambda there: change(there, lambda record: record.pop("source")),
    "record says nonsense": lambda there: change(there, lambda record: record["build"].update(timeline={"cores": "x"})),
    "name leads elsewhere": lambda there: change(there, lambda record: record["wheel"].update(file="../../x.whl")),
}


@pytest.mark.parametrize("how", UNSOUND)
def test_what_is_not_sound_is_said_and_built_instead(
    how: str, pushed: Path, elsewhere: BuildRequest, rooms: Rooms
) -> None:
    UNSOUND[how](pushed)
    heard = Heard()
    made = make_wheel(elsewhere, heard)
    assert not made.cached
    assert rooms.built == ["upstream", "upstream"]
    assert any(note.startswith("WARNING: ") for note in heard.notes)
    (entry,) = Store(elsewhere.cache / "store").entries()
    assert entry.stored is not None
    assert entry.stored.record == made.record


# Which wheel was to be built, a pull does not know; a missing one is the remote store's fault.
BUILDS_ALONE = {"no wheel", "record of another variant"}


@pytest.mark.parametrize("how", [how for how in UNSOUND if how not in BUILDS_ALONE])
def test_what_is_not_sound_is_not_pulled(how: str, pushed: Path, tmp_path: Path) -> None:
    UNSOUND[how](pushed)
    store = Store(tmp_path / "mine")
    (done,) = pull_all(store, RemoteStore(str(pushed.parent)), [pushed.name], Heard())
    assert done.fault is not None
    assert not done.moved
    assert store.entries() == ()


def test_a_pulled_wheel_is_kept_and_pulled_once(pushed: Path, tmp_path: Path) -> None:
    store, remote = Store(tmp_path / "mine"), RemoteStore(str(pushed.parent))
    (first,) = pull_all(store, remote, [pushed.name], Heard())
    (again,) = pull_all(store, remote, [pushed.name], Heard())
    (absent,) = pull_all(store, remote, ["0" * 64], Heard())
    assert (first.moved, first.fault) == (True, None)
    assert (again.moved, again.result) == (False, "here already")
    assert absent.fault is not None
    assert absent.fault.exit_code == 26
    assert store.find(pushed.name) is not None


def entry_of(asked: BuildRequest) -> StoredWheel:
    (entry,) = Store(asked.cache / "store").entries()
    assert entry.stored is not None
    return entry.stored


@pytest.mark.usefixtures("pushed")
def test_a_check_passes_what_was_built(asked: BuildRequest) -> None:
    store = Store(asked.cache / "store")
    (checked,) = check_store(store, [entry.fingerprint for entry in store.entries()])
    assert checked.fault is None
    assert not checked.set_aside


@pytest.mark.usefixtures("pushed")
def test_a_check_sets_aside_what_is_damaged_or_fails_its_audit_and_it_is_built_anew(
    asked: BuildRequest, rooms: Rooms
) -> None:
    store = Store(asked.cache / "store")
    stored = entry_of(asked)
    stored.wheel.write_bytes(b"damaged")
    (checked,) = check_store(store, [stored.wheel.parent.name])
    assert (checked.set_aside, len(store.damaged())) == (True, 1)
    assert not make_wheel(asked, Heard()).cached
    # Sound by its hash, and not what was promised.
    stored = entry_of(asked)
    promised = {**stored.record, "variant": {**stored.record["variant"], "torch": "2.9"}}
    stored.wheel.with_name("record.json").write_text(json.dumps(promised), encoding="utf-8")
    (checked,) = check_store(store, [stored.wheel.parent.name])
    assert checked.fault is not None
    assert checked.fault.exit_code == 16
    assert (checked.set_aside, len(store.damaged())) == (True, 2)
    assert not make_wheel(asked, Heard()).cached
    assert rooms.built == ["upstream"] * 3


@pytest.mark.usefixtures("pushed")
def test_what_a_further_check_has_against_a_wheel_is_said_and_the_wheel_stays(asked: BuildRequest) -> None:
    store, stored = Store(asked.cache / "store"), entry_of(asked)

    def never(_stored: StoredWheel) -> None:
        raise UsageError("not signed")

    (checked,) = check_store(store, [stored.wheel.parent.name], [never])
    assert checked.fault is not None
    assert not checked.set_aside
    assert store.find(stored.wheel.parent.name) == stored


@pytest.fixture
def keys(tmp_path: Path) -> tuple[PrivateKey, PrivateKey]:
    """Two people's keys."""
    return new_key(tmp_path / "keys", "mine"), new_key(tmp_path / "keys", "theirs")


def public(key: PrivateKey) -> Path:
    return key.path.with_suffix(PUBLIC)


def test_provenance_is_what_travels_with_a_wheel() -> None:
    assert IN_STORE in COMPANIONS


@pytest.mark.usefixtures("rooms")
def test_where_a_signature_is_required_only_signed_wheels_are_taken(
    asked: BuildRequest, elsewhere: BuildRequest, keys: tuple[PrivateKey, PrivateKey], tmp_path: Path
) -> None:
    mine, theirs = keys
    make_wheel(replace(asked, signing_key=mine.path), Heard())
    store, remote = Store(asked.cache / "store"), RemoteStore(str(tmp_path / "remote"))
    (fingerprint,) = (entry.fingerprint for entry in store.entries())
    assert next(push_all(store, remote, [fingerprint])).moved
    for key, taken in ((theirs, False), (mine, True)):
        (done,) = pull_all(
            Store(tmp_path / f"pulled-{taken}"),
            remote,
            [fingerprint],
            Heard(),
            more=signed_by([public(key)]),
        )
        assert (done.moved, done.fault is None) == (taken, taken)
    assert make_wheel(replace(elsewhere, trusted=(public(mine),)), Heard()).cached
    heard = Heard()
    stranger = replace(elsewhere, trusted=(public(theirs),), cache=tmp_path / "third" / "cache")
    assert not make_wheel(stranger, heard).cached
    assert any(note.startswith("WARNING: ") for note in heard.notes)


@pytest.mark.usefixtures("pushed")
def test_a_wheel_that_nobody_signed_is_not_taken_where_a_signature_is_required(
    elsewhere: BuildRequest, keys: tuple[PrivateKey, PrivateKey]
) -> None:
    assert not make_wheel(replace(elsewhere, trusted=(public(keys[0]),)), Heard()).cached


def test_a_signature_that_came_later_follows_the_wheel(
    pushed: Path, asked: BuildRequest, keys: tuple[PrivateKey, PrivateKey], tmp_path: Path
) -> None:
    remote, fingerprint = RemoteStore(str(pushed.parent)), pushed.name
    elsewhere, required = Store(tmp_path / "pulled"), signed_by([public(keys[0])])
    assert next(pull_all(elsewhere, remote, [fingerprint], Heard())).moved
    # A wheel that is here already is held to what is required all the same.
    (unsigned,) = pull_all(elsewhere, remote, [fingerprint], Heard(), more=required)
    assert isinstance(unsigned.fault, ProvenanceError)

    make_wheel(replace(asked, signing_key=keys[0].path), Heard())
    mine = Store(asked.cache / "store")
    assert [next(push_all(mine, remote, [fingerprint])).result for _ in range(2)] == [
        Pushed.COMPLETED.value,
        Pushed.THERE.value,
    ]
    (signed,) = pull_all(elsewhere, remote, [fingerprint], Heard(), more=required)
    assert (signed.moved, signed.fault) == (True, None)
    (again,) = pull_all(elsewhere, remote, [fingerprint], Heard(), more=required)
    assert (again.moved, again.fault) == (False, None)
