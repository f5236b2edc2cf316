"""The Python environments that people mean: by --python, or because one is active."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from pathlib import Path

from cudawheel.doctor.world import World
from cudawheel.errors import UsageError

_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?")


def this_world() -> World:
    """Give this machine as probes see it."""
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        system = platform.system()
    return World(
        environ=dict(os.environ),
        running=sys.executable,
        system=f"{system}, Linux {platform.release()}",
        processor=platform.machine(),
    )


def path_of(python: str | None) -> str | None:
    """Give an absolute path: of what is there, or else of a program on PATH; a version means the Python of that name.

    Raises:
        UsageError: it is a version of which there is no Python on PATH.
    """
    if python is None:
        return None
    if Path(python).exists():
        return str(Path(python).absolute())
    if _VERSION.fullmatch(python):
        short = ".".join(python.split(".")[:2])
        if found := shutil.which(f"python{short}"):
            return found
        raise UsageError(
            f"--python {python}: there is no python{short} on PATH",
            why="It names an environment to look into: a Python, or the folder of a virtual environment.",
            remedy="Name its path, such as --python .venv",
        )
    return shutil.which(python) or python
