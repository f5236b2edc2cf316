"""The order of sources, what ends the search, and the copy that is built."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from git_repositories import git, new_repository
from listening import Heard
from loopback_server import Site
from small_packages import (
    git_source,
    path_source,
    sdist_source,
    sha256,
    tar_of,
    tar_of_folder,
    url_source,
    write_project,
)

from cudawheel.builder import archives
from cudawheel.builder.sources import fetch, lay_out
from cudawheel.errors import PatchError, SourceHashError, SourceUnreachableError, SourceUnsafeError
from cudawheel.model.progress import Silent

NO_SUCH = "0123456789abcdef0123456789abcdef01234567"
CONTENT = tar_of({"tiny-1.0/pyproject.toml": b"[project]\n", "tiny-1.0/a.cu": b"one\n"})


@pytest.fixture
def nowhere(tmp_path: Path) -> str:
    return (tmp_path / "nowhere").as_uri()


@pytest.fixture
def index(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A package index that has the tiny sdist, in the place of the public one."""
    site.types["simple/tiny-ext/"] = "text/html"
    page = f'<a href="/f/tiny_ext-1.0.tar.gz#sha256={sha256(CONTENT)}">tiny_ext-1.0.tar.gz</a>'
    site.files = {"simple/tiny-ext/": page.encode(), "f/tiny_ext-1.0.tar.gz": CONTENT}
    monkeypatch.setattr(archives, "PYPI_SIMPLE_ENDPOINT", f"{site.url}simple/")
    return site


def test_the_first_source_is_taken_where_it_can_be_had(load, tmp_path: Path) -> None:
    write_project(tmp_path / "recipes" / "here")
    write_project(tmp_path / "recipes" / "there")
    loaded = load(path_source("here"), path_source("there", "bundled"))
    heard = Heard()
    fetched = fetch(loaded, loaded.recipe.sources, tmp_path / "cache", heard)
    assert fetched.source.label == "here"
    assert fetched.skipped == ()
    assert (heard.phases, heard.details) == (["source"], ["here"])


def test_sources_are_tried_in_order_and_each_that_fails_is_remembered(
    load, nowhere: str, index: Site, tmp_path: Path
) -> None:
    loaded = load(
        git_source(nowhere, NO_SUCH),
        url_source(f"{index.url}gone.tar.gz", b"x", "archive"),
        sdist_source(CONTENT, "copy"),
    )
    fetched = fetch(loaded, loaded.recipe.sources, tmp_path / "cache", Silent())
    assert fetched.source.label == "copy"
    assert fetched.identity == sha256(CONTENT)
    assert [label for label, _reason in fetched.skipped] == ["upstream", "archive"]
    assert "does not appear to be a git repository" in fetched.skipped[0][1]
    assert "404" in fetched.skipped[1][1]


def test_a_folder_that_is_not_there_counts_as_unreachable(load, tmp_path: Path) -> None:
    write_project(tmp_path / "recipes" / "there")
    loaded = load(path_source("gone"), path_source("there", "bundled"))
    fetched = fetch(loaded, loaded.recipe.sources, tmp_path / "cache", Silent())
    assert [label for label, _reason in fetched.skipped] == ["here"]


def test_a_wrong_hash_is_never_a_reason_to_try_another(load, index: Site, tmp_path: Path) -> None:
    index.files["x.tar.gz"] = CONTENT
    write_project(tmp_path / "recipes" / "there")
    loaded = load(url_source(f"{index.url}x.tar.gz", b"something else", "archive"), path_source("there", "bundled"))
    heard = Heard()
    with pytest.raises(SourceHashError):
        fetch(loaded, loaded.recipe.sources, tmp_path / "cache", heard)
    assert heard.details == ["archive"]


