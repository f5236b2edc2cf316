"""Locks: what a build fetched, written down by hash, read back, and held against what comes next."""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listening import Heard
from small_packages import sha256, write_wheel

from cudawheel.builder.environment import Environment, EnvironmentSpec, provide_environment, resolve
from cudawheel.builder.lock import (
    LockedBuild,
    find_locked,
    lock_path,
    locked_build,
    read_lock,
    require_none_lacking,
    require_same_requests,
    require_same_toolkit,
    write_locked,
)
from cudawheel.builder.pins import Pin, hashed_reference, read_resolution
from cudawheel.errors import InstallError, LockError

KEY = ("cp312-torch2.11-cu130-x86_64", "upstream", "package")
PIN = Pin(name="ninja", version="1.13", sha256=("a" * 64,), files=("ninja-1.13-py3-none-any.whl",))


def entry(*pins: Pin, key: tuple[str, str, str] = KEY, requires: tuple[str, ...] = ("ninja",)) -> LockedBuild:
    return locked_build(key, requires=requires, pins=pins or (PIN,), toolkit={"cuda_nvcc.tar.xz": "b" * 64})


def write(path: Path, *entries: LockedBuild) -> None:
    for one in entries:
        write_locked(path, one, guard=path.with_name("guard"))


def spec(*requirements: str, pins: tuple[Pin, ...] = (), overrides: tuple[str, ...] = ()) -> EnvironmentSpec:
    return EnvironmentSpec(
        interpreter=Path(sys.executable), requirements=requirements, hashed=True, pins=pins, overrides=overrides
    )


def provide(wanted: EnvironmentSpec, tmp_path: Path) -> Environment:
    return provide_environment(wanted, tmp_path / "cache", tmp_path / "log", Heard())


def test_a_lock_lies_beside_its_recipe() -> None:
    assert lock_path(Path("recipes/tiny.toml")) == Path("recipes/tiny.lock.toml")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "tiny.lock.toml"
    write(path, entry())
    assert find_locked(path, KEY) == entry()
    assert entry().pins == (PIN,)
    assert "tiny.toml" in path.read_text().splitlines()[0]


def test_a_recipe_without_a_lock_has_no_entries(tmp_path: Path) -> None:
    assert read_lock(tmp_path / "none.lock.toml") == ()


def test_a_new_entry_replaces_the_one_of_its_key_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "tiny.lock.toml"
    other = entry(key=("cp313-torch2.11-cu130-x86_64", "upstream", "package"))
    newer = entry(Pin(name="ninja", version="1.14", sha256=("c" * 64,), files=("ninja-1.14.whl",)))
    write(path, other, entry(), newer)
    assert read_lock(path) == (newer, other)
    content = path.read_bytes()
    write(path, newer)
    assert path.read_bytes() == content


def test_builds_that_end_together_lose_nothing_of_each_other(tmp_path: Path) -> None:
    path = tmp_path / "tiny.lock.toml"
    entries = [entry(key=(f"cp3{minor}-torch2.11-cu130-x86_64", "upstream", "package")) for minor in range(10, 22)]
    with ThreadPoolExecutor(6) as workers:
        list(workers.map(lambda one: write(path, one), entries))
    assert read_lock(path) == tuple(entries)


def test_no_place_is_named_that_files_came_from(tmp_path: Path) -> None:
    text = "".join(
        f'[[packages]]\nname = "{name}"\nversion = "1"\n'
        f'wheels = [{{ url = "https://index.example/{name}-1-py3-none-any.whl", '
        f'hashes = {{ sha256 = "{"d" * 64}" }} }}]\n'
        for name in ("ninja", "torch")
    )
    write(tmp_path / "tiny.lock.toml", entry(*read_resolution(text, ("ninja", "torch"))))
    assert "index.example" not in (tmp_path / "tiny.lock.toml").read_text()
    assert "ninja-1-py3-none-any.whl" in (tmp_path / "tiny.lock.toml").read_text()


WORD = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=12)


