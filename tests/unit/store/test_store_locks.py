"""Who may do what to an entry while others read, make or remove it; and what is left when one of them is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from store_scene import faults_of_store, key_of, leftovers, make_wheel

from cudawheel.errors import StoredWheelError
from cudawheel.model.progress import Silent
from cudawheel.store import store as store_module
from cudawheel.store.locks import locked
from cudawheel.store.staging import staging, sweep
from cudawheel.store.store import Entry, Store, StoredWheel

KEY = key_of(1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def stored(store: Store, tmp_path: Path) -> StoredWheel:
    return store.add(KEY, *make_wheel(tmp_path / "built", 1))


def only_entry(store: Store) -> Entry:
    (entry,) = store.entries()
    return entry


def test_what_is_being_read_is_not_removed(store: Store, stored: StoredWheel) -> None:
    with store.reading(KEY) as found:
        assert found == stored
        assert not store.remove(only_entry(store))
        assert stored.wheel.is_file()
    assert store.remove(only_entry(store))
    assert store.entries() == ()
    assert leftovers(store.root) == []


def test_several_may_read_at_once_and_all_have_to_be_done(store: Store, stored: StoredWheel) -> None:
    with store.reading(KEY) as one:
        with store.reading(KEY) as other:
            assert one == other == stored
        assert not store.remove(only_entry(store))


def test_what_is_claimed_is_not_removed(store: Store, stored: StoredWheel) -> None:
    with store.claim(KEY, Silent()):
        assert not store.remove(only_entry(store))
    assert stored.wheel.is_file()
    assert store.remove(only_entry(store))


def test_what_was_used_since_it_was_looked_at_is_not_removed(store: Store, stored: StoredWheel) -> None:
    os.utime(stored.wheel.with_name("last-used"), (1000, 1000))
    old = only_entry(store)
    store.find(KEY)
    assert not store.remove(old)
    assert store.remove(only_entry(store))


def test_what_is_gone_already_is_not_removed_again(store: Store, stored: StoredWheel) -> None:
    entry = only_entry(store)
    assert stored.wheel.is_file()
    assert store.remove(entry)
    assert not store.remove(entry)


def test_who_replaces_an_entry_waits_for_those_who_read_it(store: Store, stored: StoredWheel, tmp_path: Path) -> None:
    new = make_wheel(tmp_path / "new", 1, edition=1)
    thread = threading.Thread(target=store.add, args=(KEY, *new))
    with store.reading(KEY) as found:
        thread.start()
        while not leftovers(store.root):
            time.sleep(0.001)
        thread.join(0.2)
        assert thread.is_alive()
        assert found is not None
        assert found.wheel.read_bytes() != new[0].read_bytes()
        assert found.wheel == stored.wheel
    thread.join(30)
    replaced = store.find(KEY)
    assert replaced is not None
    assert replaced.record["edition"] == 1
    assert leftovers(store.root) == []


def test_looking_at_an_entry_does_not_count_as_use(store: Store, stored: StoredWheel) -> None:
    os.utime(stored.wheel.with_name("last-used"), (1000, 1000))
    with store.reading(KEY, counts_as_use=False):
        pass
    assert only_entry(store).last_used == 1000
    before = time.time()
    store.find(KEY)
    assert only_entry(store).last_used >= before - 1


def test_a_clock_that_went_back_does_not_make_an_entry_look_older(
    store: Store, stored: StoredWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(stored.wheel.with_name("last-used"), (5000, 5000))
    monkeypatch.setattr(store_module.time, "time", lambda: 1000.0)
    store.find(KEY)
    assert only_entry(store).last_used == 5000


def test_an_entry_of_an_earlier_version_has_no_time_of_last_use_and_gets_one(store: Store, stored: StoredWheel) -> None:
    stored.wheel.with_name("last-used").unlink()
    os.utime(stored.wheel.parent, (1000, 1000))
    assert only_entry(store).last_used == 1000
    assert store.find(KEY) == stored
    assert only_entry(store).last_used > 1000


def test_a_store_that_may_only_be_read_is_read(
    store: Store, stored: StoredWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_words: object, **_named: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(Path, "touch", refuse)
    assert store.find(KEY) == stored


@pytest.mark.parametrize("change", ["bytes", "name"])
def test_a_wheel_that_is_not_what_its_record_says_is_never_stored(change: str, store: Store, tmp_path: Path) -> None:
    wheel, record = make_wheel(tmp_path / "built", 1)
    if change == "bytes":
        wheel.write_bytes(wheel.read_bytes() + b"x")
    else:
        record["wheel"]["file"] = "other-1.0-py3-none-any.whl"
    with pytest.raises(StoredWheelError):
        store.add(KEY, wheel, record)
    assert store.entries() == ()
    assert leftovers(store.root) == []


@pytest.mark.parametrize(
    "name", ["../outside.whl", "/etc/passwd", "a/b.whl", "", ".", "..", "a\\b.whl", "a\0.whl", None, 3]
)
def test_a_record_that_names_a_file_elsewhere_is_damage(
    name: object, store: Store, stored: StoredWheel, tmp_path: Path
) -> None:
    (tmp_path / "store" / "outside.whl").write_bytes(stored.wheel.read_bytes())
    record = stored.record | {"wheel": {**stored.record["wheel"], "file": name}}
    stored.wheel.with_name("record.json").write_text(store_module.record_text(record), encoding="utf-8")
    assert store.find(KEY) is None
    assert len(store.damaged()) == 1


def test_the_record_of_another_fingerprint_is_damage(store: Store, stored: StoredWheel) -> None:
    stored.wheel.parent.rename(store.root / key_of(2))
    assert store.find(key_of(2)) is None
    assert len(store.damaged()) == 1


def test_files_beside_the_record_are_kept_with_it(store: Store, tmp_path: Path) -> None:
    store.add(KEY, *make_wheel(tmp_path / "built", 1), {"provenance.dsse.json": b"signed"})
    found = store.find(KEY)
    assert found is not None
    assert found.companion("provenance.dsse.json") == b"signed"
    assert found.companion("other.json") is None


def test_an_entry_that_was_replaced_meanwhile_is_not_set_aside(
    store: Store, stored: StoredWheel, tmp_path: Path
) -> None:
    store.add(KEY, *make_wheel(tmp_path / "new", 1, edition=2))
    store.set_aside(stored)
    assert store.damaged() == ()
    now = store.find(KEY)
    assert now is not None
    store.set_aside(now)
    assert len(store.damaged()) == 1
    assert store.find(KEY) is None


def test_a_lock_follows_the_name_to_another_file(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.touch()
    other.touch()
    got: list[int] = []

    def wait() -> None:
        with locked(path, exclusive=True) as handle:
            got.append(os.fstat(handle).st_ino)

    with locked(path, exclusive=True):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.05)
        inode = other.stat().st_ino
        other.replace(path)
    thread.join(30)
    assert got == [inode]


def test_a_lock_on_what_is_gone_by_then_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            with locked(path):
                pass
        except FileNotFoundError as error:
            errors.append(error)

    with locked(path, exclusive=True):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.05)
        path.unlink()
    thread.join(30)
    assert len(errors) == 1


def test_folders_of_the_living_are_left_alone_and_those_of_the_dead_swept(tmp_path: Path) -> None:
    dead = tmp_path / ".new-dead"
    (dead / "new").mkdir(parents=True)
    (dead / "new" / "half.whl").write_bytes(b"half")
    (dead / "owner").touch()
    newborn = tmp_path / ".new-newborn"
    newborn.mkdir()
    with staging(tmp_path) as mine:
        (mine / "file").touch()
        assert sweep(tmp_path) == 2
        assert (mine / "file").is_file()
    assert list(tmp_path.iterdir()) == []


def test_whoever_is_swept_while_being_born_begins_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = store_module.tempfile.mkdtemp
    swept: list[int] = []

    def mkdtemp(**named: object) -> str:
        made = str(real(**named))  # type: ignore[call-overload]
        if not swept:
            swept.append(sweep(tmp_path))
        return made

    monkeypatch.setattr(store_module.tempfile, "mkdtemp", mkdtemp)
    with staging(tmp_path) as mine:
        assert mine.is_dir()
    assert swept == [1]
    assert list(tmp_path.iterdir()) == []


# Kills itself at a named step of `add`, as `kill -9` would.
KILLED = textwrap.dedent("""
    import os, signal, sys
    from pathlib import Path
    from store_scene import key_of, make_wheel
    from cudawheel.store import staging, store

    root, step = Path(sys.argv[1]), sys.argv[2]
    die = lambda *_words, **_named: os.kill(os.getpid(), signal.SIGKILL)
    swaps = []
    real = store._swap_in
    def swap(new, folder):
        swaps.append(folder)
        if step == f"before swap {len(swaps)}":
            die()
        done = real(new, folder)
        return die() if step == f"after swap {len(swaps)}" else done
    store._swap_in = swap
    if step == "copying":
        store.shutil.copyfile = lambda source, target: (target.write_bytes(b"half"), die())
    if step == "record":
        store.record_text = die
    if step == "cleaning up":
        staging._remove = die
    store.Store(root).add(key_of(1), *make_wheel(root.parent / "killed", 1, edition=1))
