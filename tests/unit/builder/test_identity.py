"""What a source is pinned to, told without any network."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_packages import git_source, path_source, sdist_source, sha256, url_source, write_project

from cudawheel.builder.identity import candidates, describe, pinned_identity
from cudawheel.builder.tree import tree_hash
from cudawheel.errors import PatchError, PlanError, SourceUnreachableError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_every_kind_is_pinned(load, tmp_path: Path) -> None:
    folder = write_project(tmp_path / "recipes" / "here")
    loaded = load(
        git_source("https://code.invalid/x", COMMIT),
        sdist_source(b"one", "b"),
        url_source("https://code.invalid/x.zip", b"two", "c"),
        path_source("here", "bundled"),
    )
    pins = [pinned_identity(source, loaded) for source in loaded.recipe.sources]
    assert pins == [COMMIT, sha256(b"one"), sha256(b"two"), tree_hash(folder)]
    facts = [describe(source, loaded.recipe.build, loaded) for source in loaded.recipe.sources]
    assert [fact["label"] for fact in facts] == ["upstream", "b", "c", "bundled"]
    assert [fact.get("url") for fact in facts] == [
        "https://code.invalid/x",
        None,
        "https://code.invalid/x.zip",
        None,
    ]
    assert all("changes" not in fact for fact in facts)


def test_patches_belong_to_what_a_source_is(load, tmp_path: Path) -> None:
    loaded = load(git_source("https://code.invalid/x", COMMIT), build='patches = ["a.patch"]')
    (source,) = loaded.recipe.sources
    with pytest.raises(PatchError, match=r"a\.patch"):
        describe(source, loaded.recipe.build, loaded)
    (tmp_path / "recipes" / "a.patch").write_text("one")
    first = describe(source, loaded.recipe.build, loaded)["changes"]
    (tmp_path / "recipes" / "a.patch").write_text("two")
    assert describe(source, loaded.recipe.build, loaded)["changes"] != first


def test_a_folder_that_is_not_there_is_said(load) -> None:
    loaded = load(path_source("gone"))
    with pytest.raises(SourceUnreachableError, match="of source 'here' is not there") as caught:
        pinned_identity(loaded.recipe.sources[0], loaded)
    assert "`path`" in caught.value.remedy


def test_one_source_may_be_chosen_and_then_it_is_the_only_one(load) -> None:
    loaded = load(path_source("a", "here"), path_source("b", "bundled"))
    assert [source.label for source in candidates(loaded, None)] == ["here", "bundled"]
    assert [source.label for source in candidates(loaded, "bundled")] == ["bundled"]


def test_a_label_that_no_source_has_is_refused(load) -> None:
    loaded = load(path_source("a", "here"), path_source("b", "bundled"))
    with pytest.raises(PlanError, match="no source labelled 'else'") as caught:
        candidates(loaded, "else")
    assert caught.value.why == "It has 'here', 'bundled'."
