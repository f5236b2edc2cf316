"""From a folder of files to an index: every wheel that is sound, and the reason for each that is not offered."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import canonicalize_name

from cudawheel.errors import StoreError, WheelError
from cudawheel.index import remembered
from cudawheel.index.examine import Examined, Stamp, examine
from cudawheel.index.model import File, Index
from cudawheel.index.yanking import ENDING, read_reason

_WHEEL = ".whl"
_VERDICT = ".verified/"
_README = "README.md"


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One file that is not offered, and why.

    Attributes:
        path: below the wheelhouse.
        reason: one line.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A wheelhouse as it was found.

    Attributes:
        index: what is offered.
        findings: what is not, in the order of their paths.
        names: every project that a wheel here is named after, offered or not. None of them may come from elsewhere.
        folders: the wheelhouse and the folders in it, as paths below it, with their time of change in nanoseconds.
        unsettled: wheels that may still be in the making, as paths below it, with their stamps.
    """

    index: Index
    findings: tuple[Finding, ...] = ()
    names: frozenset[str] = frozenset()
    folders: tuple[tuple[str, int], ...] = ()
    unsettled: tuple[tuple[str, Stamp], ...] = ()


@dataclass(slots=True)
class _Listing:
    """What a walk through the wheelhouse came by."""

    wheels: dict[str, Stamp] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    folders: dict[str, int] = field(default_factory=dict)


class Scanner:
    """Reads one wheelhouse again and again, each wheel once.

    What a wheel told is remembered by its size, time of change and inode, here and in a sidecar file; what is wrong
    with one is remembered here alone, together with its build record's time of change.
    """

    def __init__(self, wheelhouse: Path) -> None:
        self.wheelhouse = wheelhouse
        self._known: dict[str, Examined] | None = None
        self._refused: dict[str, tuple[Stamp, int, str]] = {}
        self._files: dict[str, tuple[Examined, File]] = {}
        self._last = Index.of(())

    def scan(self) -> Survey:
        """Give the wheelhouse as it is now.

        Raises:
            StoreError: the wheelhouse is no folder, or cannot be read.
        """
        try:
            listing = _list(self.wheelhouse)
        except OSError as fault:
            raise StoreError(
                f"{self.wheelhouse} cannot be read", why=str(fault), remedy="Name the folder that holds the wheels."
            ) from fault
        known, reasons = self._examine_all(listing)
        offered, clashes = _without_clashes(known)
        findings = [Finding(path, reason) for path, reason in {**reasons, **clashes}.items()]
        findings += [Finding(path, "a link, which is not followed") for path in listing.links]
        findings += [Finding(path, reason) for path in listing.others if (reason := _stray(path, listing))]
        yanked = {path.removesuffix(ENDING) for path in listing.others if path.endswith(ENDING)}
        self._files = {path: (item, self._file(path, item, yanked=path in yanked)) for path, item in offered.items()}
        self._last = Index.of(file for _item, file in self._files.values()).sharing_with(self._last)
        return Survey(
            index=self._last,
            findings=tuple(sorted(findings)),
            names=frozenset(_project_of(path) for path in (*listing.wheels, *listing.links) if path.endswith(_WHEEL)),
            folders=tuple(listing.folders.items()),
            unsettled=tuple((path, listing.wheels[path]) for path in reasons),
        )

    def _examine_all(self, listing: _Listing) -> tuple[dict[str, Examined], dict[str, str]]:
        """Give what every sound wheel told, and the reason against every other one."""
        before = remembered.load(self.wheelhouse) if self._known is None else self._known
        known: dict[str, Examined] = {}
        refused: dict[str, tuple[Stamp, int, str]] = {}
        new = 0
        for path, stamp in listing.wheels.items():
            if path in before and before[path].stamp == stamp:
                known[path] = before[path]
                continue
            recorded_ns = _time_of(self.wheelhouse / f"{path}.json")
            if path in self._refused and self._refused[path][:2] == (stamp, recorded_ns):
                refused[path] = self._refused[path]
                continue
            try:
                known[path] = examine(self.wheelhouse / path)
                new += 1
            except WheelError as fault:
                refused[path] = (stamp, recorded_ns, " ".join(f"{fault.what}. {fault.why}".split()))
            except FileNotFoundError:
                continue  # gone since the folder was listed
            except OSError as fault:
                refused[path] = (stamp, recorded_ns, str(fault))
        if new or known.keys() != before.keys():
            remembered.save(self.wheelhouse, known)
        self._known, self._refused = known, refused
        return known, {path: reason for path, (_stamp, _time, reason) in refused.items()}

    def _file(self, path: str, item: Examined, *, yanked: bool) -> File:
        """Give the file of a wheel: the same as the last time where nothing changed, since many are compared."""
        place = self.wheelhouse / path
        reason = read_reason(place) if yanked else None
        before = self._files.get(path)
        if before is not None and before[0] is item and before[1].yanked == reason:
            return before[1]
        return File(
            path=place,
            project=item.project,
            version=item.version,
            size=item.stamp.size,
            sha256=item.sha256,
            metadata_sha256=item.metadata_sha256,
            requires_python=item.requires_python,
            modified_ns=item.stamp.modified_ns,
            inode=item.stamp.inode,
            yanked=reason,
        )


