"""Pythons, told from their files; none but the one of the environment is run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cudawheel.doctor.machine import Python
from cudawheel.doctor.world import World, is_file, matching, real, runnable

_NAME = re.compile(r"python(\d\.\d{1,2})")


def probe_pythons(world: World) -> tuple[Python, ...]:
    """Look for CPythons: pyenv's and uv's installations, and `pythonX.Y` on PATH; one for each version and place."""
    seen: set[Path] = set()
    found = []
    for path in _programs(world):
        target = real(path)
        name = _NAME.fullmatch(target.name) or _NAME.fullmatch(path.name)
        # A version manager puts scripts on PATH that only stand for an interpreter.
        if name is None or target in seen or "shims" in path.parts or not runnable(target):
            continue
        seen.add(target)
        header = target.parent.parent / "include" / f"python{name[1]}" / "Python.h"
        found.append(Python(path=world.shown(path), version=name[1], headers=is_file(header)))
    return tuple(sorted(found, key=lambda python: (tuple(map(int, python.version.split("."))), python.path)))


def _programs(world: World) -> Iterator[Path]:
    home = world.environ.get("HOME", "/root")
    managed = (
        (world.environ.get("PYENV_ROOT") or f"{home}/.pyenv", "versions"),
        (world.environ.get("XDG_DATA_HOME") or f"{home}/.local/share", "uv/python"),
    )
    for folder, below in managed:
        yield from matching(world.at(folder), f"{below}/*/bin/python3.*")
    for folder in world.search_path():
        yield from (path for path in world.listed(folder) if _NAME.fullmatch(path.name))
