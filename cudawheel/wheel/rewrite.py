"""One built wheel in, one finished wheel out: named, tagged and pinned, and the same bytes each time.

What a build backend leaves in a wheel depends on the clock, the file system's order and the umask. Here members are
sorted, dated, moded and compressed one way, so that the output depends on the members' contents alone. (And on zlib:
another implementation, zlib-ng say, may compress to other bytes.)
"""

from __future__ import annotations

import io
import itertools
import os
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

from packaging.tags import Tag
from packaging.version import InvalidVersion, Version

from cudawheel.errors import WheelError
from cudawheel.files import disk_errors
from cudawheel.wheel.archive import open_archive
from cudawheel.wheel.metadata import Headers
from cudawheel.wheel.reading import Wheel
from cudawheel.wheel.record import SIGNATURES, RecordRow, compute_digest, write_record

EARLIEST = datetime(1980, 1, 1, tzinfo=timezone.utc)
"""The first instant that a zip file can hold."""

_LAST_YEAR = 2107
_LEVEL = 6
_CHUNK = 1 << 20
_ZIP64_LIMIT = 1 << 31


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is to be different in the new wheel; an empty value leaves the part as it is.

    Attributes:
        local_version: the part behind `+`, replacing any that is there.
        requirements: each takes the place of every requirement on the same project; others stay.
        headers: names and values to add to METADATA; fields that may stand only once are replaced.
        files: names below the dist-info folder, and their contents.
        python: interpreter tag, `cp312` or `cp310.cp311`.
        abi: ABI tag.
        platform: platform tag, `manylinux_2_28_x86_64`.
        timestamp: the date of every member, in UTC, to 2 seconds; 1980 to 2107.
    """

    local_version: str = ""
    requirements: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    python: str = ""
    abi: str = ""
    platform: str = ""
    timestamp: datetime = EARLIEST


def rewrite(source: Path, folder: Path, changes: Changes) -> Path:
    """Write a changed copy of a wheel into `folder` and give its path; a wheel of that name is replaced whole.

    Signatures of the old RECORD are left out, since they no longer hold.

    Raises:
        WheelError: the source cannot be read, or a change cannot be expressed.
        StoreError: the folder cannot be written.
        DiskFullError: it has no room; nothing is left behind.
    """
    wheel = Wheel.read(source)
    plan = _Plan.make(wheel, changes)
    target = folder / plan.file_name
    with _replacing(target) as sink, open_archive(source) as archive:
        _write_members(sink, archive, plan, changes.timestamp)
    return target


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """Where each member of the new wheel comes from: another name in the old one, or bytes."""

    file_name: str
    dist_info: str
    copied: Mapping[str, str]
    written: Mapping[str, bytes]
    executable: frozenset[str]

    @classmethod
    def make(cls, wheel: Wheel, changes: Changes) -> _Plan:
        version = _with_local(wheel.version, changes.local_version)
        stem = f"{wheel.name.replace('-', '_')}-{version}"
        tag_sets = _tag_sets(wheel, changes)
        info = f"{stem}.dist-info"
        written = {
            f"{info}/METADATA": bytes(_metadata(wheel.metadata, version, changes)),
            f"{info}/WHEEL": bytes(wheel.wheel_file.put("Tag", _expand(tag_sets))),
            **{f"{info}/{name}": data for name, data in changes.files.items()},
        }
        folders = {
            wheel.dist_info: info,
            f"{wheel.dist_info.removesuffix('.dist-info')}.data": f"{stem}.data",
        }
        old_record = {f"{wheel.dist_info}/{part}" for part in ("RECORD", *SIGNATURES)}
        copied, executable = {}, set()
        for member in wheel.members:
            top, slash, rest = member.name.partition("/")
            name = f"{folders.get(top, top)}{slash}{rest}"
            if member.name not in old_record and name not in written:
                copied[name] = member.name
            if member.executable or name.startswith(f"{stem}.data/scripts/"):
                executable.add(name)
        build = "".join(str(part) for part in wheel.build)
        file_name = "-".join(part for part in (stem, build, *(".".join(tags) for tags in tag_sets)) if part) + ".whl"
        return cls(
            file_name=file_name, dist_info=info, copied=copied, written=written, executable=frozenset(executable)
        )

    @property
    def order(self) -> tuple[str, ...]:
        """Members as they go into the archive: by name, the dist-info folder last, as PEP 427 recommends."""
        return tuple(sorted((*self.copied, *self.written), key=lambda name: (name.startswith(self.dist_info), name)))


def _with_local(version: Version, local: str) -> Version:
    if not local:
        return version
    try:
        return Version(f"{version.public}+{local}")
    except InvalidVersion as fault:
        raise WheelError(
            f"{local!r} is not a local version",
            remedy="Letters and digits, in segments between dots, such as cu.13.0.torch.2.11.",
        ) from fault


def _tag_sets(wheel: Wheel, changes: Changes) -> tuple[list[str], list[str], list[str]]:
    """Give the three dotted sets of the new file name, each sorted."""
    kept: list[tuple[str, set[str]]] = [
        (changes.python, {tag.interpreter for tag in wheel.tags}),
        (changes.abi, {tag.abi for tag in wheel.tags}),
        (changes.platform, {tag.platform for tag in wheel.tags}),
    ]
    python, abi, platform = (sorted(set(given.split(".")) if given else old) for given, old in kept)
    return python, abi, platform


def _expand(tag_sets: tuple[list[str], list[str], list[str]]) -> tuple[str, ...]:
    return tuple(str(Tag(*parts)) for parts in itertools.product(*tag_sets))


def _metadata(old: Headers, version: Version, changes: Changes) -> Headers:
    new = old.put("Version", (str(version),))
    for requirement in changes.requirements:
        new = new.require(requirement)
    for name, value in changes.headers:
        new = new.add(name, value)
    return new


def _write_members(sink: IO[bytes], archive: zipfile.ZipFile, plan: _Plan, timestamp: datetime) -> None:
    record = f"{plan.dist_info}/RECORD"
    rows = []
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as target:
        for name in plan.order:
            with _open_source(archive, plan, name) as source:
                digest, size = compute_digest(source)
                source.seek(0)
                _write_member(target, _describe(name, size, timestamp, executable=name in plan.executable), source)
            rows.append(RecordRow(path=name, digest=digest, size=str(size)))
        data = write_record((*rows, RecordRow(path=record)))
        _write_member(target, _describe(record, len(data), timestamp, executable=False), io.BytesIO(data))


def _open_source(archive: zipfile.ZipFile, plan: _Plan, name: str) -> IO[bytes]:
    return io.BytesIO(plan.written[name]) if name in plan.written else archive.open(plan.copied[name])


def _describe(name: str, size: int, timestamp: datetime, *, executable: bool) -> zipfile.ZipInfo:
    moment = timestamp.astimezone(timezone.utc)
    if not EARLIEST.year <= moment.year <= _LAST_YEAR:
        raise WheelError(f"a wheel cannot be dated {timestamp:%Y-%m-%d}", remedy="Zip files know 1980 to 2107.")
    info = zipfile.ZipInfo(name, moment.timetuple()[:6])
    info.create_system = 3  # Unix, wherever this runs, so that the modes below count
    info.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    # ZipFile's own level is for names, not for ZipInfo objects; their attribute became public in Python 3.13.
    setattr(info, "compress_level" if hasattr(info, "compress_level") else "_compresslevel", _LEVEL)
    info.file_size = size
    return info


def _write_member(target: zipfile.ZipFile, info: zipfile.ZipInfo, source: IO[bytes]) -> None:
    with target.open(info, "w", force_zip64=info.file_size >= _ZIP64_LIMIT) as member:
        while chunk := source.read(_CHUNK):
            member.write(chunk)


@contextmanager
def _replacing(target: Path) -> Iterator[IO[bytes]]:
    """Give a file that becomes `target` when the block ends well, and vanishes when it does not."""
    with disk_errors(target.parent), ExitStack() as clean_up:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".partial")
        temporary = Path(name)
        clean_up.callback(temporary.unlink, missing_ok=True)
        with os.fdopen(handle, "wb") as sink:
            yield sink
            os.fchmod(sink.fileno(), 0o644)  # mkstemp made it for this user alone
        temporary.replace(target)
