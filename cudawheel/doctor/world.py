"""What probes look at: files below a root, an environment, programs, NVIDIA's library, the network.

All of it is handed in, so that a machine made of files is examined as a real one is.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from cudawheel.process import Finished, capture

_SECONDS = 10.0
_CONNECT_SECONDS = 0.7


class Run(Protocol):
    """Runs a short program and gives what it printed; one that is missing ends with status 127."""

    def __call__(self, command: Sequence[str], *, timeout: float = _SECONDS) -> Finished:
        """Run it."""


def run_here(command: Sequence[str], *, timeout: float = _SECONDS) -> Finished:
    """Run a program of this machine."""
    return capture(command, timeout=timeout, extra_env={"LC_ALL": "C"})


def nvml_here() -> Any:  # noqa: ANN401 - a module without types
    """Give NVIDIA's management library for Python; nothing is loaded until it is initialised."""
    return import_module("pynvml")


def connect_here(host: str, port: int) -> str:
    """Try a connection, and give the reason where there is none. Never waits longer than it is worth."""
    answer = [f"no answer within {_CONNECT_SECONDS:g} s"]

    def try_it() -> None:
        try:
            with socket.create_connection((host, port), timeout=_CONNECT_SECONDS):
                answer[0] = ""
        except OSError as error:
            answer[0] = error.strerror or str(error)

    # Asking for a name's address cannot be given a time-out: such a thread is left behind.
    trial = threading.Thread(target=try_it, daemon=True)
    trial.start()
    trial.join(_CONNECT_SECONDS)
    return answer[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A machine to look at.

    Attributes:
        root: where its files are; paths that people see never name it.
        environ: the user's environment.
        run: runs a program by the path that the machine itself knows it by.
        nvml: gives NVIDIA's library for Python (`pynvml`), or fails with ImportError.
        connect: tries a host and port; gives the reason where that fails.
        running: the Python that runs this.
        system: the operating system, in words.
        processor: as `platform.machine()` says.
    """

    root: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=dict)
    run: Run = run_here
    nvml: Callable[[], Any] = nvml_here
    connect: Callable[[str, int], str] = connect_here
    running: str = "python3"
    system: str = ""
    processor: str = ""

    def at(self, path: str | Path) -> Path:
        """Give where an absolute path of this machine really lies."""
        return self.root / str(path).lstrip("/")

    def shown(self, path: Path) -> str:
        """Give a real path as the machine itself writes it."""
        try:
            return f"/{path.relative_to(self.root)}"
        except ValueError:
            return str(path)

    def search_path(self) -> tuple[str, ...]:
        """Give the folders of PATH, without repeats."""
        words = self.environ.get("PATH", os.defpath).split(":")
        return tuple(dict.fromkeys(word for word in words if word.startswith("/")))

    def which(self, name: str) -> str | None:
        """Find a program on PATH."""
        for folder in self.search_path():
            found = self.at(folder) / name
            if runnable(found):
                return f"{folder.rstrip('/')}/{name}"
        return None

    def listed(self, folder: str | Path) -> list[Path]:
        """Give what a folder of this machine holds, sorted; nothing where it cannot be read."""
        try:
            return sorted(self.at(folder).iterdir())
        except OSError:
            return []

    def text(self, path: str | Path) -> str:
        """Read a small file of this machine; empty where it cannot be read."""
        return read_text(self.at(path))


def runnable(path: Path) -> bool:
    """Whether a file is there that may be run; what may not be looked at is not there."""
    return is_file(path) and os.access(path, os.X_OK)


def is_file(path: Path) -> bool:
    """Whether a file is there, and may be looked at."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether a folder is there, and may be looked at."""
    try:
        return path.is_dir()
    except OSError:
        return False


def matching(folder: Path, pattern: str) -> list[Path]:
    """Give what matches below a folder, sorted; nothing where that may not be looked at."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def real(path: Path) -> Path:
    """Give what a path leads to; itself where links go in a circle."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path


def read_text(path: Path) -> str:
    """Read a text, whatever its bytes are; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
