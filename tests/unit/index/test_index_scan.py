"""Which files of a wheelhouse are offered, and what is said of the others."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from index_wheels import make_wheel, sha256

from cudawheel.errors import StoreError
from cudawheel.index import scan as scan_module
from cudawheel.index.remembered import SIDECAR
from cudawheel.index.scan import Scanner, Survey


@pytest.fixture
def house(tmp_path: Path) -> Path:
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    return folder


def scan(house: Path) -> Survey:
    return Scanner(house).scan()


def names_in(survey: Survey) -> list[str]:
    return sorted(file.name for file in survey.index.files.values())


def reasons(survey: Survey) -> dict[str, str]:
    return {finding.path: finding.reason for finding in survey.findings}


def test_a_sound_wheel_is_offered_with_what_installers_ask_for(house: Path) -> None:
    wheel = make_wheel(house, "Demo.Ext", "1.0+cu.13.0", requires_python=">=3.10, <4", requires=["torch==2.11.*"])
    survey = scan(house)
    (file,) = survey.index.files.values()
    assert (file.project, str(file.version)) == ("demo-ext", "1.0+cu.13.0")
    assert (file.sha256, file.size) == (sha256(wheel), wheel.stat().st_size)
    assert file.requires_python == ">=3.10, <4"
    assert file.yanked is None
    assert survey.findings == ()
    assert survey.names == {"demo-ext"}


def test_wheels_below_are_offered_too(house: Path) -> None:
    make_wheel(house / "a" / "b", version="2.0")
    assert names_in(scan(house)) == ["demo_ext-2.0-py3-none-any.whl"]


def truncate(wheel: Path) -> None:
    wheel.write_bytes(wheel.read_bytes()[:-40])


def flip(wheel: Path) -> None:
    content = bytearray(wheel.read_bytes())
    content[content.index(b"__version__")] ^= 1
    wheel.write_bytes(content)


def empty(wheel: Path) -> None:
    wheel.write_bytes(b"")


def not_a_zip(wheel: Path) -> None:
    wheel.write_bytes(b"no zip at all" * 99)


def rename_project(wheel: Path) -> None:
    wheel.rename(wheel.with_name("other_ext-1.0-py3-none-any.whl"))


def rename_version(wheel: Path) -> None:
    wheel.rename(wheel.with_name("demo_ext-2.0-py3-none-any.whl"))


def rename_badly(wheel: Path) -> None:
    wheel.rename(wheel.with_name("demo_ext.whl"))


def add(name: str) -> Callable[[Path], None]:
    def add_(wheel: Path) -> None:
        with zipfile.ZipFile(wheel, "a") as archive:
            archive.writestr(zipfile.ZipInfo(name), "planted")

    return add_


def add_twice(wheel: Path) -> None:
    with zipfile.ZipFile(wheel, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(zipfile.ZipInfo("demo_ext/__init__.py"), "planted")


def other_record(wheel: Path) -> None:
    wheel.with_name(f"{wheel.name}.json").write_text(json.dumps({"wheel": {"sha256": "0" * 64}}))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (truncate, "cannot be read as a wheel"),
        (flip, "demo_ext/__init__.py"),
        (empty, "cannot be read as a wheel"),
        (not_a_zip, "cannot be read as a wheel"),
        (rename_project, "is not what its name says"),
        (rename_version, "is not what its name says"),
        (rename_badly, "is not the name of a wheel"),
        (add("../outside.py"), "unsafe name"),
        (add("/etc/outside"), "unsafe name"),
        (add("demo_ext/unlisted.py"), "demo_ext/unlisted.py"),
        (add("Demo_Ext/__init__.py"), "differ only in case"),
        (add_twice, "twice"),
        (other_record, "build record"),
    ],
)
def test_what_is_not_sound_is_never_offered(spoil: Callable[[Path], None], reason: str, house: Path) -> None:
    make_wheel(house, "good")
    wheel = make_wheel(house)
    spoil(wheel)
    survey = scan(house)
    assert names_in(survey) == ["good-1.0-py3-none-any.whl"]
    (said,) = reasons(survey).values()
    assert reason in said
    assert "\n" not in said
    # Its name stays ours all the same: an upstream index could otherwise step in.
    assert survey.names - {"good", "other-ext"} <= {"demo-ext", "demo-ext-whl"}
    assert len(survey.names) == 2


def test_a_wheel_that_is_what_its_build_record_says(house: Path) -> None:
    wheel = make_wheel(house)
    wheel.with_name(f"{wheel.name}.json").write_text(json.dumps({"wheel": {"sha256": sha256(wheel)}}))
    wheel.with_name(f"{wheel.name}.svg").write_text("<svg/>")
    (wheel.with_suffix(".verified") / "logs").mkdir(parents=True)
    (wheel.with_suffix(".verified") / "logs" / "suite.log").write_text("proven")
    survey = scan(house)
    assert names_in(survey) == [wheel.name]
    assert survey.findings == ()


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"wheel": 1}', '{"wheel": {"sha256": 7}}', "\xff"])
def test_a_record_that_says_nothing_vouches_for_nothing(record: str, house: Path) -> None:
    wheel = make_wheel(house)
    wheel.with_name(f"{wheel.name}.json").write_text(record, encoding="latin-1")
    assert names_in(scan(house)) == [wheel.name]
    flip(wheel)
    assert names_in(scan(house)) == []


def test_stray_files_are_named(house: Path) -> None:
    make_wheel(house)
    (house / "gone-1.0.verified").mkdir()
    (house / "gone-1.0.verified" / "verdict.json").write_text("{}")
    for name in ("notes.md", "demo-ext-1.0.tar.gz", "gone-1.0-py3-none-any.whl.yanked", "sub.whl.json"):
        (house / name).write_text("stray")
    (house / ".hidden.whl").write_text("being written")
    (house / ".new").mkdir()
    (house / ".new" / "half-1.0-py3-none-any.whl").write_text("being written")
    survey = scan(house)
    assert names_in(survey) == ["demo_ext-1.0-py3-none-any.whl"]
    assert reasons(survey) == dict.fromkeys(
        [
            "notes.md",
            "demo-ext-1.0.tar.gz",
            "gone-1.0-py3-none-any.whl.yanked",
            "gone-1.0.verified/verdict.json",
            "sub.whl.json",
        ],
        "not a wheel",
    )


def test_links_are_not_followed(house: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "elsewhere")
    (house / wheel.name).symlink_to(wheel)
    (house / "folder").symlink_to(wheel.parent)
    (house / "dangling.whl").symlink_to("nowhere")
    survey = scan(house)
    assert names_in(survey) == []
    assert set(reasons(survey)) == {wheel.name, "folder", "dangling.whl"}
    assert "demo-ext" in survey.names


def test_a_name_that_is_a_channel(house: Path) -> None:
    make_wheel(house, "cu130")
    survey = scan(house)
    assert names_in(survey) == []
    assert "the name of a channel" in next(iter(reasons(survey).values()))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("demo_ext-1.0-py3-none-any.whl", "a/demo_ext-1.0-py3-none-any.whl"),
        ("demo_ext-1.0-py3-none-any.whl", "Demo.Ext-1.0-py3-none-any.whl"),
        ("demo_ext-1.0-py3-none-any.whl", "demo_ext-1.0.0-py3-none-any.whl"),
        ("demo_ext-1.0-py2.py3-none-any.whl", "demo_ext-1.0-py3.py2-none-any.whl"),
    ],
)
def test_two_wheels_of_one_name_with_other_bytes(first: str, second: str, house: Path) -> None:
    make_wheel(house, "good")
    for name, text in ((first, "one"), (second, "two")):
        place = house / name
        make_wheel(place.parent, file_name=place.name, members={"demo_ext/a.py": text})
    survey = scan(house)
    assert names_in(survey) == ["good-1.0-py3-none-any.whl"]
    assert set(reasons(survey)) == {first, second}
    assert first in reasons(survey)[second]
    (house / second).unlink()
    assert names_in(scan(house)) == [first, "good-1.0-py3-none-any.whl"]


def test_copies_are_offered_once(house: Path) -> None:
    wheel = make_wheel(house)
    (house / "copies").mkdir()
    shutil.copyfile(wheel, house / "copies" / wheel.name)
    survey = scan(house)
    assert [file.path for file in survey.index.files.values()] == [house / "copies" / wheel.name]
    assert survey.findings == ()


def test_builds_of_one_version_do_not_clash(house: Path) -> None:
    make_wheel(house)
    make_wheel(house, file_name="demo_ext-1.0-1-py3-none-any.whl", members={"demo_ext/a.py": ""})
    make_wheel(house, tag="cp311-cp311-linux_x86_64")
    make_wheel(house, version="1.0+cu.13.0")
    assert len(names_in(scan(house))) == 4


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_no_wheelhouse(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "house"
    if kind == "file":
        place.write_text("")
    with pytest.raises(StoreError, match="cannot be read"):
        scan(place)


def test_an_unreadable_python_requirement(house: Path) -> None:
    make_wheel(house, requires_python="the newest one")
    survey = scan(house)
    assert names_in(survey) == []
    assert "requires a Python" in next(iter(reasons(survey).values()))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which wheels were read."""
    wheels: list[str] = []
    genuine = scan_module.examine

    def examine(path: Path) -> object:
        wheels.append(path.name)
        return genuine(path)

    monkeypatch.setattr(scan_module, "examine", examine)
    return wheels


