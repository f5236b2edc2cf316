"""Synthetic wheels of any name, version and tag, and a way to ask an index without a network."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from cudawheel.index.app import IndexApp

TOKEN = "a-token-that-is-long-enough"  # noqa: S105 - of these tests only


def make_wheel(
    folder: Path,
    name: str = "demo-ext",
    version: str = "1.0",
    *,
    tag: str = "py3-none-any",
    requires: Sequence[str] = (),
    requires_python: str = "",
    members: Mapping[str, str] | None = None,
    file_name: str = "",
) -> Path:
    """Write a wheel with a right RECORD; `file_name` replaces the name that it should have."""
    stem = name.replace("-", "_").replace(".", "_").lower()
    info = f"{stem}-{version}.dist-info"
    python = [f"Requires-Python: {requires_python}"] if requires_python else []
    headers = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *python]
    headers += [f"Requires-Dist: {requirement}" for requirement in requires]
    texts = {
        f"{stem}/__init__.py": f"__version__ = {version!r}\n",
        **(members or {}),
        f"{info}/METADATA": "\n".join(headers) + "\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: false\nTag: {tag}\n",
    }
    rows = [f"{path},sha256={_digest(text)},{len(text.encode())}\n" for path, text in texts.items()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (file_name or f"{stem}-{version}-{tag}.whl")
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in {**texts, f"{info}/RECORD": "".join([*rows, f"{info}/RECORD,,\n"])}.items():
            archive.writestr(zipfile.ZipInfo(member), text)
    return path


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Reply:
    """What an index answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(app: IndexApp, path: str, method: str = "GET", **headers: str) -> Reply:
    """Send one request, as a server would, and give the answer; `_` in a header's name stands for `-`."""
    target, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": unquote(target),
        "raw_path": target.encode(),
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()],
    }
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(3600)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    start, *bodies = sent
    return Reply(
        status=start["status"],
        headers={name.decode(): value.decode("latin-1") for name, value in start["headers"]},
        body=b"".join(message.get("body", b"") for message in bodies),
    )


def ask_json(app: IndexApp, path: str, **headers: str) -> Any:
    reply = ask(app, path, accept="application/vnd.pypi.simple.v1+json", **headers)
    assert reply.status == 200, reply
    return reply.json