def _list(wheelhouse: Path) -> _Listing:
    """Walk through a wheelhouse; hidden files and folders are passed over, since what is being written is hidden."""
    listing = _Listing()
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            # Its time is taken before its content is: what is added in between is then found by the next look.
            modified_ns = (wheelhouse / folder).stat().st_mtime_ns
            with os.scandir(wheelhouse / folder) as entries:
                waiting += [path for entry in entries if (path := _sort_in(entry, folder, listing))]
        except FileNotFoundError:
            if not folder:
                raise
            continue  # gone since the folder above it was listed
        listing.folders[folder] = modified_ns
    return listing


def _sort_in(entry: os.DirEntry[str], folder: str, listing: _Listing) -> str:
    """Put an entry where it belongs in the listing; gives its path if it is a folder to be walked through."""
    path = f"{folder}/{entry.name}" if folder else entry.name
    if entry.name.startswith("."):
        return ""
    if entry.is_symlink():
        listing.links.append(path)
    elif entry.is_dir():
        return path
    elif not entry.name.endswith(_WHEEL) or not entry.is_file():
        listing.others.append(path)
    else:
        try:
            listing.wheels[path] = Stamp.of(entry.stat())
        except FileNotFoundError:
            return ""  # gone since the folder was listed
    return ""


def _stray(path: str, listing: _Listing) -> str:
    """Say why a file that is no wheel should not be here; empty where it belongs to a wheel beside it.

    Such are `NAME.whl.json` and the like, and what `cudawheel verify` puts into the folder `NAME.verified`. And a
    README may say what the folder is for.
    """
    if path == _README:
        return ""
    for separator in (f"{_WHEEL}.", _VERDICT):
        stem, found, _ = path.partition(separator)
        if found and f"{stem}{_WHEEL}" in listing.wheels:
            return ""
    return "not a wheel"


def _without_clashes(known: dict[str, Examined]) -> tuple[dict[str, Examined], dict[str, str]]:
    """Leave out all wheels that an installer would take for the same one although their bytes differ.

    Of copies of one wheel, the same to the byte, the first by path is kept.
    """
    alike: dict[str, list[str]] = {}
    for path in sorted(known):
        alike.setdefault(known[path].identity, []).append(path)
    kept, reasons = {}, {}
    for paths in alike.values():
        if len({known[path].sha256 for path in paths}) == 1:
            kept[paths[0]] = known[paths[0]]
            continue
        for path in paths:
            others = ", ".join(other for other in paths if other != path)
            reasons[path] = f"the same wheel by name as {others}, with other bytes; none of them is offered"
    return kept, reasons


def _project_of(path: str) -> str:
    return canonicalize_name(path.rpartition("/")[2].split("-")[0])


def _time_of(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