@given(requires=st.lists(WORD, min_size=1, max_size=3), label=WORD, file=WORD)
def test_any_words_survive_the_file(
    requires: list[str], label: str, file: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "words.lock.toml"
    path.unlink(missing_ok=True)
    pin = Pin(name="ninja", version="1", sha256=("a" * 64,), files=(file,))
    one = entry(pin, key=(KEY[0], label, "system"), requires=tuple(requires))
    write(path, one)
    assert read_lock(path) == (one,)


@pytest.mark.parametrize(
    ("pins", "why"),
    [((), "not known"), ((PIN, Pin(name="tool", reference="git+https://example.org/tool")), "no hash for tool")],
)
def test_what_has_no_hash_cannot_be_locked(pins: tuple[Pin, ...], why: str) -> None:
    with pytest.raises(LockError, match="cannot be locked") as caught:
        locked_build(KEY, requires=(), pins=pins, toolkit={})
    assert why in caught.value.why
    assert caught.value.exit_code == 51


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("version = ", ""),
        ("version = 2", "version"),
        ("version = 1\nbuilds = 3", "builds"),
        ("version = 1\nextra = 3", "extra"),
        ("version = 1\n[[builds]]\nvariant = 'a'\n", "builds.0.source"),
    ],
)
def test_a_lock_that_cannot_be_read_is_said_and_never_passed_over(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "tiny.lock.toml").write_text(text)
    with pytest.raises(LockError) as caught:
        find_locked(tmp_path / "tiny.lock.toml", KEY)
    assert why in caught.value.why
    assert "--update-lock" in caught.value.remedy


@pytest.mark.parametrize("name", ["-r elsewhere.txt", "--index-url=x", "a b", ""])
def test_a_name_that_an_installer_would_take_for_an_option_is_refused(name: str, tmp_path: Path) -> None:
    write(tmp_path / "tiny.lock.toml", entry())
    text = (tmp_path / "tiny.lock.toml").read_text().replace('name = "ninja"', f'name = "{name}"')
    (tmp_path / "tiny.lock.toml").write_text(text)
    with pytest.raises(LockError, match="is not a lock"):
        read_lock(tmp_path / "tiny.lock.toml")


def test_a_recipe_that_asks_for_something_else_is_told(tmp_path: Path) -> None:
    path = tmp_path / "tiny.lock.toml"
    require_same_requests(entry(requires=("b", "a", "a")), ("a", "b"), path)
    with pytest.raises(LockError, match="does not fit") as caught:
        require_same_requests(entry(requires=("a", "b")), ("b", "c>1"), path)
    assert caught.value.why.splitlines()[1:] == ["+ c>1", "- a"]


def test_a_backend_that_asks_for_more_is_told(tmp_path: Path) -> None:
    require_none_lacking(entry(), (), tmp_path)
    with pytest.raises(LockError, match="lacks what the package's backend asks for") as caught:
        require_none_lacking(entry(), ("cmake>=4",), tmp_path)
    assert "cmake>=4" in caught.value.why


def test_a_toolkit_of_other_archives_is_told(tmp_path: Path) -> None:
    require_same_toolkit(entry(), {"cuda_nvcc.tar.xz": "b" * 64}, tmp_path)
    for toolkit in ({"cuda_nvcc.tar.xz": "c" * 64}, {}, {"cuda_nvcc.tar.xz": "b" * 64, "more": "d" * 64}):
        with pytest.raises(LockError, match="the toolkit is not the one"):
            require_same_toolkit(entry(), toolkit, tmp_path)


def test_an_environment_knows_the_hash_of_all_it_holds(links: Path, tmp_path: Path) -> None:
    environment = provide(spec("tiny-tool"), tmp_path)
    assert environment.packages == ("tiny-helper==1.0", "tiny-tool==1.0")
    assert {pin.name: pin.sha256 for pin in environment.pins} == {
        "tiny-helper": (sha256((links / "tiny_helper-1.0-py3-none-any.whl").read_bytes()),),
        "tiny-tool": (sha256((links / "tiny_tool-1.0-py3-none-any.whl").read_bytes()),),
    }
    assert provide(spec("tiny-tool"), tmp_path) == environment, "and still does when it is taken as it stands"


@pytest.mark.usefixtures("links")
def test_pins_are_what_is_installed_whatever_is_newest(tmp_path: Path) -> None:
    old = provide(spec("tiny-helper<2"), tmp_path).pins
    assert provide(spec("tiny-helper", pins=old), tmp_path).packages == ("tiny-helper==1.0",)
    assert provide(spec("tiny-helper"), tmp_path).packages == ("tiny-helper==2.0",)


