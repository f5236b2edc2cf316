"""Recipes and what they refer to, on their way through the shared store."""

from __future__ import annotations

from pathlib import Path

import pytest
from build_fixtures import Load
from small_packages import path_source, write_project

from cudawheel.builder.identity import describe
from cudawheel.errors import RemoteStoreError, UsageError
from cudawheel.farm.inputs import everywhere, hash_of, is_there, pack, put, take
from cudawheel.recipe.loading import LoadedRecipe, load_recipe
from cudawheel.store.remote import RemoteStore

PATCH = "--- a/x\n+++ b/x\n"


@pytest.fixture
def loaded(tmp_path: Path, load: Load) -> LoadedRecipe:
    write_project(tmp_path / "recipes" / "here")
    script = tmp_path / "recipes" / "here" / "configure"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    (tmp_path / "recipes" / "fix.patch").write_text(PATCH)
    (tmp_path / "recipes" / "other.txt").write_text("nobody refers to it")
    return load(path_source("here"), build='patches = ["fix.patch"]')


def test_a_recipe_arrives_with_all_that_decides_its_fingerprint(loaded: LoadedRecipe, tmp_path: Path) -> None:
    store = str(tmp_path / "shared")
    digest = put(store, pack(loaded))
    folder = take(store, digest, tmp_path / "worker")
    there = load_recipe(folder / loaded.path.name)
    assert there.sha256 == loaded.sha256
    (source,) = there.recipe.sources
    settings = there.recipe.settings_for(source)
    assert describe(source, settings, there) == describe(loaded.recipe.sources[0], settings, loaded)
    assert (folder / "fix.patch").read_text() == PATCH
    assert (folder / "here" / "configure").stat().st_mode & 0o100
    assert not (folder / "other.txt").exists()


def test_the_archive_of_the_same_files_is_the_same_wherever_they_lie(loaded: LoadedRecipe, tmp_path: Path) -> None:
    store, archive = str(tmp_path / "shared"), pack(loaded)
    folder = take(store, put(store, archive), tmp_path / "worker")
    assert pack(load_recipe(folder / loaded.path.name)) == archive


def test_a_changed_source_is_another_archive(loaded: LoadedRecipe) -> None:
    before = hash_of(pack(loaded))
    (loaded.folder / "here" / "backend.py").write_text("something else")
    assert hash_of(pack(loaded)) != before


def test_the_check_travels_too(loaded: LoadedRecipe, tmp_path: Path) -> None:
    (loaded.folder / "checks").mkdir()
    (loaded.folder / "checks" / "check.py").write_text("print(42)\n")
    loaded.path.write_text(loaded.path.read_text() + 'check = "checks/check.py"\n')
    store = str(tmp_path / "shared")
    folder = take(store, put(store, pack(load_recipe(loaded.path))), tmp_path / "worker")
    assert (folder / "checks" / "check.py").read_text() == "print(42)\n"


def test_a_lock_travels_too(loaded: LoadedRecipe, tmp_path: Path) -> None:
    lock = loaded.path.with_suffix(".lock.toml")
    lock.write_text("version = 1\n")
    store = str(tmp_path / "shared")
    assert (take(store, put(store, pack(loaded)), tmp_path / "worker") / lock.name).read_text() == "version = 1\n"


def test_a_source_folder_that_is_missing_is_that_sources_matter(load: Load, tmp_path: Path) -> None:
    store = str(tmp_path / "shared")
    loaded = load(path_source("nowhere"))
    folder = take(store, put(store, pack(loaded)), tmp_path / "worker")
    assert [path.name for path in folder.iterdir()] == [loaded.path.name]


def test_archives_are_no_wheels_of_the_store(loaded: LoadedRecipe, tmp_path: Path) -> None:
    store = str(tmp_path / "shared")
    digest = put(store, pack(loaded))
    assert is_there(store, digest)
    assert not is_there(store, "0" * 64)
    assert RemoteStore(store).fingerprints() == ()


def test_another_store_on_the_worker_is_said(loaded: LoadedRecipe, tmp_path: Path) -> None:
    digest = put(str(tmp_path / "shared"), pack(loaded))
    with pytest.raises(RemoteStoreError, match="does not hold the recipe") as caught:
        take(str(tmp_path / "elsewhere"), digest, tmp_path / "worker")
    assert "shared" in caught.value.remedy


def test_an_archive_that_was_changed_in_the_store_is_refused(loaded: LoadedRecipe, tmp_path: Path) -> None:
    store = tmp_path / "shared"
    digest = put(str(store), pack(loaded))
    (store / "inputs" / f"{digest}.tar").write_bytes(b"something else")
    with pytest.raises(RemoteStoreError) as caught:
        take(str(store), digest, tmp_path / "worker")
    assert "another file than it should be" in caught.value.why
    assert list((tmp_path / "worker").glob("*")) == []


def test_a_store_that_can_only_be_read_is_refused() -> None:
    with pytest.raises(RemoteStoreError, match="can only be read"):
        put("https://example.org/store", b"")


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError):
        put("ftp://example.org", b"")


def test_a_folder_means_the_same_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert everywhere("shared") == str(tmp_path / "shared")
    assert everywhere("file:///mnt/shared") == "/mnt/shared"
    assert everywhere("s3://bucket/wheels") == "s3://bucket/wheels"
