"""Folders as sources."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cudawheel.builder.tree import copy_tree, source_files, tree_hash


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "tree" / "pyproject.toml", "[project]\n")
    write(tmp_path / "tree" / "src" / "a.cu", "kernel\n")
    return tmp_path / "tree"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    "leftover",
    [
        "build/a.o",
        "dist/x.whl",
        "src/__pycache__/a.pyc",
        ".git/HEAD",
        "tiny.egg-info/PKG-INFO",
        ".venv/bin/python",
        ".pytest_cache/x",
    ],
)
def test_leftovers_of_a_build_change_nothing(leftover: str, folder: Path, tmp_path: Path) -> None:
    before = tree_hash(folder)
    write(folder / leftover, "left")
    assert tree_hash(folder) == before
    copy_tree(folder, tmp_path / "copy")
    assert tree_hash(tmp_path / "copy") == before
    assert not (tmp_path / "copy" / leftover).exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: write(tree / "src" / "a.cu", "other kernel\n"),
        lambda tree: write(tree / "src" / "b.cu", ""),
        lambda tree: (tree / "src" / "a.cu").unlink(),
        lambda tree: (tree / "src" / "a.cu").rename(tree / "a.cu"),
        lambda tree: (tree / "src" / "a.cu").chmod(0o755),
        lambda tree: (tree / "link").symlink_to("pyproject.toml"),
    ],
)
def test_whatever_is_built_changes_the_hash(change: Callable[[Path], object], folder: Path) -> None:
    before = tree_hash(folder)
    change(folder)
    assert tree_hash(folder) != before


def test_where_a_tree_lies_and_when_it_was_written_does_not_count(folder: Path, tmp_path: Path) -> None:
    copy_tree(folder, tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "pyproject.toml").touch()
    assert tree_hash(tmp_path / "elsewhere") == tree_hash(folder)


def test_files_come_in_the_same_order_everywhere(folder: Path) -> None:
    write(folder / "Z", "")
    write(folder / "a" / "z", "")
    names = [path.relative_to(folder).as_posix() for path in source_files(folder)]
    assert names == ["Z", "pyproject.toml", "a/z", "src/a.cu"]


def test_links_stay_links(folder: Path, tmp_path: Path) -> None:
    """A link that leads nowhere, as an editor's lock does, or to a folder, as monorepos have them."""
    (folder / ".#lock").symlink_to("nobody@nowhere:1")
    (folder / "include").symlink_to("src")
    before = tree_hash(folder)
    copy_tree(folder, tmp_path / "copy")
    assert (tmp_path / "copy" / "include" / "a.cu").read_text() == "kernel\n"
    assert (tmp_path / "copy" / ".#lock").is_symlink()
    assert tree_hash(tmp_path / "copy") == before
