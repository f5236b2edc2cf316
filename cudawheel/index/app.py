"""The index as an ASGI application. No path of a request becomes a path on the disk: all are looked up in tables."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from pathlib import Path
from string import ascii_letters, digits
from typing import IO
from urllib.parse import parse_qs

from packaging.utils import canonicalize_name

from cudawheel.errors import WheelError
from cudawheel.index.accepting import choose_format
from cudawheel.index.answer import FOREVER, PAGE_CACHING, Answer, Receive, Scope, Send, etag_of
from cudawheel.index.examine import Stamp, read_metadata
from cudawheel.index.live import LiveIndex
from cudawheel.index.model import OVERALL, Channel, File, Project, is_channel_name
from cudawheel.index.pages import Format, linked_page, project_list, project_page
from cudawheel.index.sending import send_answer
from cudawheel.index.tokens import CHALLENGE, Tokens
from cudawheel.index.upstream import Upstream, UpstreamError

LOOK_SECONDS = 0.25
"""How often the wheelhouse is looked at."""

_METADATA = ".metadata"
_READING = ("GET", "HEAD")
_KEPT_METADATA = 4096
_LETTERS = frozenset(f"{ascii_letters}{digits}-_.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One request that was answered: for a log."""

    method: str
    path: str
    status: int
    length: int
    detail: str = ""

    def __str__(self) -> str:
        # What a client writes into its request must not write lines into a log.
        text = f"{self.method} {self.path} {self.status} {self.length} {self.detail}".rstrip()
        return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


