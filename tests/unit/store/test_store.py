"""The store of proven wheels and the wheelhouse: whole or not at all, whoever writes and whatever breaks."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, NoReturn

import pytest

from cudawheel.errors import DiskFullError, StoreError
from cudawheel.files import disk_errors
from cudawheel.model.progress import Silent
from cudawheel.store.store import Store, StoredWheel, other_of_that_name, publish, require_writable

KEY = "f" * 64
NAME = "demo-1.0+cu.13.0.torch.2.11-cp312-cp312-linux_x86_64.whl"


def make_wheel(folder: Path, content: bytes = b"machine code") -> tuple[Path, dict[str, Any]]:
    folder.mkdir(exist_ok=True)
    wheel = folder / NAME
    wheel.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return wheel, {"wheel": {"file": NAME, "sha256": digest}, "package": {"name": "demo, größer"}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def stored(store: Store, tmp_path: Path) -> StoredWheel:
    return store.add(KEY, *make_wheel(tmp_path / "built"))


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_stored_wheel_is_found_again(store: Store, stored: StoredWheel) -> None:
    found = store.find(KEY)
    assert found == stored
    assert found.wheel.read_bytes() == b"machine code"
    assert found.wheel.name == NAME
    assert found.record["package"]["name"] == "demo, größer"


def test_what_was_never_stored_is_not_found(store: Store, stored: StoredWheel, tmp_path: Path) -> None:
    assert stored.wheel.is_file()
    assert store.find("0" * 64) is None
    assert Store(tmp_path / "nowhere").find(KEY) is None
    assert not (tmp_path / "nowhere").exists()


def flip_a_byte(folder: Path) -> None:
    content = bytearray((folder / NAME).read_bytes())
    content[3] ^= 1
    (folder / NAME).write_bytes(content)


def change_record(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
        change(record)
        (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")

    return apply


def write_record(content: bytes) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / "record.json").write_bytes(content)

    return apply


DAMAGE: dict[str, Callable[[Path], None]] = {
    "flipped byte": flip_a_byte,
    "cut short": lambda folder: os.truncate(folder / NAME, 4),
    "no wheel": lambda folder: (folder / NAME).unlink(),
    "no record": lambda folder: (folder / "record.json").unlink(),
    "record is no JSON": write_record(b"{"),
    "record is no table": write_record(b"[]"),
    "record is no text": write_record(b"\xff"),
    "record lacks the hash": change_record(lambda record: record["wheel"].pop("sha256")),
    "record has another hash": change_record(lambda record: record["wheel"].update(sha256="0" * 64)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_set_aside_and_reported_as_absent(damage: str, store: Store, stored: StoredWheel) -> None:
    folder = stored.wheel.parent
    DAMAGE[damage](folder)
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert store.find(KEY) is None
    assert not folder.exists()
    (aside,) = store.damaged()
    assert aside.name.startswith(KEY)
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == kept


def test_a_damaged_entry_can_be_built_anew_any_number_of_times(
    store: Store, stored: StoredWheel, tmp_path: Path
) -> None:
    for number in range(1, 4):
        flip_a_byte(stored.wheel.parent)
        assert store.find(KEY) is None
        assert store.add(KEY, *make_wheel(tmp_path / "built")) == store.find(KEY)
        assert len(list((tmp_path / "store" / "damaged").iterdir())) == number


def test_adding_sets_a_damaged_entry_aside(store: Store, stored: StoredWheel, tmp_path: Path) -> None:
    flip_a_byte(stored.wheel.parent)
    store.add(KEY, *make_wheel(tmp_path / "built"))
    assert len(list((tmp_path / "store" / "damaged").iterdir())) == 1
    assert store.find(KEY) == stored


def test_a_good_entry_is_replaced_and_leaves_nothing_behind(store: Store, stored: StoredWheel, tmp_path: Path) -> None:
    store.add(KEY, *make_wheel(tmp_path / "built", b"other code"))
    found = store.find(KEY)
    assert found is not None
    assert found.wheel.read_bytes() == b"other code"
    assert stored.wheel == found.wheel
    assert entries(tmp_path / "store") == [KEY]


def test_damage_that_another_process_set_aside_first_is_no_error(
    store: Store, stored: StoredWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip_a_byte(stored.wheel.parent)
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        shutil.rmtree(self)
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    assert store.find(KEY) is None
    assert entries(tmp_path / "store" / "damaged") == []


def test_damage_that_cannot_be_set_aside_is_our_own_error(store: Store, stored: StoredWheel, tmp_path: Path) -> None:
    flip_a_byte(stored.wheel.parent)
    (tmp_path / "store" / "damaged").write_text("a file", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot be written"):
        store.find(KEY)


@pytest.mark.parametrize("before", [False, True], ids=["new", "replacing"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "no room"), OSError(errno.EIO, "broken")])
def test_an_entry_that_is_half_written_is_never_visible(
    error: BaseException, before: bool, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = store.add(KEY, *make_wheel(tmp_path / "old")) if before else None
    seen: list[StoredWheel | None] = []

    def copy_half(source: Path, target: Path) -> NoReturn:
        target.write_bytes(source.read_bytes()[:5])
        seen.append(store.find(KEY))
        raise error

    monkeypatch.setattr(shutil, "copyfile", copy_half)
    expected = {errno.ENOSPC: DiskFullError, errno.EIO: StoreError, None: KeyboardInterrupt}
    with pytest.raises(expected[getattr(error, "errno", None)]):
        store.add(KEY, *make_wheel(tmp_path / "built", b"new code"))
    assert seen == [old]
    assert store.find(KEY) == old
    assert entries(tmp_path / "store") == ([KEY] if before else [])


def test_a_published_wheel_lies_beside_its_record(stored: StoredWheel, tmp_path: Path) -> None:
    wheelhouse = tmp_path / "deep" / "wheelhouse"
    assert publish(stored, wheelhouse) == wheelhouse / NAME
    assert entries(wheelhouse) == [NAME, f"{NAME}.json"]
    assert (wheelhouse / NAME).read_bytes() == b"machine code"
    assert json.loads((wheelhouse / f"{NAME}.json").read_text(encoding="utf-8")) == stored.record
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in wheelhouse.iterdir())


def test_publishing_again_leaves_a_good_wheel_alone_and_mends_a_bad_one(stored: StoredWheel, tmp_path: Path) -> None:
    target = publish(stored, tmp_path / "wheelhouse")
    same = target.stat().st_ino
    publish(stored, tmp_path / "wheelhouse")
    assert target.stat().st_ino == same
    target.write_bytes(b"flipped")
    publish(stored, tmp_path / "wheelhouse")
    assert target.read_bytes() == b"machine code"


def test_a_wheel_of_the_same_name_and_other_bytes_is_told_before_it_is_replaced(
    stored: StoredWheel, tmp_path: Path
) -> None:
    assert not other_of_that_name(stored, tmp_path / "wheelhouse")
    target = publish(stored, tmp_path / "wheelhouse")
    assert not other_of_that_name(stored, tmp_path / "wheelhouse")
    target.write_bytes(b"other capabilities")
    assert other_of_that_name(stored, tmp_path / "wheelhouse") == hashlib.sha256(b"other capabilities").hexdigest()


def test_what_a_killed_process_left_in_the_wheelhouse_goes_with_the_next_publication(
    stored: StoredWheel, tmp_path: Path
) -> None:
    wheelhouse = tmp_path / "wheelhouse"
    wheelhouse.mkdir()
    for name in (f".{NAME}.abcdefgh", f".{NAME}.json.abcdefgh", ".other-1.0-py3-none-any.whl.abcdefgh"):
        (wheelhouse / name).write_bytes(b"half")
    publish(stored, wheelhouse)
    assert entries(wheelhouse) == [".other-1.0-py3-none-any.whl.abcdefgh", NAME, f"{NAME}.json"]


def test_publishers_wait_for_each_other(stored: StoredWheel, tmp_path: Path) -> None:
    wheelhouse = tmp_path / "wheelhouse"
    wheelhouse.mkdir()
    handle = os.open(wheelhouse, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    thread = threading.Thread(target=publish, args=(stored, wheelhouse))
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    assert entries(wheelhouse) == []
    os.close(handle)
    thread.join(30)
    assert entries(wheelhouse) == [NAME, f"{NAME}.json"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "no room")])
def test_a_publication_that_fails_leaves_nothing_in_the_wheelhouse(
    error: BaseException, stored: StoredWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: Path) -> NoReturn:
        raise error

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(DiskFullError if isinstance(error, OSError) else KeyboardInterrupt):
        publish(stored, tmp_path / "wheelhouse")
    assert entries(tmp_path / "wheelhouse") == []


@pytest.fixture
def blocked(tmp_path: Path) -> Path:
    """A folder that nobody can make, root included: its parent is a file."""
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    return tmp_path / "file" / "folder"


def test_a_wheelhouse_that_cannot_be_written_is_refused(stored: StoredWheel, blocked: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written") as caught:
        publish(stored, blocked)
    assert str(blocked) in caught.value.what
    assert "--wheelhouse" in caught.value.remedy
    assert caught.value.exit_code == 18


def test_a_folder_is_tried_before_it_is_needed(blocked: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        require_writable(blocked)
    require_writable(tmp_path / "new" / "folder")
    assert entries(tmp_path / "new" / "folder") == []


def test_a_store_that_cannot_be_written_is_refused(blocked: Path, tmp_path: Path) -> None:
    store = Store(blocked)
    with pytest.raises(StoreError, match="cannot be written"):
        store.add(KEY, *make_wheel(tmp_path / "built"))
    with pytest.raises(StoreError, match="cannot be written"), store.claim(KEY, Silent()):
        pass


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_has_an_error_of_its_own(number: int, tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match="no space is left") as caught, disk_errors(tmp_path):
        raise OSError(number, os.strerror(number))
    assert caught.value.why == os.strerror(number)
    assert str(tmp_path) in caught.value.what


def test_what_is_no_systems_error_passes_through(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), disk_errors(tmp_path):
        raise ValueError("mine")


ON_A_SMALL_DISK = textwrap.dedent("""
    import hashlib, sys
    from pathlib import Path
    from cudawheel.errors import DiskFullError
    from cudawheel.store.store import Store, StoredWheel, publish

    small, outside = Path(sys.argv[1]), Path(sys.argv[2])
    wheel = outside / "demo.whl"
    wheel.write_bytes(bytes(4 << 20))
    record = {"wheel": {"file": wheel.name, "sha256": hashlib.sha256(bytes(4 << 20)).hexdigest()}}
    for work in (
        lambda: Store(small / "store").add("f" * 64, wheel, record),
        lambda: publish(StoredWheel(wheel=wheel, record=record), small / "wheelhouse"),
    ):
        try:
            work()
        except DiskFullError as error:
            print(error.exit_code, error.what)
        else:
            print("it fitted")
    print(sorted(str(path.relative_to(small)) for path in small.rglob("*")))