def test_a_wheel_is_read_once(house: Path, read: list[str]) -> None:
    make_wheel(house, "a")
    make_wheel(house, "b")
    before = scan(house)
    assert sorted(read) == ["a-1.0-py3-none-any.whl", "b-1.0-py3-none-any.whl"]
    read.clear()
    make_wheel(house, "c")
    after = scan(house)  # by another scanner, which knows from the sidecar
    assert read == ["c-1.0-py3-none-any.whl"]
    assert {place: file for place, file in after.index.files.items() if file.project != "c"} == dict(before.index.files)


def test_a_replaced_wheel_is_read_again(house: Path, read: list[str]) -> None:
    scanner = Scanner(house)
    wheel = make_wheel(house)
    status = wheel.stat()
    first = scanner.scan()
    content = wheel.read_bytes()
    other = make_wheel(house, members={"demo_ext/a.py": "x"})
    assert other == wheel
    assert scanner.scan().index.files.keys().isdisjoint(first.index.files)
    # Of the same size and time, but another file: renamed over it.
    (house / ".new").write_bytes(content)
    os.utime(house / ".new", ns=(status.st_atime_ns, wheel.stat().st_mtime_ns))
    (house / ".new").replace(wheel)
    assert scanner.scan().index.files.keys() == first.index.files.keys()
    assert len(read) == 3


