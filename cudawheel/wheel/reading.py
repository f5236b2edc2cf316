"""A wheel as a value: read once, checked for all that an installer would refuse or misread."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from packaging.requirements import Requirement
from packaging.tags import Tag, parse_tag
from packaging.utils import (
    BuildTag,
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from cudawheel.errors import StoreError, WheelError
from cudawheel.wheel.archive import Member, list_members, open_archive
from cudawheel.wheel.metadata import Headers, parse_requirement
from cudawheel.wheel.record import SIGNATURES, Mismatch, RecordRow, compare_row, parse_record

_RENAME = "Rename nothing by hand: pip compares the file's name with METADATA; let cudawheel rewrite the wheel."


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel on disk.

    Attributes:
        path: the file.
        name: the project's normalised name.
        version: its version, local part included.
        build: the build tag of the file's name, usually empty.
        tags: what the file's name promises.
        members: its files, in name order.
        dist_info: the name of its `.dist-info` folder.
        metadata: METADATA.
        wheel_file: WHEEL.
        record: RECORD.
    """

    path: Path
    name: NormalizedName
    version: Version
    build: BuildTag
    tags: frozenset[Tag]
    members: tuple[Member, ...] = field(repr=False)
    dist_info: str
    metadata: Headers = field(repr=False)
    wheel_file: Headers = field(repr=False)
    record: tuple[RecordRow, ...] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Wheel:
        """Read a wheel's names, METADATA, WHEEL and RECORD; members are read only when asked for.

        Raises:
            WheelError: the file is no wheel, is damaged, holds unsafe names, or its parts disagree about what it is.
        """
        try:
            name, version, build, tags = parse_wheel_filename(path.name)
        except InvalidWheelFilename as fault:
            raise WheelError(
                f"{path.name} is not the name of a wheel",
                why=str(fault),
                remedy="A wheel is named name-version-python-abi-platform.whl.",
            ) from fault
        with open_archive(path) as archive:
            members = list_members(archive, path)
            dist_info = _find_dist_info(members, path)
            header = {part: archive.read(f"{dist_info}/{part}") for part in ("METADATA", "WHEEL", "RECORD")}
        wheel = cls(
            path=path,
            name=name,
            version=version,
            build=build,
            tags=tags,
            members=members,
            dist_info=dist_info,
            metadata=Headers.parse(header["METADATA"], f"{path.name}: METADATA"),
            wheel_file=Headers.parse(header["WHEEL"], f"{path.name}: WHEEL"),
            record=parse_record(header["RECORD"].decode("utf-8", "replace"), f"{path.name}: RECORD"),
        )
        _check_identity(wheel)
        return wheel

    @property
    def declared_tags(self) -> frozenset[Tag]:
        """The tags that the WHEEL file declares, which ought to be those of the file's name."""
        return frozenset(tag for text in self.wheel_file.get("Tag") for tag in parse_tag(text))

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """What the wheel requires to be installed beside it."""
        return tuple(parse_requirement(text) for text in self.metadata.get("Requires-Dist"))

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open one member for reading.

        Raises:
            WheelError: there is none of that name, or it is damaged.
        """
        with open_archive(self.path) as archive:
            if name not in {member.name for member in self.members}:
                raise WheelError(f"{self.path.name} holds no {name!r}", remedy="List its members to see what it holds.")
            with archive.open(name) as source:
                yield source

    def verify_record(self) -> tuple[Mismatch, ...]:
        """Compare RECORD with every member: hashes, sizes, files it lists that are not there, files it leaves out.

        Raises:
            WheelError: a member cannot be unpacked.
        """
        unhashed = {f"{self.dist_info}/{part}" for part in ("RECORD", *SIGNATURES)}
        present = {member.name for member in self.members}
        listed: set[str] = set()
        found: list[Mismatch | None] = []
        with open_archive(self.path) as archive:
            for row in self.record:
                if row.path in listed:
                    found.append(Mismatch(path=row.path, expected="one line", found="a second line for the same file"))
                elif row.path not in present:
                    found.append(Mismatch(path=row.path, expected="a file", found="none in the wheel"))
                elif row.path not in unhashed:
                    with archive.open(row.path) as source:
                        found.append(compare_row(row, source))
                listed.add(row.path)
        unlisted = sorted(present - listed - {f"{self.dist_info}/{part}" for part in SIGNATURES})
        found.extend(Mismatch(path=name, expected="no such file", found="a file in the wheel") for name in unlisted)
        return tuple(mismatch for mismatch in found if mismatch is not None)

    def extract(self, folder: Path, names: Iterable[str] | None = None) -> tuple[Path, ...]:
        """Unpack members below `folder`, never over a file that is there; gives the paths written.

        Args:
            folder: where to; made if it is missing.
            names: the members wanted, or all.

        Raises:
            WheelError: a member is damaged.
            StoreError: the folder cannot be written, or a file of a member's name is there already.
        """
        wanted = {member.name for member in self.members} if names is None else set(names)
        chosen = [member for member in self.members if member.name in wanted]
        with open_archive(self.path) as archive:
            try:
                return tuple(_unpack(archive, member, folder) for member in chosen)
            except OSError as fault:
                raise StoreError(
                    f"{self.path.name} cannot be unpacked into {folder}",
                    why=str(fault),
                    remedy="Choose an empty folder that you may write into, with room for it.",
                ) from fault


def _unpack(archive: zipfile.ZipFile, member: Member, folder: Path) -> Path:
    target = folder / member.name
    target.parent.mkdir(parents=True, exist_ok=True)
    # O_EXCL: never through a link that lies in wait. The name itself was checked when the wheel was read.
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755 if member.executable else 0o644)
    with os.fdopen(handle, "wb") as sink, archive.open(member.name) as source:
        shutil.copyfileobj(source, sink, 1 << 20)
    return target


def _find_dist_info(members: tuple[Member, ...], path: Path) -> str:
    folders = sorted({top for member in members if (top := member.name.split("/")[0]).endswith(".dist-info")})
    if len(folders) != 1:
        raise WheelError(
            f"{path.name} holds {'no' if not folders else 'more than one'} .dist-info folder",
            why=f"Found {', '.join(folders)}." if folders else "Without it no installer knows what the wheel is.",
            remedy="Build the wheel again.",
        )
    names = {member.name for member in members}
    missing = [part for part in ("METADATA", "WHEEL", "RECORD") if f"{folders[0]}/{part}" not in names]
    if missing:
        raise WheelError(
            f"{path.name} holds no {folders[0]}/{missing[0]}",
            why="The file may have been cut short, or written by hand.",
            remedy="Build the wheel again.",
        )
    return folders[0]


def _check_identity(wheel: Wheel) -> None:
    """Refuse a wheel whose file name, dist-info folder and METADATA do not all say the same (pip does, too)."""
    stem = wheel.dist_info.removesuffix(".dist-info")
    folder_name, _, folder_version = stem.partition("-")
    claims = {
        f"the folder {wheel.dist_info}": (folder_name, folder_version),
        "METADATA": (wheel.metadata.first("Name"), wheel.metadata.first("Version")),
    }
    for claimant, (name, version) in claims.items():
        if canonicalize_name(name) != wheel.name or _parse_version(version) != wheel.version:
            raise WheelError(
                f"{wheel.path.name} is not what its name says",
                why=f"The file's name says {wheel.name} {wheel.version}, {claimant} says {name} {version}.",
                remedy=_RENAME,
            )


def _parse_version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None
