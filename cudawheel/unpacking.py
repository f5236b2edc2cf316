"""Unpacking archives from outside without trusting them."""

from __future__ import annotations

import errno
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Set as AbstractSet
from lzma import LZMAError
from pathlib import Path, PurePosixPath

from cudawheel.errors import SourceUnsafeError

# What the readers raise on damage; RuntimeError is zipfile's for encrypted members.
_UNREADABLE = (
    *(tarfile.TarError, zipfile.BadZipFile, LZMAError, zlib.error, struct.error),
    *(EOFError, LookupError, OverflowError, RuntimeError, ValueError),
)

# What the system says when members are in each other's way, as a file in the place of a link to nowhere; bz2 and gzip
# report damage without a number.
_CONTRADICTION = (
    *(None, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENOENT),
    *(errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL),
)


def unpack(archive: Path, into: Path) -> None:
    """Unpack a .zip or a tar of any compression into a new folder.

    Every member is checked before the first one is written.

    Raises:
        SourceUnsafeError: a member is absolute, climbs out with `..`, links out of the folder, or is a device; or the
            archive is damaged.
    """
    into.mkdir(parents=True, exist_ok=True)
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, into)
        else:
            _unpack_tar(archive, into)
    except _UNREADABLE as error:
        raise _unreadable(archive, error) from error
    except OSError as error:
        if error.errno not in _CONTRADICTION or not archive.exists():
            raise
        raise _unreadable(archive, error) from error


def _unpack_tar(archive: Path, into: Path) -> None:
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
        links = {PurePosixPath(member.name).parts for member in members if member.issym()}
        for member in members:
            _refuse_path(archive, member.name)
            if member.issym() or member.islnk():
                _refuse_link(archive, member, links)
            if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
                raise _unsafe(archive, member.name, "is a device or a pipe")
            member.uid = member.gid = os.getuid()
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        # `data` refuses the same once more, and links through links; Pythons before 3.10.12 do not know it.
        if hasattr(tarfile, "data_filter"):
            tar.extractall(into, members=members, filter="data")
        else:
            tar.extractall(into, members=members)  # noqa: S202 - every member was checked above


def _refuse_link(archive: Path, member: tarfile.TarInfo, links: AbstractSet[tuple[str, ...]]) -> None:
    """Follow a link by its text; `..` may lead neither out of the folder nor back from where another link led to."""
    target = PurePosixPath(member.linkname)
    # A hard link names a member from the archive's top, a symbolic one from the folder that it lies in.
    here = [] if member.islnk() else list(PurePosixPath(member.name).parent.parts)
    outside = target.is_absolute()
    for step in target.parts:
        if step != "..":
            here.append(step)
            continue
        outside = outside or not here or tuple(here) in links
        del here[-1:]
    if outside:
        raise _unsafe(archive, member.name, f"links to {member.linkname}, outside of the source folder")
    if member.islnk() and tuple(here) in links:
        raise _unsafe(archive, member.name, f"is a hard link to {member.linkname}, which is a link itself")


def _unpack_zip(archive: Path, into: Path) -> None:
    with zipfile.ZipFile(archive) as bundle:
        for info in bundle.infolist():
            _refuse_path(archive, info.filename)
            if stat.S_ISLNK(info.external_attr >> 16):
                raise _unsafe(archive, info.filename, "is a link")
        bundle.extractall(into)  # noqa: S202 - every member was checked above
        for info in bundle.infolist():
            if (info.external_attr >> 16) & 0o100 and not info.is_dir():
                (into / info.filename).chmod(0o755)


def _refuse_path(archive: Path, name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise _unsafe(archive, name, "would be written outside of the source folder")


def _unreadable(archive: Path, error: Exception) -> SourceUnsafeError:
    return SourceUnsafeError(
        f"{archive.name} cannot be unpacked",
        why=str(error) or type(error).__name__,
        remedy="The file is damaged or of an unknown kind; allowed are .zip and .tar with gz, bz2 or xz.",
    )


def _unsafe(archive: Path, member: str, reason: str) -> SourceUnsafeError:
    return SourceUnsafeError(
        f"{archive.name} is not safe to unpack",
        why=f"its member {member!r} {reason}",
        remedy="Do not build it. An honest archive holds nothing of the kind.",
    )
