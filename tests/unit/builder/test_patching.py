"""Patches and replacements."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest
from git_repositories import git, new_repository

from cudawheel.builder.changes import changes_hash
from cudawheel.builder.patching import apply_changes
from cudawheel.errors import PatchError
from cudawheel.recipe.settings import BuildSettings, Replacement

BEFORE = "".join(f"line {n}\n" for n in range(1, 21))
AFTER = BEFORE.replace("line 10\n", "line ten\n")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project" / "src").mkdir(parents=True)
    (tmp_path / "project" / "src" / "a.cu").write_text(BEFORE)
    return tmp_path / "project"


def diff(before: str = BEFORE, after: str = AFTER, old: str = "a/src/a.cu", new: str = "b/src/a.cu") -> str:
    lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), old, new)
    return "".join(lines)


def apply(project: Path, *patches: str, replacements: tuple[Replacement, ...] = ()) -> None:
    folder = project.parent / "patches"
    folder.mkdir()
    names = tuple(f"{n}.patch" for n in range(len(patches)))
    for name, text in zip(names, patches, strict=True):
        (folder / name).write_text(text)
    apply_changes(BuildSettings(patches=names, replacements=replacements), patches_folder=folder, project=project)


@pytest.mark.parametrize(("old", "new"), [("a/src/a.cu", "b/src/a.cu"), ("src/a.cu", "src/a.cu")])
def test_a_patch_of_diff_applies(old: str, new: str, project: Path) -> None:
    apply(project, diff(old=old, new=new))
    assert (project / "src" / "a.cu").read_text() == AFTER


def test_a_patch_of_git_applies_with_files_added_and_removed(project: Path, tmp_path: Path) -> None:
    new_repository(tmp_path / "work", {"src/a.cu": BEFORE, "src/old.h": "gone\n"})
    (project / "src" / "old.h").write_text("gone\n")
    (tmp_path / "work" / "src" / "a.cu").write_text(AFTER)
    (tmp_path / "work" / "src" / "new.h").write_text("int x;\n")
    git(tmp_path / "work", "rm", "--quiet", "src/old.h")
    git(tmp_path / "work", "add", "--all")
    apply(project, git(tmp_path / "work", "diff", "--cached") + "\n")
    assert (project / "src" / "a.cu").read_text() == AFTER
    assert (project / "src" / "new.h").read_text() == "int x;\n"
    assert not (project / "src" / "old.h").exists()


def test_patches_apply_in_order_on_top_of_each_other(project: Path) -> None:
    last = AFTER.replace("line ten\n", "line X\n")
    apply(project, diff(), diff(AFTER, last))
    assert (project / "src" / "a.cu").read_text() == last


def test_a_patch_made_for_another_version_does_not_apply(project: Path) -> None:
    other = BEFORE.replace("line 9\n", "line nine\n")
    with pytest.raises(PatchError, match=r"0\.patch does not apply") as caught:
        apply(project, diff(other, other.replace("line 10\n", "line ten\n")))
    assert "src/a.cu" in caught.value.why
    assert (project / "src" / "a.cu").read_text() == BEFORE


def test_a_patch_for_a_file_that_is_not_there_does_not_apply(project: Path) -> None:
    with pytest.raises(PatchError, match="does not apply"):
        apply(project, diff(old="a/src/gone.cu", new="b/src/gone.cu"))


@pytest.mark.parametrize("text", ["", "not a diff at all\n", "--- a/src/a.cu\n"])
def test_what_is_no_diff_is_refused(text: str, project: Path) -> None:
    with pytest.raises(PatchError, match=r"0\.patch is not a unified diff"):
        apply(project, text)


def test_a_patch_file_that_is_not_there_is_named(project: Path, tmp_path: Path) -> None:
    with pytest.raises(PatchError, match=r"cannot read the patch .*gone\.patch") as caught:
        apply_changes(BuildSettings(patches=("gone.patch",)), patches_folder=tmp_path, project=project)
    assert "build.patches" in caught.value.remedy
    assert caught.value.exit_code == 9


def test_every_line_that_equals_is_replaced_and_no_other(project: Path) -> None:
    (project / "src" / "a.cu").write_text("flag\n flag\nflag \nflag\nlast flag")
    apply(project, replacements=(Replacement(file="src/a.cu", old="flag", new="one\ntwo", hits=2),))
    assert (project / "src" / "a.cu").read_text() == "one\ntwo\n flag\nflag \none\ntwo\nlast flag"


def test_a_last_line_without_an_end_stays_without(project: Path) -> None:
    (project / "src" / "a.cu").write_text("first\nlast")
    apply(project, replacements=(Replacement(file="src/a.cu", old="last", new="end"),))
    assert (project / "src" / "a.cu").read_bytes() == b"first\nend"


def test_line_ends_of_other_systems_are_kept(project: Path) -> None:
    (project / "src" / "a.cu").write_bytes(b"one\r\ntwo\r\nthree\r\n")
    apply(project, replacements=(Replacement(file="src/a.cu", old="two", new="zwei"),))
    assert (project / "src" / "a.cu").read_bytes() == b"one\r\nzwei\r\nthree\r\n"


@pytest.mark.parametrize(("old", "hits", "found"), [("line 5", 2, 1), ("line 99", 1, 0), ("line", 20, 0)])
def test_another_number_of_hits_than_expected_is_refused(old: str, hits: int, found: int, project: Path) -> None:
    with pytest.raises(PatchError, match=f"was found {found} times, expected {hits}") as caught:
        apply(project, replacements=(Replacement(file="src/a.cu", old=old, new="x", hits=hits),))
    assert repr(old) in caught.value.why
    assert (project / "src" / "a.cu").read_text() == BEFORE


def test_a_replacement_in_a_file_that_is_not_there_is_refused(project: Path) -> None:
    with pytest.raises(PatchError, match=r"cannot replace a line of setup\.py"):
        apply(project, replacements=(Replacement(file="setup.py", old="x", new="y"),))


def test_a_replacement_in_a_file_that_is_no_text_is_refused(project: Path) -> None:
    (project / "src" / "a.cu").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PatchError, match="cannot replace a line"):
        apply(project, replacements=(Replacement(file="src/a.cu", old="x", new="y"),))


def test_the_hash_of_changes_follows_what_they_say(tmp_path: Path) -> None:
    (tmp_path / "a.patch").write_text("one")
    settings = BuildSettings(patches=("a.patch",))
    first = changes_hash(settings, tmp_path)
    assert changes_hash(settings, tmp_path) == first
    (tmp_path / "a.patch").write_text("two")
    replaced = BuildSettings(patches=("a.patch",), replacements=(Replacement(file="f", old="x", new="y"),))
    assert len({first, changes_hash(settings, tmp_path), changes_hash(replaced, tmp_path)}) == 3
