"""The pages of an index, as bytes: PEP 503's HTML and PEP 691's JSON, with what 592, 658, 700 and 714 added.

The same index gives the same bytes, so that an unchanged page has an unchanged ETag and is not exported again. That,
and text from outside that has to be escaped, is why the serialisers of `simple-repository` are not used: at 0.11 they
list versions in the order of a set, and write a yank reason into the HTML as it stands.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from functools import lru_cache
from html import escape
from typing import Any

from cudawheel.index.model import Channel, File, Project

API_VERSION = "1.1"
"""Of the simple API: PEP 691 is 1.0, PEP 700 made it 1.1."""

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="pypi:repository-version" content="{version}">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
</head>
<body>
<h1>{title}</h1>
"""
_TAIL = "</body>\n</html>\n"


class Format(str, Enum):
    """A representation of the simple API; the value is its content type."""

    HTML = "text/html"
    HTML_V1 = "application/vnd.pypi.simple.v1+html"
    JSON_V1 = "application/vnd.pypi.simple.v1+json"

    @property
    def content_type(self) -> str:
        """The value of the Content-Type header."""
        return f"{self.value}; charset=utf-8" if self is Format.HTML else self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One file on a project's page, ours or an upstream index's.

    Attributes:
        name: of the file.
        url: relative to the page, or absolute.
        hashes: hex digests by algorithm.
        requires_python: empty where nothing is known.
        metadata: hashes of the file's `.metadata`; None where there is no such file.
        yanked: the reason, which may be empty; None where it was not yanked.
        size: bytes, where known.
        uploaded: in UTC, as PEP 700 writes it; empty where it is not known.
    """

    name: str
    url: str
    hashes: Mapping[str, str]
    requires_python: str = ""
    metadata: Mapping[str, str] | None = None
    yanked: str | None = None
    size: int | None = None
    uploaded: str = ""

    @classmethod
    def to_file(cls, file: File, root: str) -> Link:
        """Link to a wheel of ours; `root` leads from the page to the index's root, `../../`."""
        return cls(
            name=file.name,
            url=f"{root}{file.url}",
            hashes={"sha256": file.sha256},
            requires_python=file.requires_python,
            metadata={"sha256": file.metadata_sha256},
            yanked=file.yanked,
            size=file.size,
            uploaded=_moment(file.modified_ns),
        )


def project_list(channel: Channel, form: Format) -> bytes:
    """Write the page that lists a channel's projects."""
    if form is Format.JSON_V1:
        return _json({"meta": {"api-version": API_VERSION}, "projects": [{"name": name} for name in channel.projects]})
    links = "".join(f'<a href="{escape(name)}/">{escape(name)}</a><br>\n' for name in channel.projects)
    return _html(f"Projects of {channel.name}" if channel.name else "Projects", links)


def project_page(project: Project, channel: Channel, form: Format) -> bytes:
    """Write the page of one project in a channel."""
    (page,) = project_pages(project, channel, (form,))
    return page


def project_pages(project: Project, channel: Channel, forms: Iterable[Format]) -> tuple[bytes, ...]:
    """Write the page of one project in a channel, in several representations."""
    root = "../" * (channel.folder.count("/") + 1)
    links = [Link.to_file(file, root) for file in project.files]
    versions = project.versions
    return tuple(linked_page(project.name, versions, links, form) for form in forms)


def linked_page(name: str, versions: Iterable[str] | None, links: Iterable[Link], form: Format) -> bytes:
    """Write the page of a project.

    Args:
        name: of the project.
        versions: all of them, or None where an upstream index does not say (it is then of version 1.0).
        links: its files.
        form: the representation.
    """
    if form is not Format.JSON_V1:
        version = API_VERSION if versions is not None else "1.0"
        return _html(f"Links for {name}", "".join(map(_anchor, links)), version)
    page: dict[str, Any] = {
        "meta": {"api-version": API_VERSION if versions is not None else "1.0"},
        "name": name,
        "files": [_entry(link) for link in links],
    }
    return _json(page if versions is None else {**page, "versions": list(versions)})


def _entry(link: Link) -> dict[str, Any]:
    entry: dict[str, Any] = {"filename": link.name, "url": link.url, "hashes": dict(link.hashes)}
    if link.requires_python:
        entry["requires-python"] = link.requires_python
    if link.metadata is not None:
        # PEP 714's name; PEP 658's first one, dist-info-metadata, was broken in pip 23.0 and is not to be written.
        entry["core-metadata"] = dict(link.metadata) or True
    if link.yanked is not None:
        entry["yanked"] = link.yanked or True
    if link.size is not None:
        entry["size"] = link.size
    if link.uploaded:
        entry["upload-time"] = link.uploaded
    return entry


def _anchor(link: Link) -> str:
    fragment = _hash(link.hashes)
    attributes = {"href": f"{link.url}#{fragment}" if fragment else link.url}
    if link.requires_python:
        attributes["data-requires-python"] = link.requires_python
    if link.metadata is not None:
        attributes["data-core-metadata"] = _hash(link.metadata) or "true"
    if link.yanked is not None:
        attributes["data-yanked"] = link.yanked
    written = " ".join(f'{name}="{escape(value)}"' for name, value in attributes.items())
    return f"<a {written}>{escape(link.name)}</a><br>\n"


def _hash(hashes: Mapping[str, str]) -> str:
    """Give the one hash that HTML has room for; empty where there is none."""
    chosen = "sha256" if "sha256" in hashes else next(iter(hashes), "")
    return f"{chosen}={hashes[chosen]}" if chosen else ""


def _html(title: str, body: str, version: str = API_VERSION) -> bytes:
    return (_HEAD.format(title=escape(title), version=version) + body + _TAIL).encode()


def _json(page: dict[str, Any]) -> bytes:
    return json.dumps(page, separators=(",", ":"), ensure_ascii=False).encode()


@lru_cache(maxsize=1 << 16)  # each wheel stands on several pages
def _moment(nanoseconds: int) -> str:
    moment = datetime.fromtimestamp(nanoseconds // 1_000_000_000, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds // 1000 % 1_000_000:06d}Z"