def test_where_none_can_be_had_all_are_named_with_their_reasons(load, nowhere: str, tmp_path: Path) -> None:
    loaded = load(git_source(nowhere, NO_SUCH), path_source("gone", "bundled"))
    with pytest.raises(SourceUnreachableError, match="no source of tiny-ext") as caught:
        fetch(loaded, loaded.recipe.sources, tmp_path / "cache", Silent())
    upstream, bundled = caught.value.why.splitlines()
    assert upstream.startswith("upstream: fatal:")
    assert bundled == f"bundled: {tmp_path / 'recipes' / 'gone'} does not exist"


def test_a_subdirectory_of_a_repository_is_the_project(load, tmp_path: Path) -> None:
    commit = new_repository(tmp_path / "upstream", {"python/pyproject.toml": "[project]\n", "README": ""})
    loaded = load({**git_source((tmp_path / "upstream").as_uri(), commit), "subdirectory": "python"})
    fetched = fetch(loaded, loaded.recipe.sources, tmp_path / "cache", Silent())
    project = lay_out(fetched, loaded, loaded.recipe.build, tmp_path / "out")
    assert project == tmp_path / "out" / "python"
    assert (project / "pyproject.toml").is_file()


def test_every_kind_of_source_is_laid_out_and_changed(load, index: Site, tmp_path: Path) -> None:
    index.files["x.tar.gz"] = CONTENT
    folder = tmp_path / "recipes" / "here"
    folder.mkdir(parents=True)
    (folder / "a.cu").write_text("one\n")
    commit = new_repository(tmp_path / "upstream", {"a.cu": "one\n"})
    loaded = load(
        git_source((tmp_path / "upstream").as_uri(), commit),
        sdist_source(CONTENT, "b"),
        url_source(f"{index.url}x.tar.gz", CONTENT, "c"),
        path_source("here", "bundled"),
        build='replacements = [{ file = "a.cu", old = "one", new = "two" }]',
    )
    for source in loaded.recipe.sources:
        fetched = fetch(loaded, (source,), tmp_path / "cache", Silent())
        project = lay_out(fetched, loaded, loaded.recipe.build, tmp_path / "out" / source.label)
        assert (project / "a.cu").read_text() == "two\n", source.label
    assert (folder / "a.cu").read_text() == "one\n"
    assert git(tmp_path / "upstream", "status", "--porcelain") == ""


def lay_out_archive(load, site: Site, tmp_path: Path, content: bytes) -> Path:
    site.files["x.tar.gz"] = content
    loaded = load(url_source(f"{site.url}x.tar.gz", content))
    fetched = fetch(loaded, loaded.recipe.sources, tmp_path / "cache", Silent())
    return lay_out(fetched, loaded, loaded.recipe.build, tmp_path / "work" / "source")


def special(kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("member", "content"),
    [
        ("../evil", b"x"),
        ("tiny/../../evil", b"x"),
        ("/tmp/evil", b"x"),  # noqa: S108 - a name that is refused
        ("tiny/evil", special(tarfile.SYMTYPE, "../../evil")),
        ("tiny/evil", special(tarfile.SYMTYPE, "/etc/passwd")),
        ("tiny/evil", special(tarfile.LNKTYPE, "../evil")),
        ("tiny/evil", special(tarfile.LNKTYPE, "/etc/passwd")),
        ("tiny/evil", special(tarfile.CHRTYPE)),
        ("tiny/evil", special(tarfile.BLKTYPE)),
        ("tiny/evil", special(tarfile.FIFOTYPE)),
    ],
)
def test_an_archive_that_reaches_out_of_its_folder_is_refused_before_anything_is_written(
    member: str, content: bytes | tarfile.TarInfo, load, site: Site, tmp_path: Path
) -> None:
    archive = tar_of({"tiny/pyproject.toml": b"[project]\n", member: content})
    with pytest.raises(SourceUnsafeError, match=r"x\.tar\.gz is not safe to unpack") as caught:
        lay_out_archive(load, site, tmp_path, archive)
    assert repr(member) in caught.value.why
    assert list((tmp_path / "work" / "source").iterdir()) == []
    assert not (tmp_path / "work" / "evil").exists()


