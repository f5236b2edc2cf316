"""A loopback server that can be told to misbehave."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Site:
    """Files to serve, and the ways in which serving them goes wrong.

    Attributes:
        files: path without the leading slash, and content.
        cut_after: bytes of each answer's body after which the connection is closed; 0 for never.
        whole: paths that are never cut.
        ranges: whether part of a file can be asked for.
        silent: paths that are accepted and never answered.
        types: path and content type, for what is not to be taken for bytes.
        requests: what was asked for, with the Range header.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut_after = 0
        self.whole: set[str] = set()
        self.ranges = True
        self.silent: set[str] = set()
        self.types: dict[str, str] = {}
        self.requests: list[tuple[str, str]] = []
        self.url = ""
        self.over = threading.Event()


class _Handler(http.server.BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        path, wanted = self.path.lstrip("/"), self.headers.get("Range", "")
        self.site.requests.append((path, wanted))
        if path in self.site.silent:
            self.site.over.wait(10)
            return
        if path not in self.site.files:
            self.send_error(404)
            return
        content = self.site.files[path]
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.site.ranges else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if path in self.site.types:
            self.send_header("Content-Type", self.site.types[path])
        self.end_headers()
        body = content[start:]
        cut = self.site.cut_after and path not in self.site.whole
        self.wfile.write(body[: self.site.cut_after] if cut else body)

    def log_message(self, *_words: Any) -> None:
        """Keep quiet."""


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    handler = type("Handler", (_Handler,), {"site": site})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        site.url = f"http://127.0.0.1:{server.server_address[1]}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield site
        finally:
            site.over.set()
            server.shutdown()
            thread.join()
