"""Wheels on their way between this machine's store and others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cudawheel.errors import (
    AuditError,
    CudawheelError,
    DiskFullError,
    ProvenanceError,
    RemoteStoreError,
    StoredWheelError,
    WheelError,
)
from cudawheel.factory.job import Job, first_known
from cudawheel.factory.stranger import Check, require_readable, require_sound
from cudawheel.files import disk_errors
from cudawheel.model.progress import Progress
from cudawheel.store.remote import Pushed, RemoteEntry, RemoteStore
from cudawheel.store.store import Store, StoredWheel

NOT_SOUND = (StoredWheelError, WheelError, AuditError)
"""What is wrong with one wheel and says nothing of the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """What became of one wheel on its way.

    Attributes:
        fingerprint: of its inputs.
        name: of its file, empty where that never came to light.
        result: in a few words.
        moved: whether it was copied.
        fault: why it was not, where something is wrong.
    """

    fingerprint: str
    name: str = ""
    result: str
    moved: bool = False
    fault: CudawheelError | None = None


def fetch_into(
    store: Store,
    remote: RemoteStore,
    entry: RemoteEntry,
    progress: Progress,
    check: Check = require_sound,
) -> StoredWheel:
    """Fetch a wheel, check it as one that a stranger built, and keep it.

    Args:
        store: where it is kept.
        remote: where it comes from.
        entry: which one.
        progress: told how much has come.
        check: raises if it is not to be used.

    Raises:
        RemoteStoreError: it does not come.
        StoredWheelError, WheelError, AuditError: it is not what it should be.
        StoreError: the store cannot be written.
    """
    with store.workspace() as folder:
        stored, beside = remote.fetch(entry, folder, progress)
        for companion, content in beside.items():
            with disk_errors(store.root):
                stored.wheel.with_name(companion).write_bytes(content)
        check(stored)
        return store.add(entry.fingerprint, stored.wheel, stored.record, beside)


def from_remote(jobs: list[Job], store: Store, url: str, progress: Progress, more: Sequence[Check] = ()) -> Job | None:
    """Look a request up in a remote store, and bring what it has of it into this one.

    A remote store that fails is said and costs the time of a build, nothing more; so does a wheel that is not sound.

    Args:
        jobs: one for each source, in order.
        store: this machine's.
        url: address of the other one.
        progress: told what goes on.
        more: further checks of what comes.

    Returns:
        The job whose wheel is now in the store, or None.

    Raises:
        UsageError: the address cannot be read.
        ExtraMissingError: the packages for it are not installed.
        DiskFullError: no space is left here.
    """
    remote = RemoteStore(url)
    progress.phase("remote store", remote.url)
    try:
        known = first_known(jobs, lambda fingerprint: _look(remote, fingerprint))
        if known is None:
            progress.note(f"{remote.url} does not have this wheel")
            return None
        job, entry = known
        with store.claim(job.fingerprint, progress):
            missing = store.find(job.fingerprint) is None  # or another process was faster
            if missing:
                fetch_into(store, remote, entry, progress, _as_built_by(job, more))
    except DiskFullError:
        raise
    except CudawheelError as error:
        progress.note(f"WARNING: {error.what} ({error.why.splitlines()[0] if error.why else error.title})")
        progress.note("building instead")
        return None
    if missing:
        progress.note(f"{entry.file} taken from {remote.url} and checked")
    return job


def signed_by(trusted: Sequence[Path]) -> tuple[Check, ...]:
    """Give the check that one of some public keys has signed a wheel's provenance; none where no key is named.

    Raises:
        KeyFileError: a key cannot be read.
        ExtraMissingError: `cudawheel[sign]` is not installed.
    """
    if not trusted:
        return ()
    from cudawheel.provenance.check import check_provenance  # noqa: PLC0415 - few ask for signatures
    from cudawheel.provenance.keys import load_public_key  # noqa: PLC0415

    keys = tuple(load_public_key(path) for path in trusted)

    def check(stored: StoredWheel) -> None:
        check_provenance(stored.wheel, keys, fingerprint=str(stored.record.get("fingerprint", "")))

    return (check,)