def test_another_file_of_the_same_version_is_refused(
    links: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = provide(spec("tiny-helper==1.0"), tmp_path).pins
    write_wheel(links, "tiny-helper", "1.0", files={"tiny_helper/more.py": "malice = True\n"})
    shutil.rmtree(tmp_path / "cache")
    # As on another machine: here uv would still have the right file, and take that.
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    with pytest.raises(LockError, match="not the file that was pinned") as caught:
        provide(spec("tiny-helper==1.0", pins=pins), tmp_path)
    assert pins[0].sha256[0] in caught.value.why
    assert "--update-lock" in caught.value.remedy
    assert not list((tmp_path / "cache").glob("*/lib/python3*/site-packages/tiny_helper"))


def test_a_pinned_version_that_is_gone_is_an_error(links: Path, tmp_path: Path) -> None:
    pins = provide(spec("tiny-helper==1.0"), tmp_path).pins
    (links / "tiny_helper-1.0-py3-none-any.whl").unlink()
    with pytest.raises((InstallError, LockError)):
        provide(spec("tiny-helper", pins=pins), tmp_path)


@pytest.mark.usefixtures("links")
def test_overrides_are_resolved_as_well(tmp_path: Path) -> None:
    environment = provide(spec("tiny-tool", overrides=("tiny-helper==2.0",)), tmp_path)
    assert environment.version_of("tiny-helper") == "2.0"


@pytest.mark.usefixtures("links")
def test_what_cannot_be_resolved_is_said(tmp_path: Path) -> None:
    with pytest.raises(InstallError) as caught:
        resolve(spec("tiny-tool", "tiny-helper>=2"), tmp_path, tmp_path / "log")
    assert "tiny-helper" in caught.value.why


@pytest.mark.usefixtures("links")
def test_a_file_on_this_machine_is_installed_by_its_hash(tmp_path: Path) -> None:
    own = write_wheel(tmp_path / "own", "tiny-own", "3.0")
    reference = f"tiny-own @ {own.as_uri()}"
    resolved = provide(spec("tiny-helper<2", reference), tmp_path)
    by_name = {pin.name: pin for pin in resolved.pins}
    assert by_name["tiny-own"].sha256 == (sha256(own.read_bytes()),)
    assert by_name["tiny-own"].reference == own.as_uri()
    pinned = provide(spec("tiny-helper<2", reference, pins=(by_name["tiny-helper"],)), tmp_path)
    assert pinned.packages == ("tiny-helper==1.0", "tiny-own==3.0")
    assert pinned.version_of("tiny-own") == next(pin.version for pin in pinned.pins if pin.name == "tiny-own")


def test_a_name_with_blanks_is_still_a_file(tmp_path: Path) -> None:
    own = write_wheel(tmp_path / "with blanks", "tiny-own", "3.0")
    assert hashed_reference(f"tiny-own @ {own.as_uri()}").sha256 == (sha256(own.read_bytes()),)


def installed(folder: Path, *tags: str) -> Distribution:
    info = folder / "tiny-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\n" + "".join(f"Tag: {tag}\n" for tag in tags))
    return Distribution.at(info)


FILES = (
    "tiny-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "tiny-1.0-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "tiny-1.0.tar.gz",
)


@pytest.mark.parametrize(
    ("tags", "which"),
    [
        (("cp312-cp312-manylinux_2_17_x86_64", "cp312-cp312-manylinux2014_x86_64"), 1),
        (("cp313-cp313-manylinux_2_17_x86_64",), None),
        ((), None),
    ],
)
def test_of_several_files_the_installed_tags_say_which(
    tags: tuple[str, ...], which: int | None, tmp_path: Path
) -> None:
    pin = Pin(name="tiny", version="1.0", sha256=("a" * 64, "b" * 64, "c" * 64), files=FILES)
    narrowed = pin.narrowed(installed(tmp_path, *tags))
    assert narrowed.files == (FILES if which is None else (FILES[which],))
    assert len(narrowed.sha256) == len(narrowed.files)
