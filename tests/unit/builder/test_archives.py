"""Archive sources: sdists from an index and files at a URL, both on this machine."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from listening import Heard
from loopback_server import Site
from small_packages import sha256, tar_of

from cudawheel.builder import archives
from cudawheel.builder.archives import bring_sdist, bring_url, package_index
from cudawheel.errors import SourceHashError, SourceUnreachableError
from cudawheel.model.progress import Silent
from cudawheel.recipe.sources import SdistSource, UrlSource

CONTENT = tar_of({"tiny_ext-1.0/pyproject.toml": b"[project]\n"})
OTHER = tar_of({"tiny_ext-1.0/pyproject.toml": b"[project]\nname = 'evil'\n"})


def sdist(content: bytes = CONTENT, version: str = "1.0") -> SdistSource:
    return SdistSource(kind="sdist", label="index", project="tiny-ext", version=version, sha256=sha256(content))


def publish(site: Site, *names: str, content: bytes = CONTENT, media: str = "json") -> str:
    """Serve a package index; gives its address."""
    digest = sha256(content)
    if media == "json":
        files = [{"filename": name, "url": f"/files/{name}", "hashes": {"sha256": digest}} for name in names]
        page = json.dumps({"meta": {"api-version": "1.0"}, "name": "tiny-ext", "files": files})
        site.types["simple/tiny-ext/"] = "application/vnd.pypi.simple.v1+json"
    else:
        page = "".join(f'<a href="/files/{name}#sha256={digest}">{name}</a>' for name in names)
        site.types["simple/tiny-ext/"] = "text/html"
    site.files["simple/tiny-ext/"] = page.encode()
    site.files.update({f"files/{name}": content for name in names})
    return f"{site.url}simple/"


def files_in(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]


@pytest.mark.parametrize("media", ["json", "html"])
def test_an_sdist_is_found_among_other_files(media: str, site: Site, tmp_path: Path) -> None:
    index = publish(site, "tiny_ext-1.0-py3-none-any.whl", "tiny_ext-0.9.tar.gz", "tiny_ext-1.0.tar.gz", media=media)
    archive = bring_sdist(sdist(), tmp_path / "cache", Silent(), index)
    assert archive.name == "tiny_ext-1.0.tar.gz"
    assert archive.read_bytes() == CONTENT


@pytest.mark.parametrize("spelling", ["1.0rc1", "1.0-rc1", "1.0.RC1"])
def test_a_version_may_be_spelt_otherwise_by_the_index(spelling: str, site: Site, tmp_path: Path) -> None:
    index = publish(site, f"tiny_ext-{spelling}.tar.gz")
    archive = bring_sdist(sdist(version="1.0rc1"), tmp_path / "cache", Silent(), index)
    assert archive.read_bytes() == CONTENT


def test_what_is_in_the_cache_needs_no_index(site: Site, tmp_path: Path) -> None:
    index = publish(site, "tiny_ext-1.0.tar.gz")
    first = bring_sdist(sdist(), tmp_path / "cache", Silent(), index)
    asked = len(site.requests)
    assert bring_sdist(sdist(), tmp_path / "cache", Silent(), index) == first
    assert len(site.requests) == asked


def test_a_damaged_file_in_the_cache_is_fetched_anew(site: Site, tmp_path: Path) -> None:
    index = publish(site, "tiny_ext-1.0.tar.gz")
    first = bring_sdist(sdist(), tmp_path / "cache", Silent(), index)
    first.write_bytes(CONTENT[:-20])
    assert bring_sdist(sdist(), tmp_path / "cache", Silent(), index).read_bytes() == CONTENT


def test_the_download_is_told(site: Site, tmp_path: Path) -> None:
    heard = Heard()
    bring_sdist(sdist(), tmp_path / "cache", heard, publish(site, "tiny_ext-1.0.tar.gz"))
    assert heard.edges[-1] == (len(CONTENT), len(CONTENT))


def test_a_wrong_hash_ends_the_search_and_leaves_nothing(site: Site, tmp_path: Path) -> None:
    index = publish(site, "tiny_ext-1.0.tar.gz", content=OTHER)
    with pytest.raises(SourceHashError) as caught:
        bring_sdist(sdist(), tmp_path / "cache", Silent(), index)
    assert sha256(CONTENT) in caught.value.why
    assert sha256(OTHER) in caught.value.why
    assert files_in(tmp_path / "cache") == []


def test_a_version_that_the_index_does_not_have_is_said(site: Site, tmp_path: Path) -> None:
    index = publish(site, "tiny_ext-0.9.tar.gz")
    with pytest.raises(SourceUnreachableError, match=r"no sdist of tiny-ext 1\.0"):
        bring_sdist(sdist(), tmp_path / "cache", Silent(), index)


def test_a_project_that_the_index_does_not_have_is_said(site: Site, tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachableError, match="tiny-ext"):
        bring_sdist(sdist(), tmp_path / "cache", Silent(), f"{site.url}simple/")


def test_a_page_that_is_no_index_is_said(site: Site, tmp_path: Path) -> None:
    """A captive portal answers everything, and with something else."""
    site.files["simple/tiny-ext/"] = b"%PDF"
    site.types["simple/tiny-ext/"] = "application/pdf"
    with pytest.raises(SourceUnreachableError, match="tiny-ext"):
        bring_sdist(sdist(), tmp_path / "cache", Silent(), f"{site.url}simple/")


def test_an_index_of_a_later_format_is_said(site: Site, tmp_path: Path) -> None:
    site.files["simple/tiny-ext/"] = b'{"meta": {"api-version": "9.0"}, "name": "tiny-ext", "files": []}'
    site.types["simple/tiny-ext/"] = "application/vnd.pypi.simple.v1+json"
    with pytest.raises(SourceUnreachableError, match="tiny-ext"):
        bring_sdist(sdist(), tmp_path / "cache", Silent(), f"{site.url}simple/")


def test_an_index_that_is_down_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(SourceUnreachableError, match="cannot fetch tiny-ext") as caught:
        bring_sdist(sdist(), tmp_path / "cache", Silent(), f"http://127.0.0.1:{port}/simple/")
    assert caught.value.exit_code == 6


def test_a_name_that_does_not_resolve_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_name(*_words: object, **_named: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    source = UrlSource(kind="url", label="archive", url="https://nowhere.invalid/x.tar.gz", sha256=sha256(CONTENT))
    with pytest.raises(SourceUnreachableError, match=r"https://nowhere\.invalid/x\.tar\.gz cannot be fetched"):
        bring_url(source, tmp_path / "cache", Silent())


def test_a_server_that_never_answers_is_given_up(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Connecting and waiting for the first byte each take this long at most.
    assert 2 * archives._TIMEOUT_SECONDS < 20
    monkeypatch.setattr(archives, "_TIMEOUT_SECONDS", 0.2)
    site.silent |= {"simple/tiny-ext/", "x.tar.gz"}
    with pytest.raises(SourceUnreachableError):
        bring_sdist(sdist(), tmp_path / "cache", Silent(), f"{site.url}simple/")
    source = UrlSource(kind="url", label="archive", url=f"{site.url}x.tar.gz", sha256=sha256(CONTENT))
    with pytest.raises(SourceUnreachableError):
        bring_url(source, tmp_path / "cache", Silent())


def test_every_request_has_a_time_limit(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []
    send = requests.Session.send

    def noting(session: requests.Session, request: requests.PreparedRequest, **settings: object) -> requests.Response:
        limits.append(settings["timeout"])
        return send(session, request, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(requests.Session, "send", noting)
    bring_sdist(sdist(), tmp_path / "one", Silent(), publish(site, "tiny_ext-1.0.tar.gz"))
    url = f"{site.url}files/tiny_ext-1.0.tar.gz"
    bring_url(UrlSource(kind="url", label="archive", url=url, sha256=sha256(CONTENT)), tmp_path / "two", Silent())
    assert limits == [archives._TIMEOUT_SECONDS] * 3


@pytest.mark.parametrize("kind", ["sdist", "url"])
def test_a_connection_that_breaks_off_is_no_wrong_hash(kind: str, site: Site, tmp_path: Path) -> None:
    index = publish(site, "tiny_ext-1.0.tar.gz")
    url = f"{site.url}files/tiny_ext-1.0.tar.gz"
    site.whole, site.cut_after = {"simple/tiny-ext/"}, 40
    source = UrlSource(kind="url", label="archive", url=url, sha256=sha256(CONTENT))
    bring = {
        "sdist": lambda: bring_sdist(sdist(), tmp_path / "cache", Silent(), index),
        "url": lambda: bring_url(source, tmp_path / "cache", Silent()),
    }
    with pytest.raises(SourceUnreachableError):
        bring[kind]()
    # What came is kept under another name, to be continued from.
    assert [path.suffix for path in files_in(tmp_path / "cache")] == [".part"]
    site.cut_after = 0
    assert bring[kind]().read_bytes() == CONTENT


def test_a_url_is_fetched_once(site: Site, tmp_path: Path) -> None:
    site.files["archive/v1.0.tar.gz?download=1"] = CONTENT
    source = UrlSource(
        kind="url", label="archive", url=f"{site.url}archive/v1.0.tar.gz?download=1", sha256=sha256(CONTENT)
    )
    archive = bring_url(source, tmp_path / "cache", Silent())
    assert archive.name == "v1.0.tar.gz"
    assert bring_url(source, tmp_path / "cache", Silent()) == archive
    assert len(site.requests) == 1


def test_a_url_with_another_content_is_refused(site: Site, tmp_path: Path) -> None:
    site.files["x.tar.gz"] = OTHER
    source = UrlSource(kind="url", label="archive", url=f"{site.url}x.tar.gz", sha256=sha256(CONTENT))
    with pytest.raises(SourceHashError, match=r"x\.tar\.gz is not what the recipe pinned"):
        bring_url(source, tmp_path / "cache", Silent())


def test_a_url_that_is_not_there_is_said(site: Site, tmp_path: Path) -> None:
    source = UrlSource(kind="url", label="archive", url=f"{site.url}gone.tar.gz", sha256=sha256(CONTENT))
    with pytest.raises(SourceUnreachableError) as caught:
        bring_url(source, tmp_path / "cache", Silent())
    assert "404" in caught.value.why


def test_two_at_once_fetch_the_same_file_without_spoiling_it(site: Site, tmp_path: Path) -> None:
    """Sources are fetched before a build claims its variant."""
    content = bytes(range(256)) * 40_000
    site.files["x.tar.gz"] = content
    source = UrlSource(kind="url", label="archive", url=f"{site.url}x.tar.gz", sha256=sha256(content))
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(bring_url, source, tmp_path / "cache", Silent()) for _ in range(4)]
        assert {done.result().read_bytes() == content for done in both} == {True}
    assert len(site.requests) == 1


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({}, ""),
        ({"PIP_INDEX_URL": "https://pip.example/simple"}, "https://pip.example/simple"),
        ({"PIP_INDEX_URL": "https://pip.example", "UV_INDEX_URL": "https://uv.example"}, "https://uv.example"),
        ({"UV_DEFAULT_INDEX": "ours=https://uv.example/a=b"}, "https://uv.example/a=b"),
        ({"UV_DEFAULT_INDEX": "https://uv.example/a=b"}, "https://uv.example/a=b"),
    ],
)
def test_the_index_is_the_one_that_uv_and_pip_are_told(environ: dict[str, str], address: str) -> None:
    assert package_index(environ) == address
