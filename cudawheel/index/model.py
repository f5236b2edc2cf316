"""What an index holds, as frozen values: made by `scan`, read by `pages`, `export` and `app`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

from packaging.utils import NormalizedName
from packaging.version import Version
from typing_extensions import Self

from cudawheel.model.version import CudaVersion

WHEELS = "wheels"
"""Folder of the wheels, beside `simple`, in a served and in an exported index alike."""

OVERALL = ""
"""The name of the channel that holds everything."""

_OWN_CUDA = re.compile(r"(?:^|\.)cu\.(\d{1,3})\.(\d{1,3})(?:\.|$)", re.ASCII)
_TORCH_CUDA = re.compile(r"(?:^|\.)(cu\d{2,4})(?:\.|$)", re.ASCII)
_CHANNEL = re.compile(r"cu\d{2,4}", re.ASCII)
_PLACE_LETTERS = 32


def channel_of(version: Version) -> str:
    """Give the channel of a wheel's version, `cu130`, or an empty string where it names no CUDA.

    Both spellings are known: ours, `+cu.13.0.torch.2.11`, a label in front of it included, and PyTorch's own, `+cu130`.
    """
    local = version.local or ""
    if own := _OWN_CUDA.search(local):
        return CudaVersion(int(own[1]), int(own[2])).channel
    theirs = _TORCH_CUDA.search(local)
    return theirs[1] if theirs else ""


def is_channel_name(name: str) -> bool:
    """Say whether a name is reserved for a channel, so that no project can be listed under it."""
    return _CHANNEL.fullmatch(name) is not None


_quoted = lru_cache(maxsize=1 << 16)(quote)  # each wheel stands on several pages


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One wheel of the index.

    Attributes:
        path: where it lies in the wheelhouse.
        project: its project's normalised name.
        version: local part included.
        size: bytes.
        sha256: of the wheel, 64 hex digits.
        metadata_sha256: of its METADATA, 64 hex digits.
        requires_python: as METADATA says it; empty where it says nothing.
        modified_ns: when the file was last changed, in nanoseconds since 1970; serves as the time of upload.
        inode: of the file when it was read; with `size` and `modified_ns` it tells whether the file is still that one.
        yanked: the reason for which it was withdrawn (PEP 592), which may be empty; None where it was not.
    """

    path: Path
    project: NormalizedName
    version: Version
    size: int
    sha256: str
    metadata_sha256: str
    requires_python: str
    modified_ns: int
    inode: int
    yanked: str | None = None

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.name

    @property
    def place(self) -> str:
        """Where it is served, below the index's root: other bytes never have the same place."""
        return f"{WHEELS}/{self.sha256[:_PLACE_LETTERS]}/{self.name}"

    @property
    def url(self) -> str:
        """The place as the path of a URL. `+` is escaped, which buckets would take for a space."""
        return _quoted(self.place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The wheels of one project in one channel, the oldest version first."""

    name: NormalizedName
    files: tuple[File, ...]

    @property
    def versions(self) -> tuple[str, ...]:
        """Every version once, in order (PEP 700)."""
        return tuple(dict.fromkeys(str(file.version) for file in self.files))


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """What can be installed from one address.

    Attributes:
        name: `cu130`, or empty for the channel of everything.
        projects: by normalised name, in its order.
    """

    name: str
    projects: Mapping[str, Project]

    @property
    def folder(self) -> str:
        """Where its pages are, below the index's root, with a slash at the end."""
        return f"simple/{self.name}/" if self.name else "simple/"

    @classmethod
    def of(cls, name: str, files: Iterable[File]) -> Self:
        """Sort files into projects."""
        sorted_files: dict[NormalizedName, list[File]] = {}
        for file in sorted(files, key=lambda file: (file.project, file.version, file.name)):
            sorted_files.setdefault(file.project, []).append(file)
        projects: dict[str, Project] = {
            project: Project(name=project, files=tuple(held)) for project, held in sorted_files.items()
        }
        return cls(name=name, projects=MappingProxyType(projects))


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """Everything that a wheelhouse offers.

    Attributes:
        channels: by name; the one of everything is always there, under the empty name.
        files: every wheel by its place.
    """

    channels: Mapping[str, Channel]
    files: Mapping[str, File] = field(repr=False)

    @classmethod
    def of(cls, files: Iterable[File]) -> Self:
        """Sort files into channels."""
        held = tuple(files)
        by_channel: dict[str, list[File]] = {OVERALL: list(held)}
        for file in held:
            if channel := channel_of(file.version):
                by_channel.setdefault(channel, []).append(file)
        channels = {name: Channel.of(name, chosen) for name, chosen in sorted(by_channel.items())}
        return cls(channels=MappingProxyType(channels), files=MappingProxyType({file.place: file for file in held}))

    def sharing_with(self, other: Self) -> Self:
        """Give the same index with every project that `other` has equally taken from there.

        Pages that were rendered for a project can then be found by its identity, and only what changed is rendered.
        """
        channels = {}
        for name, channel in self.channels.items():
            known = other.channels[name].projects if name in other.channels else {}
            projects = {
                key: known[key] if key in known and known[key] == project else project
                for key, project in channel.projects.items()
            }
            channels[name] = replace(channel, projects=MappingProxyType(projects))
        return replace(self, channels=MappingProxyType(channels))