""")
STEPS = {
    "copying": 0,
    "record": 0,
    "before swap 1": 0,
    "after swap 1": 0,
    "before swap 2": 0,  # the old one is moved away, the new one not in its place yet
    "after swap 2": 1,
    "cleaning up": 1,
}


@pytest.mark.parametrize("step", STEPS)
def test_a_process_that_is_killed_while_it_replaces_leaves_the_old_or_the_new_entry(
    step: str, store: Store, stored: StoredWheel, tmp_path: Path
) -> None:
    assert stored.record["edition"] == 0
    paths = [str(path) for path in sys.path if path]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(store.root), step],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        check=False,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL
    assert faults_of_store(store.root) == []
    assert len(leftovers(store.root)) == 1
    store.add(key_of(2), *make_wheel(tmp_path / "next", 2))
    assert leftovers(store.root) == []
    found = store.find(KEY)
    assert found is not None
    assert found.record["edition"] == STEPS[step]


def no_record(folder: Path) -> None:
    (folder / "record.json").unlink()


@pytest.mark.parametrize("damage", [no_record, lambda folder: (folder / "record.json").write_bytes(b"{")])
def test_damage_that_is_mended_by_another_process_at_the_same_moment_is_no_damage(
    damage: Callable[[Path], None], store: Store, stored: StoredWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(stored.wheel.parent)
    real = Store._set_aside
    first = iter([True])

    def set_aside(self: Store, folder: Path) -> bool:
        if next(first, False):
            self.add(KEY, *make_wheel(tmp_path / "new", 1))
        return real(self, folder)

    monkeypatch.setattr(Store, "_set_aside", set_aside)
    assert store.find(KEY) == stored
    assert len(store.damaged()) == 1