def test_a_link_within_the_folder_is_kept(load, site: Site, tmp_path: Path) -> None:
    archive = tar_of({"tiny/a": b"content", "tiny/sub/b": special(tarfile.SYMTYPE, "../a")})
    assert (lay_out_archive(load, site, tmp_path, archive) / "sub" / "b").read_text() == "content"


def test_a_link_that_reaches_out_through_another_is_refused(load, site: Site, tmp_path: Path) -> None:
    archive = tar_of(
        {
            "tiny/deep/down/here": special(tarfile.DIRTYPE),
            "tiny/short": special(tarfile.SYMTYPE, "deep/down/here"),
            "tiny/evil": special(tarfile.SYMTYPE, "short/../../../../../evil"),
        }
    )
    with pytest.raises(SourceUnsafeError):
        lay_out_archive(load, site, tmp_path, archive)


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "empty"])
def test_a_damaged_archive_is_refused(damage: str, load, site: Site, tmp_path: Path) -> None:
    noise = bytes(n * 73 % 251 for n in range(200_000))
    whole = tar_of({"tiny/pyproject.toml": b"[project]\n", "tiny/noise": noise})
    middle = len(whole) // 2
    damaged = {
        "cut": whole[:middle],
        "flipped": whole[:middle] + bytes(byte ^ 0xFF for byte in whole[middle : middle + 64]) + whole[middle + 64 :],
        "text": b"404 not found",
        "empty": b"",
    }
    with pytest.raises(SourceUnsafeError, match="cannot be unpacked"):
        lay_out_archive(load, site, tmp_path, damaged[damage])


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ({"setup.py": b""}, "setup.py"),
        ({"one/setup.py": b"", "two/setup.py": b""}, "one, two"),
        ({}, "nothing"),
    ],
)
def test_an_archive_without_a_single_top_folder_is_refused(
    members: dict[str, bytes], found: str, load, site: Site, tmp_path: Path
) -> None:
    with pytest.raises(SourceUnsafeError, match="no single top folder") as caught:
        lay_out_archive(load, site, tmp_path, tar_of(members))
    assert caught.value.why == f"found {found}"


def test_a_zip_and_the_header_that_code_hosts_add_are_understood(load, site: Site, tmp_path: Path) -> None:
    archive = tar_of({"pax_global_header": b"", "tiny/pyproject.toml": b"[project]\n"}, "xz")
    assert (lay_out_archive(load, site, tmp_path, archive) / "pyproject.toml").is_file()


def test_a_patch_that_does_not_fit_stops_the_layout(load, tmp_path: Path) -> None:
    write_project(tmp_path / "recipes" / "here")
    loaded = load(path_source("here"), build='patches = ["gone.patch"]')
    fetched = fetch(loaded, loaded.recipe.sources, tmp_path / "cache", Silent())
    with pytest.raises(PatchError, match=r"cannot read the patch .*gone\.patch"):
        lay_out(fetched, loaded, loaded.recipe.build, tmp_path / "out")


def test_the_whole_folder_of_a_path_source_is_copied(load, tmp_path: Path) -> None:
    project = write_project(tmp_path / "recipes" / "here")
    (project / "sub").mkdir()
    (project / "sub" / "tool.sh").write_text("#!/bin/sh\n")
    (project / "sub" / "tool.sh").chmod(0o755)
    loaded = load(path_source("here"))
    fetched = fetch(loaded, loaded.recipe.sources, tmp_path / "cache", Silent())
    copy = lay_out(fetched, loaded, loaded.recipe.build, tmp_path / "out")
    assert tar_of_folder(copy, "x") == tar_of_folder(project, "x")
    assert (copy / "sub" / "tool.sh").stat().st_mode & 0o111
