"""What --fix may write: folders of cudawheel's own, below the user's home, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from cudawheel.doctor.repair import Repair, apply, repairs
from cudawheel.errors import StoreError


def test_missing_folders_below_home_are_made_and_private_ones_are_private(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "there").mkdir(parents=True)
    wanted = repairs({"cache": home / "a" / "b", "keys": home / "k", "settings": home / "there"}, home)
    assert [repair.what for repair in wanted] == ["cache", "keys"]
    assert apply(wanted, home) == (home / "a" / "b", home / "k")
    assert (home / "k").stat().st_mode & 0o077 == 0
    assert repairs({"cache": home / "a" / "b", "keys": home / "k"}, home) == ()


def test_nothing_outside_of_home_is_ever_wanted(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    (home / "link").symlink_to(elsewhere)
    folders = {"out": elsewhere / "a", "up": home / ".." / "b", "link": home / "link" / "c", "home": home}
    assert repairs(folders, home) == ()


def test_what_has_become_a_link_to_elsewhere_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    wanted = repairs({"cache": home / "later" / "cache"}, home)
    (home / "later").symlink_to(tmp_path)
    with pytest.raises(StoreError, match="outside"):
        apply(wanted, home)
    assert not (tmp_path / "cache").exists()


def test_where_nothing_can_be_written_the_error_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot be written"):
        apply([Repair(path=tmp_path / "file" / "cache", what="cache")], tmp_path)
