"""Where a draft comes from: files, addresses, repositories and names; each pinned, and nothing but these."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from draft_projects import TORCH
from git_repositories import commit, git, new_repository
from loopback_server import Site
from small_packages import sha256, tar_of

from cudawheel.builder.sources import fetch
from cudawheel.draft.drafting import draft_recipe
from cudawheel.draft.origin import Origin, obtain
from cudawheel.draft.project import read_project
from cudawheel.draft.tree import SourceTree
from cudawheel.draft.writing import write_recipe
from cudawheel.errors import DraftError, SourceUnreachableError, SourceUnsafeError
from cudawheel.model.progress import Silent
from cudawheel.recipe.loading import load_recipe


@cache  # the time stands in a gzip header
def sdist(version: str = "1.0", top: str = "") -> bytes:
    top = top or f"tiny_ext-{version}"
    return tar_of({f"{top}/{name}": text.encode() for name, text in TORCH.items()})


SDIST = sdist("1.0")


@pytest.fixture
def index(site: Site) -> Site:
    """A package index with three versions, of which one is withdrawn and one a candidate."""
    site.types["simple/tiny-ext/"] = "text/html"
    versions = {"1.0": "", "1.1": ' data-yanked="bad"', "2.0rc1": ""}
    page = ""
    for version, more in versions.items():
        content = sdist(version)
        name = f"tiny_ext-{version}.tar.gz"
        page += f'<a href="/f/{name}#sha256={sha256(content)}"{more}>{name}</a>'
        site.files[f"f/{name}"] = content
    site.files["simple/tiny-ext/"] = page.encode()
    return site


def obtained(what: str, tmp_path: Path, index_url: str = "") -> tuple[Origin, bool]:
    """Obtain and give it, with whether the project was there."""
    with obtain(what, tmp_path / "cache", Silent(), index_url=index_url) as origin:
        return origin, (origin.folder / "setup.py").is_file()


def test_a_name_is_the_newest_release_that_was_not_withdrawn(index: Site, tmp_path: Path) -> None:
    origin, there = obtained("Tiny_Ext", tmp_path, f"{index.url}simple/")
    assert there
    assert origin.pin == {
        "kind": "sdist",
        "label": "index",
        "project": "tiny-ext",
        "version": "1.0",
        "sha256": sha256(SDIST),
    }


def test_a_name_may_have_a_version(index: Site, tmp_path: Path) -> None:
    origin, _ = obtained("tiny-ext==2.0rc1", tmp_path, f"{index.url}simple/")
    assert origin.pin["version"] == "2.0rc1"


@pytest.mark.parametrize(("what", "word"), [("tiny-ext==9", "1.0, 1.1, 2.0rc1"), ("odd-ext", "no package")])
def test_what_the_index_does_not_have_is_said(index: Site, tmp_path: Path, what: str, word: str) -> None:
    with pytest.raises(SourceUnreachableError) as missing:
        obtained(what, tmp_path, f"{index.url}simple/")
    assert word in str(missing.value)


def test_a_file_that_the_index_has_raises_no_doubt(index: Site, tmp_path: Path) -> None:
    path = tmp_path / "tiny_ext-1.0.tar.gz"
    path.write_bytes(SDIST)
    origin, there = obtained(str(path), tmp_path, f"{index.url}simple/")
    assert there
    assert (origin.doubts, origin.pin["sha256"]) == ((), sha256(SDIST))


def test_a_file_that_the_index_has_otherwise_is_a_doubt(index: Site, tmp_path: Path) -> None:
    path = tmp_path / "tiny_ext-1.0.tar.gz"
    path.write_bytes(sdist(top="tiny_ext-1.0-changed"))
    origin, _ = obtained(str(path), tmp_path, f"{index.url}simple/")
    assert "another file" in origin.doubts[0].found


def test_a_file_builds_here_whether_or_not_an_index_has_it(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "tiny_ext-1.0.tar.gz"
    path.write_bytes(SDIST)
    with obtain(str(path), tmp_path / "cache", Silent(), index_url=f"{site.url}simple/") as origin:
        project = read_project(SourceTree(origin.folder), promised=origin.claims, name=origin.name)
        text = write_recipe(draft_recipe(project, origin))
    path.unlink()
    recipe = tmp_path / "draft.toml"
    recipe.write_text(text)
    loaded = load_recipe(recipe)
    fetched = fetch(loaded, loaded.recipe.sources, tmp_path / "cache", Silent(), index_url=f"{site.url}simple/")
    assert fetched.location.read_bytes() == SDIST


def test_an_archive_at_an_address_is_pinned_by_its_hash(site: Site, tmp_path: Path) -> None:
    site.files["x/tiny_ext-1.0.tar.gz"] = SDIST
    origin, there = obtained(f"{site.url}x/tiny_ext-1.0.tar.gz", tmp_path)
    assert there
    assert (origin.pin["kind"], origin.pin["sha256"], origin.name) == ("url", sha256(SDIST), "tiny-ext")


def test_an_archive_that_would_write_outside_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tiny_ext-1.0.tar.gz"
    path.write_bytes(tar_of({"../evil": b""}))
    with pytest.raises(SourceUnsafeError):
        obtained(str(path), tmp_path)
    assert not (tmp_path / "evil").exists()


@pytest.fixture
def repository(tmp_path: Path) -> tuple[str, str, str]:
    """A repository with the project at its top and in a folder; address, first commit, tagged commit."""
    folder = tmp_path / "repository"
    first = new_repository(folder, TORCH)
    second = commit(folder, {f"inner/{name}": text for name, text in TORCH.items()})
    git(folder, "tag", "--annotate", "v1", "--message", "one")
    commit(folder, {"later": ""})
    return folder.as_uri(), first, second


def test_a_repository_is_pinned_to_the_commit_that_its_branch_is_at(repository, tmp_path: Path) -> None:
    url, first, second = repository
    origin, there = obtained(f"git+{url}", tmp_path)
    assert there
    assert (origin.pin["kind"], origin.pin["url"]) == ("git", url)
    assert origin.pin["commit"] not in {first, second}
    assert len(origin.pin["commit"]) == 40


@pytest.mark.parametrize(("reference", "which"), [("v1", 2), ("first", 1)])
def test_a_tag_or_a_commit_is_taken_after_the_at(repository, tmp_path: Path, reference: str, which: int) -> None:
    word = repository[1] if reference == "first" else reference
    origin, _ = obtained(f"{repository[0]}@{word}", tmp_path)
    # A tag of its own object is pinned to the commit that it names.
    assert origin.pin["commit"] == repository[which]


def test_a_folder_of_a_repository_is_named_behind_it(repository, tmp_path: Path) -> None:
    origin, there = obtained(f"{repository[0]}@v1#subdirectory=inner", tmp_path)
    assert there
    assert origin.pin["subdirectory"] == "inner"


@pytest.mark.parametrize("subdirectory", ["nowhere", "../..", "/etc"])
def test_a_folder_outside_or_nowhere_is_refused(repository, tmp_path: Path, subdirectory: str) -> None:
    with pytest.raises(DraftError):
        obtained(f"{repository[0]}#subdirectory={subdirectory}", tmp_path)


@pytest.mark.parametrize(("reference", "word"), [("nowhere", "no branch or tag nowhere"), ("abcdef1", "40 digits")])
def test_a_reference_that_is_none_is_said(repository, tmp_path: Path, reference: str, word: str) -> None:
    with pytest.raises(SourceUnreachableError) as missing:
        obtained(f"{repository[0]}@{reference}", tmp_path)
    assert word in str(missing.value)


@pytest.mark.parametrize("what", ["what is this?", "ftp://example.org/x.git", "--upload-pack=touch"])
def test_what_is_nothing_of_the_kind_is_refused(what: str, tmp_path: Path) -> None:
    with pytest.raises(DraftError):
        obtained(what, tmp_path)


def test_a_folder_is_refused_since_it_cannot_be_pinned(tmp_path: Path) -> None:
    with pytest.raises(DraftError, match="is a folder"):
        obtained(str(tmp_path), tmp_path)
