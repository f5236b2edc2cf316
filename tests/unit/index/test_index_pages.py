"""The pages, read back by a client that is not ours."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from html.parser import HTMLParser
from typing import Any

from pypi_simple import ProjectPage
from test_index_model import file_of

from cudawheel.index.model import Index
from cudawheel.index.pages import Format, Link, linked_page, project_list, project_page

CRUEL = """"><script>alert('&amp;')</script>"""
STAMP = datetime(2026, 11, 25, 9, 30, 1, 250_000, tzinfo=timezone.utc)


class Anchors(HTMLParser):
    """Every link of a page, with its text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[tuple[dict[str, str | None], str]] = []
        self.tags: set[str] = set()
        self._open: dict[str, str | None] | None = None
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "a":
            self._open = dict(attrs)

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.found.append((self._open, data))
            self._open = None


def index_of(**changes: Any) -> Index:
    file = replace(
        file_of("demo-ext", "1.0+cu.13.0", "ab" * 32), modified_ns=int(STAMP.timestamp()) * 10**9 + 250_000_000
    )
    return Index.of([replace(file, **changes)])


def page_of(index: Index, form: Format, channel: str = "") -> bytes:
    shown = index.channels[channel]
    return project_page(shown.projects["demo-ext"], shown, form)


def test_html_says_what_the_peps_ask_for() -> None:
    page = page_of(index_of(requires_python=">=3.10,<4"), Format.HTML)
    ((attributes, text),) = Anchors(page).found
    assert attributes == {
        "href": f"../../wheels/{'ab' * 16}/demo-ext-1.0%2Bcu.13.0-py3-none-any.whl#sha256={'ab' * 32}",
        "data-requires-python": ">=3.10,<4",
        "data-core-metadata": f"sha256={'1' * 64}",
    }
    assert text == "demo-ext-1.0+cu.13.0-py3-none-any.whl"
    assert b">=3.10" not in page  # PEP 503: to be written as &gt;
    assert b'<meta name="pypi:repository-version" content="1.1">' in page


def test_json_is_understood_by_another_client() -> None:
    page = json.loads(page_of(index_of(requires_python=">=3.10", yanked="broken"), Format.JSON_V1))
    read = ProjectPage.from_json_data(page, "http://127.0.0.1/simple/demo-ext/")
    assert read.repository_version == "1.1"
    assert read.versions == ["1.0+cu.13.0"]
    (package,) = read.packages
    assert package.url == f"http://127.0.0.1/wheels/{'ab' * 16}/demo-ext-1.0%2Bcu.13.0-py3-none-any.whl"
    assert package.digests == {"sha256": "ab" * 32}
    assert package.metadata_digests == {"sha256": "1" * 64}
    assert package.requires_python == ">=3.10"
    assert (package.is_yanked, package.yanked_reason) == (True, "broken")
    assert package.size == 1
    assert package.upload_time == STAMP


def test_a_channel_is_one_folder_deeper() -> None:
    assert b'href="../../../wheels/' in page_of(index_of(), Format.HTML, "cu130")


def test_lists_name_every_project() -> None:
    index = Index.of([file_of("b", "1.0"), file_of("a", "1.0", "2" * 64)])
    shown = index.channels[""]
    assert json.loads(project_list(shown, Format.JSON_V1)) == {
        "meta": {"api-version": "1.1"},
        "projects": [{"name": "a"}, {"name": "b"}],
    }
    assert [attributes["href"] for attributes, _text in Anchors(project_list(shown, Format.HTML)).found] == ["a/", "b/"]


def test_a_yank_without_a_reason() -> None:
    index = index_of(yanked="")
    ((attributes, _text),) = Anchors(page_of(index, Format.HTML)).found
    assert attributes["data-yanked"] == ""
    assert json.loads(page_of(index, Format.JSON_V1))["files"][0]["yanked"] is True
    assert "yanked" not in json.loads(page_of(index_of(), Format.JSON_V1))["files"][0]
    assert b"data-yanked" not in page_of(index_of(), Format.HTML)


def test_text_from_outside_stays_text() -> None:
    ((attributes, _text),) = Anchors(page_of(index_of(yanked=CRUEL), Format.HTML)).found
    assert attributes["data-yanked"] == CRUEL
    links = [Link(name=CRUEL, url=CRUEL, hashes={}, requires_python=CRUEL)]
    page = Anchors(linked_page(CRUEL, None, links, Format.HTML))
    assert "script" not in page.tags
    assert page.found[0][0]["href"] == CRUEL


def test_a_page_from_an_index_that_knows_less() -> None:
    links = [Link(name="a-1.zip", url="http://127.0.0.1/a-1.zip", hashes={"sha512": "ff"}, metadata={})]
    page = json.loads(linked_page("a", None, links, Format.JSON_V1))
    assert page["meta"] == {"api-version": "1.0"}
    assert "versions" not in page
    assert page["files"][0]["core-metadata"] is True
    ((attributes, _text),) = Anchors(linked_page("a", None, links, Format.HTML)).found
    assert attributes == {"href": "http://127.0.0.1/a-1.zip#sha512=ff", "data-core-metadata": "true"}
