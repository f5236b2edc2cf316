"""The zip file under a wheel: what may be in it, and how it is opened without trusting it.

Rules of what a wheel's archive looks like: PyPA "Binary distribution format" (PEP 427). The checks on names are ours,
since the specification leaves them to installers: each kind refused here has been used to write outside the folder
that a wheel was unpacked into, or to show one file to a checker and another to an installer.
"""

from __future__ import annotations

import contextlib
import lzma
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cudawheel.errors import WheelError

_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a compression method that this Python lacks
    RuntimeError,  # an encrypted member
)
_UNOPENABLE = (
    *_UNREADABLE,
    OSError,
    struct.error,
    ValueError,  # a directory that begins before the file does, or a name that is not what its flag says
)
_REBUILD = "Build or download the wheel again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file in a wheel.

    Attributes:
        name: its path in the archive, with forward slashes.
        size: bytes when unpacked.
        executable: whether any of its execute bits is set.
    """

    name: str
    size: int
    executable: bool


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a wheel's archive, turning every way in which it can be damaged into one error.

    Raises:
        WheelError: the file is missing, is no zip file, is cut short, or a member read inside the block is damaged.
    """
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError as missing:
        raise WheelError(f"{path} does not exist", remedy="Check the path of the wheel.") from missing
    except _UNOPENABLE as damage:
        raise _damaged(path, damage) from damage
    with archive:
        try:
            yield archive
        except _UNREADABLE as damage:
            raise _damaged(path, damage) from damage


def list_members(archive: zipfile.ZipFile, path: Path) -> tuple[Member, ...]:
    """List the files of an archive, in name order, after checking every name. Folder entries carry nothing.

    Raises:
        WheelError: a name leaves the archive, is there twice, or differs from another only in case or Unicode form;
            or a member is a link.
    """
    seen: dict[str, str] = {}
    members = []
    for info in archive.infolist():
        _check_name(info.orig_filename, path)
        mode = info.external_attr >> 16
        if stat.S_ISLNK(mode):
            raise WheelError(
                f"{path.name} holds a symbolic link, {info.filename!r}",
                remedy="Wheels cannot carry links; have the build copy the file instead.",
            )
        if info.is_dir():
            continue
        folded = unicodedata.normalize("NFC", info.filename).casefold()
        if folded in seen:
            raise _clash(path, seen[folded], info.filename)
        seen[folded] = info.filename
        members.append(Member(name=info.filename, size=info.file_size, executable=bool(mode & 0o111)))
    return tuple(sorted(members, key=lambda member: member.name))


def _check_name(name: str, path: Path) -> None:
    """Refuse names that an installer could resolve to somewhere outside, or that not every system can hold."""
    parts = name.removesuffix("/").split("/")
    reason = (
        "is empty"
        if not name
        else "is absolute"
        if name.startswith("/") or name[1:2] == ":"
        else "has a backslash, which Windows takes for a folder"
        if "\\" in name
        else "holds a control character"
        if any(ord(letter) < ord(" ") for letter in name)
        else "does not stay inside the wheel, or is not in its shortest form"
        if any(part in {"", ".", ".."} for part in parts)
        else ""
    )
    if reason:
        raise WheelError(
            f"{path.name} holds a file with an unsafe name, {name!r}",
            why=f"The name {reason}.",
            remedy="Do not install this wheel; rebuild it with a build backend that writes plain relative names.",
        )


def _damaged(path: Path, damage: Exception) -> WheelError:
    why = f"{type(damage).__name__}: {damage}"
    return WheelError(f"{path} cannot be read as a wheel", why=why, remedy=_REBUILD)


def _clash(path: Path, first: str, second: str) -> WheelError:
    if first == second:
        return WheelError(
            f"{path.name} holds {first!r} twice",
            why="Which of the two is installed depends on the installer.",
            remedy=_REBUILD,
        )
    return WheelError(
        f"{path.name} holds both {first!r} and {second!r}",
        why="They differ only in case or Unicode form, and are one file on some file systems.",
        remedy="Rename one of them in the package's sources.",
    )
