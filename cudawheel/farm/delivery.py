"""From the shared store into this machine's store and wheelhouse."""

from __future__ import annotations

from collections.abc import Callable

from cudawheel.builder.identity import candidates
from cudawheel.errors import CudawheelError, HostCompilerError, RemoteStoreError, StoredWheelError
from cudawheel.factory.exchange import fetch_into, from_remote
from cudawheel.factory.factory import Outcome, deliver
from cudawheel.factory.job import Job, first_known
from cudawheel.factory.request import BuildRequest
from cudawheel.factory.stranger import require_sound
from cudawheel.model.progress import Progress
from cudawheel.recipe.loading import load_recipe
from cudawheel.store.remote import RemoteStore
from cudawheel.store.store import Store, StoredWheel


def jobs_of(request: BuildRequest) -> list[Job]:
    """Give the jobs of a request, one for each source that may be tried, in order."""
    loaded = load_recipe(request.recipe)
    return [Job(request, loaded, source) for source in candidates(loaded, request.source)]


def find_done(request: BuildRequest, progress: Progress) -> Outcome | None:
    """Give the wheel of a request if this machine's store or the shared one has it; nothing is built.

    Where this machine has no host compiler, nobody can say what its fingerprint would be: None, and a worker finds it.

    Raises:
        RemoteStoreError: the shared store cannot be reached.
        StoreError: the store or the wheelhouse cannot be written.
    """
    if not request.reuse:
        return None
    jobs, store = jobs_of(request), Store(request.cache / "store")
    try:
        known = first_known(jobs, store.find)
        if known is not None:
            _compare(known[1], request.remote, str(known[1].record["fingerprint"]), progress)
            job = known[0]
        else:
            taken = from_remote(jobs, store, request.remote, _OnlyWarnings(progress))
            if taken is None:
                return None
            job = taken
    except HostCompilerError:
        return None
    with store.reading(job.fingerprint) as stored:
        return None if stored is None else deliver(job, stored, progress, cached=True)


def fetch_done(request: BuildRequest, fingerprint: str, progress: Progress, *, cached: bool) -> Outcome:
    """Bring a wheel that a worker has put into the shared store into this machine's store, and into the wheelhouse.

    It is checked as one that a stranger built: the worker is somebody else's machine for all that is known.

    Args:
        request: what it was built for.
        fingerprint: under which the worker stored it; with another host compiler it is another than here.
        progress: told what goes on.
        cached: whether it was built before this run.

    Raises:
        RemoteStoreError: the shared store cannot be reached, or does not have it.
        StoredWheelError, WheelError, AuditError: it is not what it should be.
        StoreError: the store or the wheelhouse cannot be written.
    """
    store, remote = Store(request.cache / "store"), RemoteStore(request.remote)
    entry = remote.look(fingerprint)
    if entry is None:
        raise RemoteStoreError(
            f"{remote.url} does not have the wheel that a worker has put there",
            why=f"fingerprint {fingerprint}",
            remedy="See that the address means the same store on all machines; a folder has to be a shared one.",
        )
    job = _job_of(request, str(entry.record["source"]["label"]))
    with store.claim(fingerprint, progress):
        mine = store.find(fingerprint)
        if mine is None:
            progress.phase("fetching", entry.file)
            fetch_into(store, remote, entry, progress, _as_built_by(job))
        else:
            if mine.sha256 != entry.sha256:
                _warn(mine.sha256, entry.sha256, remote.url, fingerprint, progress)
            # Sound it is, but the fingerprint is the worker's word: it may be that of another cell.
            require_sound(mine, job)
    with store.reading(fingerprint) as stored:
        if stored is None:
            raise StoredWheelError(f"{entry.file} was removed from this machine's store at this very moment")
        return deliver(job, stored, progress, cached=cached)


def say_other(request: BuildRequest, fingerprint: str, built: str, progress: Progress) -> None:
    """Say that a worker has built other bytes than the shared store holds under the same fingerprint.

    Args:
        request: what was built.
        fingerprint: of both.
        built: sha256 of what the worker has built.
        progress: who is told.

    Raises:
        RemoteStoreError: the shared store cannot be reached.
    """
    remote = RemoteStore(request.remote)
    entry = remote.look(fingerprint)
    if entry is not None and entry.sha256 != built:
        _warn(built, entry.sha256, remote.url, fingerprint, progress)


def _job_of(request: BuildRequest, label: str) -> Job:
    jobs = jobs_of(request)
    for job in jobs:
        if job.source.label == label:
            return job
    raise StoredWheelError(
        f"a worker has built source {label!r}, which {request.recipe.name} does not have",
        why=f"It has {', '.join(repr(job.source.label) for job in jobs)}.",
        remedy="The recipe was changed while the farm was at work: start the same command again.",
    )


def _as_built_by(job: Job) -> Callable[[StoredWheel], None]:
    def check(stored: StoredWheel) -> None:
        require_sound(stored, job)

    return check


def _compare(mine: StoredWheel, url: str, fingerprint: str, progress: Progress) -> None:
    try:
        entry = RemoteStore(url).look(fingerprint)
    except CudawheelError as error:
        progress.note(f"WARNING: {error.what} ({error.title})")
        return
    if entry is not None and entry.sha256 != mine.sha256:
        _warn(mine.sha256, entry.sha256, url, fingerprint, progress)


def _warn(one: str, other: str, url: str, fingerprint: str, progress: Progress) -> None:
    progress.note(
        f"WARNING: two wheels of one fingerprint, {fingerprint[:12]}…: sha256 {one[:12]}… was built, and {url} holds "
        f"{other[:12]}…, which stays; the build is not reproducible, or somebody has changed one of them"
    )


class _OnlyWarnings:
    """A listener that passes on warnings alone: of a thousand cells nobody wants to read what is not there yet."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def phase(self, name: str, detail: str = "") -> None:
        """Ignore a phase."""

    def steps(self, done: int, total: int) -> None:
        """Ignore steps."""

    def compilers(self, used: int, budget: int, running: int, waiting: int) -> None:
        """Ignore compilers."""

    def note(self, text: str) -> None:
        """Pass a warning on."""
        if text.startswith("WARNING"):
            self._progress.note(text)