class IndexApp:
    """Answers pip and uv.

    Args:
        live: the index.
        tokens: gives the tokens that may read, at each request; None where everybody may.
        upstream: asked for names that are not ours; None for nothing else than ours.
        own: further names that are ours although no wheel may be here yet, normalised; shell patterns.
        tell: is told of every request.
    """

    def __init__(
        self,
        live: LiveIndex,
        *,
        tokens: Callable[[], Tokens] | None = None,
        upstream: Upstream | None = None,
        own: tuple[str, ...] = (),
        tell: Callable[[Served], None] = lambda _served: None,
    ) -> None:
        self._live = live
        self._tokens = tokens
        self._upstream = upstream
        self._own = own
        self._tell = tell
        self._pages: dict[tuple[str, str, Format], tuple[Channel | Project, bytes, str]] = {}
        self._metadata: dict[str, bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or live through the server's life."""
        if scope["type"] == "lifespan":
            await self._live_through(receive, send)
            return
        if scope["type"] != "http":
            return
        method, path = scope["method"], scope["path"]
        wanted = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        try:
            answer, detail = await self._answer(method, path, query, wanted)
        except Exception as defect:  # noqa: BLE001 - one request that cannot be answered is no reason to answer no other
            answer = Answer.of_text(500, "this server has a defect")
            detail = f"{type(defect).__name__}: {defect}"
        with contextlib.ExitStack() as clean_up:
            file = None
            if answer.path is not None and method != "HEAD":
                file = _open(answer.path, answer.stamp)
                if file is None:
                    answer = _away()
                else:
                    clean_up.enter_context(file)
            try:
                broken = await send_answer(answer, file, receive, send, head=method == "HEAD")
            except asyncio.CancelledError:
                broken = "the server stops"
        log = Served(method=method, path=path, status=answer.status, length=answer.length, detail=detail or broken)
        self._tell(log)

    async def _live_through(self, receive: Receive, send: Send) -> None:
        async with contextlib.AsyncExitStack() as life:
            while True:
                message = await receive()
                if message["type"] == "lifespan.startup":
                    if self._upstream is not None:
                        await life.enter_async_context(self._upstream)
                    follower = asyncio.create_task(self._follow())
                    life.callback(follower.cancel)
                    await send({"type": "lifespan.startup.complete"})
                elif message["type"] == "lifespan.shutdown":
                    await life.aclose()
                    await send({"type": "lifespan.shutdown.complete"})
                    return

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await asyncio.to_thread(self._live.refresh)

    async def _answer(self, method: str, path: str, query: str, wanted: dict[str, str]) -> tuple[Answer, str]:
        """Give the answer, and what a log should know beside it."""
        if method not in _READING:
            return Answer.of_text(405, "an index is only read", ("allow", ", ".join(_READING))), ""
        if self._tokens is not None and not self._tokens().allow(
            wanted.get("authorization", ""), datetime.now(timezone.utc)
        ):
            return Answer.of_text(401, "a valid token is needed", ("www-authenticate", CHALLENGE)), ""
        match path.split("/")[1:]:
            case ["simple", *rest]:
                return await self._simple(rest, query, wanted)
            case ["wheels", _, name] if name:
                return await self._wheel(path[1:], wanted), ""
            case [""]:
                return Answer.of_text(307, "the index is at simple/", ("location", "simple/")), ""
        return _not_found(), ""

    async def _simple(self, rest: list[str], query: str, wanted: dict[str, str]) -> tuple[Answer, str]:
        if not rest or rest[-1]:
            # Relative, so that it is right behind whatever proxy; the last segment is repeated with its slash.
            last = canonicalize_name(rest[-1]) if rest else "simple"
            return (_moved(f"{last}/") if all(map(_is_plain, rest)) else _not_found()), ""
        channels = self._live.index.channels
        match rest[:-1]:
            case []:
                return self._list(channels[OVERALL], query, wanted), ""
            case [name] if name in channels and name != OVERALL:
                return self._list(channels[name], query, wanted), ""
            case [name] if _is_plain(name):
                return await self._project(OVERALL, name, query, wanted)
            case [channel, name] if is_channel_name(channel) and _is_plain(name):
                return await self._project(channel, name, query, wanted)
        return _not_found(), ""

    def _list(self, channel: Channel, query: str, wanted: dict[str, str]) -> Answer:
        form = _format(query, wanted)
        if form is None:
            return _not_acceptable()
        return self._page(("", channel.name, form), channel, lambda: project_list(channel, form), wanted)

    async def _project(self, channel_name: str, name: str, query: str, wanted: dict[str, str]) -> tuple[Answer, str]:
        normalised = canonicalize_name(name)
        if normalised != name:
            return _moved(f"../{normalised}/"), ""
        form = _format(query, wanted)
        if form is None:
            return _not_acceptable(), ""
        channel = self._live.index.channels.get(channel_name)
        project = channel.projects.get(name) if channel is not None else None
        if channel is not None and project is not None:
            page = self._page((name, channel_name, form), project, lambda: project_page(project, channel, form), wanted)
            return page, ""
        if self._is_ours(name):
            channels = ", ".join(filter(None, self._live.index.channels))
            text = f"{name} is a name of this index, and has no wheel in this channel; there are {channels or 'none'}"
            return Answer.of_text(404, text), ""
        if self._upstream is None:
            return _not_found(), ""
        return await self._from_upstream(self._upstream, name, form, wanted)

    async def _from_upstream(
        self, upstream: Upstream, name: str, form: Format, wanted: dict[str, str]
    ) -> tuple[Answer, str]:
        try:
            found = await upstream.find(name)
        except UpstreamError as fault:
            return Answer.of_text(502, "the upstream index does not answer as it should"), f"upstream: {fault}"
        # Asked again, since a wheel of that name may have come in while the upstream index was thinking.
        if self._is_ours(name):
            return Answer.of_text(503, f"{name} has just become a project of this index", ("retry-after", "1")), ""
        if found is None:
            return _not_found(), "upstream: none"
        versions, links = found
        body = linked_page(name, versions, links, form)
        return _page_answer(body, etag_of(body), form, wanted), "upstream"

    def _is_ours(self, name: str) -> bool:
        """Say whether a normalised name may come from nowhere else."""
        if name in self._live.names or is_channel_name(name):
            return True
        return any(fnmatchcase(name, pattern) for pattern in self._own)

    def _page(
        self,
        key: tuple[str, str, Format],
        shown: Channel | Project,
        render: Callable[[], bytes],
        wanted: dict[str, str],
    ) -> Answer:
        """Send a page, rendered once as long as what it shows is the same."""
        kept = self._pages.get(key)
        if kept is None or kept[0] is not shown:
            body = render()
            kept = self._pages[key] = (shown, body, etag_of(body))
        return _page_answer(kept[1], kept[2], key[2], wanted)

    async def _wheel(self, place: str, wanted: dict[str, str]) -> Answer:
        files = self._live.index.files
        if file := files.get(place):
            stamp = Stamp(file.size, file.modified_ns, file.inode)
            if not _is_still_there(file.path, stamp):
                return _away()
            return Answer.of_file(file.path, stamp, etag=f'"{file.sha256}"', wanted=wanted)
        if place.endswith(_METADATA) and (file := files.get(place.removesuffix(_METADATA))):
            return await self._metadata_of(file, wanted)
        return _not_found()

    async def _metadata_of(self, file: File, wanted: dict[str, str]) -> Answer:
        sha256 = file.metadata_sha256
        content = self._metadata.get(sha256)
        if content is None:
            try:
                content = await asyncio.to_thread(read_metadata, file.path, sha256)
            except WheelError:
                return _away()
            while len(self._metadata) >= _KEPT_METADATA:
                del self._metadata[next(iter(self._metadata))]
            self._metadata[sha256] = content
        return Answer.of_bytes(content, "application/octet-stream", etag=f'"{sha256}"', caching=FOREVER, wanted=wanted)


def _is_still_there(path: Path, stamp: Stamp) -> bool:
    try:
        return Stamp.of(path.stat()) == stamp
    except OSError:
        return False


def _open(path: Path, stamp: Stamp | None) -> IO[bytes] | None:
    """Open a wheel, if it is the one that was meant: another may have been renamed over it since it was looked at."""
    try:
        file = path.open("rb")
    except OSError:
        return None
    if stamp is None or Stamp.of(os.fstat(file.fileno())) == stamp:
        return file
    file.close()
    return None


def _format(query: str, wanted: dict[str, str]) -> Format | None:
    """Give the representation; one that stands in the URL goes before the Accept header, as PEP 691 suggests."""
    asked = parse_qs(query.replace("+", "%2B")).get("format")
    return choose_format(asked[0] if asked else wanted.get("accept", ""))


def _page_answer(body: bytes, etag: str, form: Format, wanted: dict[str, str]) -> Answer:
    answer = Answer.of_bytes(body, form.content_type, etag=etag, caching=PAGE_CACHING, wanted=wanted)
    return answer.with_headers(("vary", "Accept"))


def _is_plain(name: str) -> bool:
    """Say whether a segment of a path can be a name at all: letters, digits, and between them dots and dashes."""
    return name.isascii() and name[:1].isalnum() and name[-1:].isalnum() and not set(name) - _LETTERS


def _moved(to: str) -> Answer:
    return Answer.of_text(301, f"it is at {to}", ("location", to))


def _away() -> Answer:
    return Answer.of_text(503, "this wheel is being replaced, or its disk is away", ("retry-after", "1"))


def _not_found() -> Answer:
    return Answer.of_text(404, "there is nothing of that name")


def _not_acceptable() -> Answer:
    return Answer.of_text(406, f"pages are {', '.join(form.value for form in Format)}", ("vary", "Accept"))