""")


def small_disk_command(small: Path, outside: Path) -> list[str]:
    """A real disk of 1 MiB where that may be mounted, else writes that fail as on a full one."""
    mount = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"', str(small)]
    python = [sys.executable, "-c"]
    places = [str(small), str(outside)]
    try:
        permitted = subprocess.run([*mount, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        permitted = False
    if permitted:
        return [*mount, *python, ON_A_SMALL_DISK, *places]
    return [*python, PRETEND_FULL + ON_A_SMALL_DISK, *places]


# Without mounting: the kernel's own copying is left out, and every file below the folder refuses its second MiB.
PRETEND_FULL = textwrap.dedent("""
    import errno, io, os, shutil, sys
    real_fdopen = os.fdopen
    def full(content, *_rest):
        raise OSError(errno.ENOSPC, "No space left on device")
    def copyfile(source, target):
        target.write_bytes(source.read_bytes()[: 1 << 20])
        full(b"")
    class Full(io.FileIO):
        def write(self, content):
            return full(content) if len(content) > 1 << 20 else super().write(content)
    def fdopen(handle, mode="r"):
        return Full(handle, mode) if mode == "wb" else real_fdopen(handle, mode)
    os.fdopen = fdopen
    shutil.copyfile = copyfile
""")


def check_full_disk(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert done.stderr == ""
    assert [line.split(" for ")[0] for line in lines[:2]] == ["19 no space is left"] * 2
    assert lines[2] == "['store', 'wheelhouse']"


def test_a_disk_that_fills_up_leaves_nothing_half_written(tmp_path: Path) -> None:
    small, outside = tmp_path / "small", tmp_path / "outside"
    small.mkdir()
    outside.mkdir()
    check_full_disk(small_disk_command(small, outside))


def test_writes_that_are_refused_leave_nothing_half_written(tmp_path: Path) -> None:
    small, outside = tmp_path / "small", tmp_path / "outside"
    small.mkdir()
    outside.mkdir()
    check_full_disk([sys.executable, "-c", PRETEND_FULL + ON_A_SMALL_DISK, str(small), str(outside)])


def build_once(root: Path, built: Path, barrier: Barrier) -> None:
    """What the factory does, in a process of its own: claim, look, build, keep; notes what it did in a file."""
    notes = built / f"{os.getpid()}.txt"

    class Listening(Silent):
        def phase(self, name: str, detail: str = "") -> None:
            notes.write_text(f"{name}: {detail}\n", encoding="utf-8")

    store = Store(root)
    barrier.wait(60)
    with store.claim(KEY, Listening()):
        inside = root / "inside"
        inside.touch(exist_ok=False)
        if store.find(KEY) is None:
            store.add(KEY, *make_wheel(built / str(os.getpid())))
            with (built / "builds").open("a", encoding="utf-8") as file:
                file.write("built\n")
        inside.unlink()


def test_two_processes_that_claim_one_fingerprint_build_once(tmp_path: Path) -> None:
    root, built = tmp_path / "store", tmp_path / "built"
    built.mkdir()
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    workers = [context.Process(target=build_once, args=(root, built, barrier)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert (built / "builds").read_text(encoding="utf-8") == "built\n"
    found = Store(root).find(KEY)
    assert found is not None


def test_a_process_that_waits_says_so_and_goes_on_when_the_other_is_done(store: Store, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    built = tmp_path / "built"
    built.mkdir()
    barrier = context.Barrier(1)
    worker = context.Process(target=build_once, args=(tmp_path / "store", built, barrier))
    with store.claim(KEY, Silent()):
        worker.start()
        while not list(built.glob("*.txt")):
            worker.join(0.01)
            assert worker.is_alive()
    worker.join(60)
    assert worker.exitcode == 0
    (note,) = built.glob("*.txt")
    assert note.read_text(encoding="utf-8") == "waiting: another process builds the same variant\n"
    assert (built / "builds").is_file()


def test_a_claim_ends_with_the_work_even_if_that_fails(store: Store) -> None:
    class Impatient(Silent):
        def phase(self, name: str, detail: str = "") -> None:
            raise AssertionError(name, detail)

    with pytest.raises(KeyboardInterrupt), store.claim(KEY, Silent()):
        raise KeyboardInterrupt
    with store.claim(KEY, Impatient()):
        pass


def test_different_fingerprints_do_not_wait_for_each_other(store: Store) -> None:
    heard: list[str] = []

    class Listening(Silent):
        def phase(self, name: str, detail: str = "") -> None:
            heard.append(f"{name} {detail}")

    with store.claim(KEY, Listening()), store.claim("0" * 64, Listening()):
        assert heard == []
