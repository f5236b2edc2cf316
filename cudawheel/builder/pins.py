"""Build requirements as they were resolved: each with its version, and the hash that its file has to have."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement
from packaging.tags import Tag, parse_tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from cudawheel.files import sha256_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One package of a build environment.

    Attributes:
        name: normalised.
        version: its version; empty where only building it would tell.
        sha256: hashes of the files that it may be installed from, in hexadecimal digits.
        files: names of these files, in the same order.
        reference: where it comes from, if a requirement names that itself; empty for what an index gives.
    """

    name: str
    version: str = ""
    sha256: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    reference: str = ""

    def line(self) -> str:
        """Write it as a line of a requirements file."""
        what = f"{self.name} @ {self.reference}" if self.reference else f"{self.name}=={self.version}"
        return " ".join((what, *(f"--hash=sha256:{digest}" for digest in self.sha256)))

    def narrowed(self, distribution: Distribution) -> Pin:
        """Give it with the one file that was installed, if the installed wheel's tags say which."""
        tags = _tags_of(distribution)
        fitting = [index for index, name in enumerate(self.files) if tags and _tags_in_name(name) == tags]
        if len(self.files) == 1 or len(fitting) != 1:
            return self
        (index,) = fitting
        return Pin(
            name=self.name,
            version=self.version,
            sha256=(self.sha256[index],),
            files=(self.files[index],),
            reference=self.reference,
        )


def read_resolution(text: str, requirements: Sequence[str]) -> tuple[Pin, ...]:
    """Read what uv resolved, in the format of pylock.toml (PyPA, "pylock.toml specification").

    Args:
        text: the file.
        requirements: what was asked for; they tell the addresses of what does not come from an index.

    Raises:
        ValueError: it is no such file.
        KeyError: it lacks what each entry has to have.
    """
    named = {canonicalize_name(wanted.name): wanted.url for wanted in map(Requirement, requirements) if wanted.url}
    packages: list[dict[str, Any]] = tomllib.loads(text).get("packages", [])
    return tuple(sorted((_pin(package, named) for package in packages), key=lambda pin: pin.name))


def hashed_reference(requirement: str) -> Pin:
    """Pin a requirement that names a file on this machine, by the file's hash.

    Raises:
        OSError: the file cannot be read.
    """
    wanted = Requirement(requirement)
    url = wanted.url or ""
    path = Path(unquote(urlsplit(url).path))
    return Pin(name=canonicalize_name(wanted.name), sha256=(sha256_of(path),), files=(path.name,), reference=url)


def _pin(package: dict[str, Any], named: dict[Any, str]) -> Pin:
    name = canonicalize_name(package["name"])
    # uv prefers wheels; what has to be compiled first counts only where there are none.
    files = package.get("wheels") or [package[kind] for kind in ("sdist", "archive") if kind in package]
    hashed = [file for file in files if "sha256" in file.get("hashes", {})]
    return Pin(
        name=name,
        version=package.get("version", ""),
        sha256=tuple(file["hashes"]["sha256"] for file in hashed),
        files=tuple(_file_name(file) for file in hashed),
        reference=named.get(name, ""),
    )


def _file_name(file: dict[str, Any]) -> str:
    place = str(file.get("name") or file.get("path") or urlsplit(file.get("url", "")).path)
    return unquote(place.rsplit("/", 1)[-1])


def _tags_of(distribution: Distribution) -> frozenset[Tag]:
    lines: Iterable[str] = (distribution.read_text("WHEEL") or "").splitlines()
    return frozenset(tag for line in lines if line.startswith("Tag:") for tag in parse_tag(line[4:].strip()))


def _tags_in_name(name: str) -> frozenset[Tag]:
    try:
        return parse_wheel_filename(name)[3]
    except InvalidWheelFilename:
        return frozenset()
