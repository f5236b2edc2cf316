"""Real servers of an index, each a process of its own, and real installers that know nothing but one index."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

_REQUEST = re.compile(r"(GET|HEAD) (\S+)")


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        url: its root, with a slash at the end.
        log: what it writes to standard error.
    """

    url: str
    log: Path

    @property
    def index(self) -> str:
        return f"{self.url}simple/"

    def requests(self) -> list[str]:
        """Every path that was asked for."""
        return [path for _method, path in _REQUEST.findall(self.log.read_text())]


@contextmanager
def serving(house: Path, log: Path, *options: str | Path) -> Iterator[Server]:
    """Run `cudawheel serve` on a free port, and see to it that it ends in good order."""
    command = [sys.executable, "-m", "cudawheel", "serve", house, "--port", "0", *options]
    with log.open("w") as sink, _running(command, stdout=subprocess.PIPE, stderr=sink) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert "http://" in line, log.read_text()
        yield Server(line.split("simple/")[0], log)
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=30) == 0, log.read_text()
    assert "Traceback" not in log.read_text()


@contextmanager
def static(folder: Path, log: Path) -> Iterator[Server]:
    """Run a plain file server of the standard library, which knows nothing of indexes."""
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", folder, "0"]
    with log.open("w") as sink, _running(command, stdout=subprocess.PIPE, stderr=sink) as server:
        assert server.stdout is not None
        url = re.search(r"http://[^/]+/", server.stdout.readline())
        assert url is not None
        yield Server(url[0], log)


@contextmanager
def _running(command: list[str | Path], **streams: object) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([*map(str, command)], text=True, env=clean(), **streams) as server:  # type: ignore[call-overload]
        try:
            yield server
        finally:
            server.kill()


def clean() -> dict[str, str]:
    """Give an environment in which no installer knows of any other index."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "VIRTUAL_ENV"))}
    return {**kept, "PIP_CONFIG_FILE": os.devnull, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


@dataclass(frozen=True)
class Installer:
    """pip or uv, with a clean environment of this Python.

    Attributes:
        name: `pip` or `uv`.
        folder: of the environment.
    """

    name: str
    folder: Path

    def install(self, index: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Install from one index and no other, or from the one that `words` name; nothing comes from a cache."""
        uv = find_uv_bin()
        if not self.folder.exists():
            venv = [uv, "venv", "--quiet", "--no-config", "--python", sys.executable, str(self.folder)]
            subprocess.run(venv, check=True, env=clean(), timeout=120)
        python = str(self.folder / "bin" / "python")
        if self.name == "uv":
            command = [uv, "pip", "install", "--no-config", "--no-cache", "--python", python]
            command += ["--default-index", index] if index else []
        else:
            command = [sys.executable, "-m", "pip", "--isolated", "--python", python, "install", "--no-cache-dir"]
            command += ["--disable-pip-version-check", "--no-input", "--retries", "0"]
            command += ["--index-url", index] if index else []
        return subprocess.run([*command, *words], env=clean(), check=False, capture_output=True, text=True, timeout=120)

    def installed(self) -> dict[str, str]:
        """Every project that is installed, with its version."""
        found = self.folder.glob("lib/python*/site-packages/*.dist-info")
        return dict(path.name.removesuffix(".dist-info").split("-") for path in found)  # type: ignore[misc]


def wait_for(condition: object, seconds: float = 20.0) -> None:
    """Wait until a condition holds."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
