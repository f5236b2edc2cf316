"""An index as static files, for any web server or bucket.

    DIR/simple/index.html, index.json                       the projects
    DIR/simple/PROJECT/index.html, index.json               the files of one
    DIR/simple/cu130/…                                      the same of a channel
    DIR/wheels/<first half of the sha256>/NAME.whl          the wheel
    DIR/wheels/<first half of the sha256>/NAME.whl.metadata its METADATA

A reader never meets a half state. Wheels lie where no other bytes can ever lie, so nothing that a page points to is
overwritten: new wheels come first, then every changed page by a rename, projects before the lists that name them, and
what no page names any more goes last. All pages are written beside their places before the first is renamed, so that a
full disk changes nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from cudawheel.errors import StoreError, UsageError
from cudawheel.files import disk_errors, write_together
from cudawheel.index.examine import read_metadata
from cudawheel.index.model import OVERALL, WHEELS, Channel, File, Index
from cudawheel.index.pages import Format, project_list, project_pages

MARKER = ".cudawheel-index"
"""The file that says that a folder is an export, whose `simple` and `wheels` may be changed."""

_FORMATS = {"index.html": Format.HTML, "index.json": Format.JSON_V1}
_PAGES = "simple"
_NEW = ".new"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export did.

    Attributes:
        wheels: how many wheels there are.
        added: how many of them were not there before.
        pages: how many pages were written.
        removed: how many files were taken away.
    """

    wheels: int
    added: int
    pages: int
    removed: int


def export(index: Index, folder: Path, *, wheelhouse: Path) -> Exported:
    """Make a folder show an index, changing only what differs.

    Args:
        index: what to show.
        folder: where; made if it is missing.
        wheelhouse: the folder that the wheels come from, which may not hold `folder` or lie in it.

    Raises:
        UsageError: the folder holds something that is no export, or is entangled with the wheelhouse.
        WheelError: a wheel was damaged since it was read.
        DiskFullError: no space is left; no page was changed.
        StoreError: the folder cannot be written, another export is at work in it, or a wheel has vanished.
    """
    _require_apart(folder, wheelhouse)
    with disk_errors(folder):
        _claim(folder)
        lock = FileLock(folder / f"{MARKER}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as held:
            raise StoreError(
                f"another export is at work in {folder}", remedy="Wait until it is done, then try again."
            ) from held
        with lock:
            return _export(index, folder)


def _export(index: Index, folder: Path) -> Exported:
    present = dict(_present(folder))
    added = 0
    for file in index.files.values():
        if present.get(file.place) != file.size or f"{file.place}.metadata" not in present:
            _put_wheel(file, folder)
            added += 1
    pages = dict(_pages(index))
    changed = {
        folder / path: page
        for path, page in pages.items()
        if present.get(path) != len(page) or (folder / path).read_bytes() != page
    }
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
    write_together(changed)
    wanted = {*pages, *index.files, *(f"{place}.metadata" for place in index.files)}
    unwanted = sorted(present.keys() - wanted, key=_leaving)
    for name in unwanted:
        (folder / name).unlink(missing_ok=True)
    _drop_empty_folders({(folder / name).parent for name in unwanted}, folder)
    return Exported(wheels=len(index.files), added=added, pages=len(changed), removed=len(unwanted))


def _leaving(path: str) -> tuple[bool, int, str]:
    """Order what goes: lists before the pages they name, pages before the wheels they name."""
    return not path.startswith(f"{_PAGES}/"), path.count("/"), path


def _pages(index: Index) -> Iterator[tuple[str, bytes]]:
    """Give every page with its path, in the order in which they may appear: projects, then lists; channels first."""
    channels = [*(channel for name, channel in index.channels.items() if name != OVERALL), index.channels[OVERALL]]
    for channel in channels:
        yield from _project_pages(channel)
    for channel in channels:
        for name, form in _FORMATS.items():
            yield f"{channel.folder}{name}", project_list(channel, form)


def _project_pages(channel: Channel) -> Iterator[tuple[str, bytes]]:
    for project in channel.projects.values():
        pages = project_pages(project, channel, _FORMATS.values())
        for name, page in zip(_FORMATS, pages, strict=True):
            yield f"{channel.folder}{project.name}/{name}", page


def _put_wheel(file: File, folder: Path) -> None:
    """Put a wheel and its METADATA to their place, by one rename of a folder that holds the two."""
    target = (folder / file.place).parent
    new = folder / WHEELS / _NEW  # there is one at a time: the lock is held
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    wheel, metadata = new / file.name, new / f"{file.name}.metadata"
    try:
        _link_or_copy(file, wheel)
        status = wheel.stat()
        if (status.st_size, status.st_mtime_ns) != (file.size, file.modified_ns):
            raise _changed(file)
        metadata.write_bytes(read_metadata(wheel, file.metadata_sha256))
    except FileNotFoundError as gone:
        raise _changed(file) from gone
    try:
        new.rename(target)
    except OSError:
        # The folder is there: for the same bytes under another name, or since one of the two was lost or damaged.
        for path in (wheel, metadata):
            path.replace(target / path.name)
        shutil.rmtree(new, ignore_errors=True)


def _link_or_copy(file: File, target: Path) -> None:
    try:
        os.link(file.path, target)
    except OSError:
        shutil.copyfile(file.path, target)
        target.chmod(0o644)
        os.utime(target, ns=(file.modified_ns, file.modified_ns))


def _changed(file: File) -> StoreError:
    return StoreError(
        f"{file.path} changed while it was being exported", remedy="Export again; the pages are still the old ones."
    )


def _present(folder: Path) -> Iterator[tuple[str, int]]:
    """Give the files of an export with their sizes in bytes, paths below the folder, and what was left half-written."""
    for top in (_PAGES, WHEELS):
        waiting = [top]
        while waiting:
            place = waiting.pop()
            try:
                entries = list(os.scandir(folder / place))
            except FileNotFoundError:
                continue
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{place}/{entry.name}")
                else:
                    yield f"{place}/{entry.name}", entry.stat(follow_symlinks=False).st_size


def _drop_empty_folders(folders: set[Path], top: Path) -> None:
    for start in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        folder = start
        while folder.parent != top:
            try:
                folder.rmdir()
            except OSError:
                break  # not empty, or gone
            folder = folder.parent


def _require_apart(folder: Path, wheelhouse: Path) -> None:
    inside, outside = folder.resolve(), wheelhouse.resolve()
    if inside == outside or inside.is_relative_to(outside) or outside.is_relative_to(inside):
        raise UsageError(
            f"{folder} and the wheelhouse {wheelhouse} lie in one another",
            why="The exported wheels would be taken for wheels of the wheelhouse, or the other way round.",
            remedy="Export into a folder of its own.",
        )


def _claim(folder: Path) -> None:
    """Make the folder, or make sure that it is an export.

    Raises:
        UsageError: it is something else, which an export would damage.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / MARKER).exists():
        return
    if any(folder.iterdir()):
        raise UsageError(
            f"{folder} holds files and is no exported index",
            remedy="Name an empty folder, or one that was exported before.",
        )
    (folder / MARKER).touch()