def _as_built_by(job: Job, more: Sequence[Check]) -> Callable[[StoredWheel], None]:
    def check(stored: StoredWheel) -> None:
        require_sound(stored, job, more)

    return check


def _look(remote: RemoteStore, fingerprint: str) -> RemoteEntry | None:
    entry = remote.look(fingerprint)
    if entry is not None:
        require_readable(entry.record)
    return entry


def push_all(store: Store, remote: RemoteStore, fingerprints: Sequence[str]) -> Iterator[Exchanged]:
    """Put wheels into a remote store, one after the other.

    Raises:
        RemoteStoreError: it cannot be reached or written; what was pushed before stays there.
    """
    for fingerprint in fingerprints:
        with store.reading(fingerprint, counts_as_use=False) as stored:
            if stored is None:
                gone = StoredWheelError("it is damaged and was set aside, or somebody has removed it")
                yield Exchanged(fingerprint=fingerprint, result="not sound", fault=gone)
                continue
            result = remote.push(fingerprint, stored)
        copied = result in {Pushed.UPLOADED, Pushed.MENDED, Pushed.COMPLETED}
        yield Exchanged(fingerprint=fingerprint, name=stored.wheel.name, result=result.value, moved=copied)


def pull_all(
    store: Store,
    remote: RemoteStore,
    fingerprints: Sequence[str],
    progress: Progress,
    check: Check = require_sound,
    *,
    more: Sequence[Check] = (),
) -> Iterator[Exchanged]:
    """Take wheels out of a remote store, one after the other, each checked as one that a stranger built.

    Args:
        store: where they are kept.
        remote: where they come from.
        fingerprints: which.
        progress: told how much has come.
        check: raises if a wheel is not to be kept.
        more: further checks, of wheels that are here already too: a signature that is required is required of them.

    Raises:
        RemoteStoreError: it cannot be reached.
        StoreError: the store cannot be written.
    """
    exchange = _Exchange(store=store, remote=remote, progress=progress, check=check, more=more)
    for fingerprint in fingerprints:
        yield _pull(exchange, fingerprint)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exchange:
    store: Store
    remote: RemoteStore
    progress: Progress
    check: Check
    more: Sequence[Check]

    def require(self, stored: StoredWheel) -> None:
        for check in (self.check, *self.more):
            check(stored)


def _pull(exchange: _Exchange, fingerprint: str) -> Exchanged:
    try:
        return _pull_sound(exchange, fingerprint)
    except (*NOT_SOUND, ProvenanceError) as fault:
        return Exchanged(fingerprint=fingerprint, result="not kept", fault=fault)


def _pull_sound(exchange: _Exchange, fingerprint: str) -> Exchanged:
    store, remote = exchange.store, exchange.remote
    entry = remote.look(fingerprint)
    if entry is None:
        absent = RemoteStoreError(f"{remote.url} has no wheel of fingerprint {fingerprint}")
        return Exchanged(fingerprint=fingerprint, result="not there", fault=absent)
    with store.claim(fingerprint, exchange.progress):
        mine = store.find(fingerprint)
        if mine is not None and mine.sha256 != entry.sha256:
            result = "another wheel of this fingerprint is here, and stays"
            return Exchanged(fingerprint=fingerprint, name=entry.file, result=result)
        # The same wheel may have been signed there since, and is then fetched as a whole: each entry is whole.
        if mine is None or any(mine.companion(name) is None for name in remote.beside(entry)):
            exchange.progress.phase("fetching", entry.file)
            fetch_into(store, remote, entry, exchange.progress, exchange.require)
            return Exchanged(fingerprint=fingerprint, name=entry.file, result="fetched and checked", moved=True)
        for check in exchange.more:
            check(mine)
    return Exchanged(fingerprint=fingerprint, name=entry.file, result="here already")
