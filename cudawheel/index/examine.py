"""One wheel of the wheelhouse, read whole before anybody is offered it."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import NormalizedName
from packaging.version import Version

from cudawheel.errors import WheelError
from cudawheel.files import sha256_of
from cudawheel.index.model import is_channel_name
from cudawheel.wheel.archive import open_archive
from cudawheel.wheel.reading import Wheel

_ANEW = "Build it again, or take it out of the wheelhouse."


@dataclass(frozen=True, slots=True)
class Stamp:
    """How a file is known to be still the same without reading it: size in bytes, time of change, inode."""

    size: int
    modified_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """Take the stamp from what the operating system says of a file."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What reading a wheel told, as far as an index needs it.

    Attributes:
        stamp: of the file that was read.
        sha256: of the file.
        metadata_sha256: of its METADATA.
        project: normalised name.
        version: local part included.
        requires_python: empty where it says nothing.
        identity: the same for two files that an installer takes for the same wheel, however they are spelled.
    """

    stamp: Stamp
    sha256: str
    metadata_sha256: str
    project: NormalizedName
    version: Version
    requires_python: str
    identity: str


def examine(path: Path) -> Examined:
    """Read a wheel, with every member of it unless its build record vouches for its bytes.

    The build record is the `.whl.json` that lies beside a wheel of ours. A flipped byte is found either way.

    Raises:
        WheelError: the file is no wheel, is damaged, is not what its names or its build record say, or changed while
            it was being read.
        OSError: it cannot be read.
    """
    stamp = Stamp.of(path.stat())
    sha256 = sha256_of(path)
    recorded = _recorded_sha256(path)
    if recorded and recorded != sha256:
        raise WheelError(
            f"{path.name} is not the wheel that its build record is about",
            why=f"Its sha256 is {sha256}, the record says {recorded}.",
            remedy=_ANEW,
        )
    wheel = Wheel.read(path)
    if is_channel_name(wheel.name):
        raise WheelError(
            f"{path.name} cannot be listed", why=f"{wheel.name} is the name of a channel.", remedy="Rename the project."
        )
    if not recorded and (mismatches := wheel.verify_record()):
        raise WheelError(f"{path.name} does not hold what it lists", why=str(mismatches[0]), remedy=_ANEW)
    with wheel.open(f"{wheel.dist_info}/METADATA") as source:
        metadata_sha256 = hashlib.sha256(source.read()).hexdigest()
    examined = Examined(
        stamp=stamp,
        sha256=sha256,
        metadata_sha256=metadata_sha256,
        project=wheel.name,
        version=wheel.version,
        requires_python=_requires_python(wheel),
        identity=_identity(wheel),
    )
    if Stamp.of(path.stat()) != stamp:
        raise WheelError(f"{path.name} is being written", remedy="It is read again once it is whole.")
    return examined


def read_metadata(path: Path, sha256: str) -> bytes:
    """Give the METADATA of a wheel that was examined before, byte for byte.

    Args:
        path: the wheel.
        sha256: what was found of its METADATA then.

    Raises:
        WheelError: the wheel cannot be read, or is no longer that one.
    """
    with open_archive(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA") and name.count("/") == 1]
        content = archive.read(names[0]) if names else b""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise WheelError(f"{path.name} has other metadata than before", remedy="Read the wheelhouse again.")
    return content


def _recorded_sha256(path: Path) -> str:
    """Give the hash that a wheel's build record names; empty where there is no record that names one."""
    try:
        record = json.loads(path.with_name(f"{path.name}.json").read_bytes())
        recorded = record["wheel"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return recorded if isinstance(recorded, str) else ""


def _requires_python(wheel: Wheel) -> str:
    """Give Requires-Python if it can be read; what cannot be read would make pip pass over the wheel or the page."""
    text = " ".join(wheel.metadata.first("Requires-Python").split())
    try:
        SpecifierSet(text)
    except InvalidSpecifier as fault:
        raise WheelError(
            f"{wheel.path.name} requires a Python that cannot be read", why=str(fault), remedy="Write it as >=3.10."
        ) from fault
    return text


def _identity(wheel: Wheel) -> str:
    build = "".join(map(str, wheel.build))
    # str(Version) keeps trailing zeros, which do not tell versions apart.
    version = f"{wheel.version.epoch}!{_without_zeros(wheel.version)}"
    return f"{wheel.name} {version} {build} {' '.join(sorted(map(str, wheel.tags)))}"


def _without_zeros(version: Version) -> str:
    release = list(version.release)
    while release and release[-1] == 0:
        release.pop()
    suffixes = (version.pre, version.post, version.dev, version.local)
    return f"{'.'.join(map(str, release))} {suffixes}"
