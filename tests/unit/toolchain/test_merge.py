from __future__ import annotations

from pathlib import Path

import pytest

from cudawheel.errors import SourceUnsafeError
from cudawheel.toolchain.merge import merge, require_links_inside


def put(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_folders_become_one_and_the_later_file_stays(tmp_path: Path) -> None:
    put(tmp_path / "a" / "lib" / "liba.so")
    put(tmp_path / "a" / "LICENSE", "a")
    put(tmp_path / "b" / "lib" / "libb.so.1")
    put(tmp_path / "b" / "LICENSE", "b")
    (tmp_path / "b" / "lib" / "libb.so").symlink_to("libb.so.1")

    merge(tmp_path / "b", tmp_path / "a")

    assert sorted(path.name for path in (tmp_path / "a" / "lib").iterdir()) == ["liba.so", "libb.so", "libb.so.1"]
    assert (tmp_path / "a" / "LICENSE").read_text(encoding="utf-8") == "b"


def test_a_file_does_not_take_the_place_of_a_folder(tmp_path: Path) -> None:
    put(tmp_path / "a" / "lib" / "liba.so")
    put(tmp_path / "b" / "lib")
    with pytest.raises(SourceUnsafeError, match="place of a folder"):
        merge(tmp_path / "b", tmp_path / "a")


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "lib").symlink_to(tmp_path / "outside")
    (tmp_path / "outside").mkdir()
    put(tmp_path / "b" / "lib" / "libb.so")

    with pytest.raises(SourceUnsafeError, match="a link there"):
        merge(tmp_path / "b", tmp_path / "a")

    assert not list((tmp_path / "outside").iterdir())


def test_links_inside_pass(tmp_path: Path) -> None:
    put(tmp_path / "home" / "lib" / "libx.so.1")
    (tmp_path / "home" / "lib" / "libx.so").symlink_to("libx.so.1")
    (tmp_path / "home" / "lib64").symlink_to("lib")
    require_links_inside(tmp_path / "home")


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "x/../../secret"])
def test_links_that_lead_out_do_not(tmp_path: Path, target: str) -> None:
    (tmp_path / "home" / "y").mkdir(parents=True)
    (tmp_path / "home" / "x").symlink_to("y")
    (tmp_path / "home" / "bad").symlink_to(target)
    with pytest.raises(SourceUnsafeError, match="outside of the toolkit"):
        require_links_inside(tmp_path / "home")
