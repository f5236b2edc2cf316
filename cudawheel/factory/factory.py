"""One request in, one proven wheel in the wheelhouse out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cudawheel.builder.identity import candidates
from cudawheel.builder.own_wheel import own_wheel
from cudawheel.errors import SourceUnreachableError
from cudawheel.factory.job import Job
from cudawheel.factory.request import BuildRequest
from cudawheel.files import disk_errors, write_atomically
from cudawheel.model.progress import Progress
from cudawheel.plan.plan import Cell
from cudawheel.recipe.loading import load_recipe
from cudawheel.schedule.plot import plot
from cudawheel.schedule.timeline import Timeline
from cudawheel.store.store import Store, StoredWheel, other_of_that_name, publish, require_writable

if TYPE_CHECKING:
    from cudawheel.schedule.jobserver import Jobserver


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the factory did.

    Attributes:
        wheel: in the wheelhouse.
        record: its build record.
        cached: whether it was there already and was only checked.
        cell: the cell of the plan, with the verdict on every capability.
    """

    wheel: Path
    record: dict[str, Any]
    cached: bool
    cell: Cell


def make_wheel(request: BuildRequest, progress: Progress, jobserver: Jobserver | None = None) -> Outcome:
    """Give the wheel that a request asks for: out of the store if it is there, else built, proven and stored.

    Args:
        request: what a person asks for.
        progress: told what goes on.
        jobserver: whom the compilers ask before they start; without one the build gets one to itself.

    Raises:
        CudawheelError: see `errors`; nothing half-written is left in the wheelhouse or the store.
    """
    loaded = load_recipe(request.recipe)
    jobs = [Job(request, loaded, source) for source in candidates(loaded, request.source)]
    # What can be refused without the network is refused before anything is fetched.
    jobs[0].cell  # noqa: B018 - computing it is what may raise
    require_writable(request.wheelhouse)
    store = Store(request.cache / "store")
    if request.reuse and (known := _known(jobs, store)) is not None:
        return _deliver(*known, progress, cached=True)
    # What fetches, compiles and audits takes half a second to import; a wheel in the store need not wait for it.
    from cudawheel.factory.making import make  # noqa: PLC0415

    job, stored, cached = make(jobs, store, progress, jobserver)
    return _deliver(job, stored, progress, cached=cached)


def _known(jobs: list[Job], store: Store) -> tuple[Job, StoredWheel] | None:
    """Look the request up in the store, source by source, without any network.

    A wheel from a fallback counts only if the sources before it were found unreachable when it was built; one that
    somebody asked for by `--source` does not stop the first source from being tried.
    """
    passed: set[str] = set()
    for job in jobs:
        stored = _find(job, store)
        if stored is not None and passed <= {skip["label"] for skip in stored.record["source"]["skipped"]}:
            return job, stored
        passed.add(job.source.label)
    return None


def _find(job: Job, store: Store) -> StoredWheel | None:
    try:
        return store.find(job.fingerprint)
    except SourceUnreachableError:
        # The folder of a path source is missing, which counts once it is this source's turn.
        return None


def _deliver(job: Job, stored: StoredWheel, progress: Progress, *, cached: bool) -> Outcome:
    request = job.request
    if replaced := other_of_that_name(stored, request.wheelhouse):
        # The name of a wheel says nothing of its capabilities, so two lists of them give one name.
        progress.note(f"replaces the wheel of the same name, sha256 {replaced[:12]}…, in {request.wheelhouse}")
    # cudawheel is on no index: with its wheel beside the others, pip can build packages whose backend it is.
    own = own_wheel(request.cache / "own")
    with disk_errors(request.wheelhouse):
        write_atomically(request.wheelhouse / own.name, own.read_bytes())
    wheel = publish(stored, request.wheelhouse, {".svg": _picture(stored).encode()})
    return Outcome(wheel=wheel, record=stored.record, cached=cached, cell=job.cell)


def _picture(stored: StoredWheel) -> str:
    """Draw memory and compilers of a build against time."""
    return plot(Timeline.from_json(stored.record["build"]["timeline"]), title=stored.wheel.name)
