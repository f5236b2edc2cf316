"""An index that follows its wheelhouse."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from index_wheels import make_wheel

from cudawheel.index import live as live_module
from cudawheel.index.live import LiveIndex
from cudawheel.index.scan import Finding, Scanner
from cudawheel.index.yanking import unyank, yank


class House:
    """A wheelhouse whose changes are never of the same moment as the last look."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.findings: list[Finding] = []
        self.scanner = Scanner(folder)
        self.live = LiveIndex(self.scanner, self.findings.append)

    def projects(self) -> list[str]:
        self.live.refresh()
        return list(self.live.index.channels[""].projects)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(live_module, "_RACY_NS", 10**12)  # a scan at every look: no test waits for a clock to tick
    made = House(tmp_path / "wheelhouse")
    made.live.start()
    return made


def test_wheels_come_and_go(house: House) -> None:
    assert house.projects() == []
    wheel = make_wheel(house.folder)
    assert house.projects() == ["demo-ext"]
    wheel.unlink()
    assert house.projects() == []
    assert house.live.names == {"demo-ext"}  # the name stays ours


def test_yanking_shows(house: House) -> None:
    wheel = make_wheel(house.folder)
    house.live.refresh()
    yank(wheel, "wrong\n  numbers ")
    house.live.refresh()
    assert [file.yanked for file in house.live.index.files.values()] == ["wrong numbers"]
    unyank(wheel)
    house.live.refresh()
    assert [file.yanked for file in house.live.index.files.values()] == [None]


def test_a_wheel_that_is_still_being_copied(house: House, tmp_path: Path) -> None:
    whole = make_wheel(tmp_path / "elsewhere").read_bytes()
    place = house.folder / "demo_ext-1.0-py3-none-any.whl"
    place.write_bytes(whole[:100])
    assert house.projects() == []
    assert [finding.path for finding in house.findings] == [place.name]
    place.write_bytes(whole)
    assert house.projects() == ["demo-ext"]


def test_nothing_is_told_twice(house: House) -> None:
    (house.folder / "notes.md").write_text("stray")
    house.live.refresh()
    house.live.refresh()
    assert house.findings == [Finding("notes.md", "not a wheel")]


def test_a_wheelhouse_that_vanishes_keeps_its_last_state(house: House) -> None:
    make_wheel(house.folder)
    assert house.projects() == ["demo-ext"]
    away = house.folder.with_name("away")
    house.folder.rename(away)
    assert house.projects() == ["demo-ext"]
    assert house.projects() == ["demo-ext"]
    assert [finding.path for finding in house.findings] == [str(house.folder)]
    assert "the last state is kept" in house.findings[0].reason
    away.rename(house.folder)
    make_wheel(house.folder, "other")
    assert house.projects() == ["demo-ext", "other"]


def test_a_defect_does_not_end_the_following(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wheel(house.folder)
    with monkeypatch.context() as broken:
        broken.setattr(Scanner, "scan", lambda _self: 1 // 0)
        house.live.refresh()
    assert "ZeroDivisionError" in house.findings[0].reason
    assert house.projects() == ["demo-ext"]


def test_nothing_is_read_while_nothing_changes(tmp_path: Path) -> None:
    house = House(tmp_path / "wheelhouse")
    wheel = make_wheel(house.folder / "sub")
    for folder in (house.folder, house.folder / "sub"):
        os.utime(folder, ns=(10**18, 10**18))
    house.scanner.scan()  # which makes the folder of the sidecar
    os.utime(house.folder, ns=(10**18, 10**18))
    house.live.start()
    assert [house.live.refresh() for _ in range(3)] == [False] * 3
    shutil.copyfile(wheel, house.folder / "sub" / "copy")
    assert house.live.refresh()


def test_remembering_does_not_look_like_a_change(tmp_path: Path) -> None:
    house = House(tmp_path / "wheelhouse")
    make_wheel(house.folder)
    house.live.start()
    make_wheel(house.folder, "other")
    os.utime(house.folder, ns=(10**18, 10**18))
    assert house.live.refresh()
    assert not house.live.refresh()
    assert house.projects() == ["demo-ext", "other"]