def test_a_refused_wheel_is_read_again_when_it_or_its_record_changes(house: Path, read: list[str]) -> None:
    scanner = Scanner(house)
    wheel = make_wheel(house)
    other_record(wheel)
    assert names_in(scanner.scan()) == []
    assert names_in(scanner.scan()) == []
    assert len(read) == 1
    wheel.with_name(f"{wheel.name}.json").unlink()
    assert names_in(scanner.scan()) == [wheel.name]
    assert len(read) == 2


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"format": 99}', '{"format": 1, "wheels": {"demo_ext-1.0-py3-none-any.whl": [1]}}'],
)
def test_a_damaged_sidecar_costs_time_only(content: str, house: Path) -> None:
    make_wheel(house)
    expected = scan(house).index.files
    (house / SIDECAR).write_text(content)
    assert scan(house).index.files == expected
    assert len(json.loads((house / SIDECAR).read_text())["wheels"]) == 1


def test_a_wheelhouse_that_cannot_be_written_is_read_all_the_same(house: Path) -> None:
    (house / SIDECAR).parent.write_text("")  # so that no folder can take its place
    make_wheel(house)
    assert len(scan(house).index.files) == 1
    assert sorted(path.name for path in house.iterdir()) == [".cudawheel-index", "demo_ext-1.0-py3-none-any.whl"]


def test_a_wheel_that_changes_while_it_is_read(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = make_wheel(house)
    genuine = scan_module.examine.__globals__["sha256_of"]

    def sha256_of(path: Path) -> str:
        digest: str = genuine(path)
        os.utime(path, ns=(1, 1))
        return digest

    monkeypatch.setitem(scan_module.examine.__globals__, "sha256_of", sha256_of)
    survey = scan(house)
    assert names_in(survey) == []
    assert "being written" in reasons(survey)[wheel.name]
    assert survey.unsettled


def test_a_readme_of_the_folder_is_no_stray(tmp_path: Path) -> None:
    for name in ("README.md", "notes.md"):
        (tmp_path / name).write_text("Wheels.\n", encoding="utf-8")
    assert [Path(finding.path).name for finding in Scanner(tmp_path).scan().findings] == ["notes.md"]
