"""One request in, one proven wheel in the wheelhouse out."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cudawheel.builder.identity import candidates
from cudawheel.builder.own_wheel import own_wheel
from cudawheel.factory.job import Job, first_known
from cudawheel.factory.replacing import Replaced, find_replaced
from cudawheel.factory.request import BuildRequest
from cudawheel.factory.signing import Signing
from cudawheel.files import disk_errors, write_atomically
from cudawheel.model.progress import Progress
from cudawheel.plan.plan import Cell
from cudawheel.provenance.envelope import IN_STORE, SUFFIX
from cudawheel.recipe.loading import load_recipe
from cudawheel.schedule.plot import plot
from cudawheel.schedule.timeline import Timeline
from cudawheel.store.store import Store, StoredWheel, publish, require_writable

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
        replaced: the wheel whose place it took in the wheelhouse, if it took one's.
    """

    wheel: Path
    record: dict[str, Any]
    cached: bool
    cell: Cell
    replaced: Replaced | None = None


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
    signing = Signing.of(request)
    reuse = request.reuse and not jobs[0].writes_lock
    if reuse and (found := _from_store(jobs, store, signing, progress)) is not None:
        return found
    if reuse and request.remote:
        from cudawheel.factory.exchange import from_remote, signed_by  # noqa: PLC0415 - as below

        taken = from_remote(jobs, store, request.remote, progress, signed_by(request.trusted))
        if taken is not None and (found := _from_store([taken], store, signing, progress)) is not None:
            return found
    # What fetches, compiles and audits takes half a second to import; a wheel in the store need not wait for it.
    from cudawheel.factory.making import making  # noqa: PLC0415

    with making(jobs, store, progress, jobserver) as (job, stored, cached):
        return deliver(job, stored, progress, cached=cached)


def _from_store(jobs: list[Job], store: Store, signing: Signing, progress: Progress) -> Outcome | None:
    """Deliver what the store has, locked until that is done, so that nobody prunes it meanwhile."""
    with ExitStack() as held:
        known = first_known(
            jobs, lambda fingerprint: signing.keep(held.enter_context(store.reading(fingerprint)), progress)
        )
        return None if known is None else deliver(*known, progress, cached=True)


def deliver(job: Job, stored: StoredWheel, progress: Progress, *, cached: bool) -> Outcome:
    """Put a wheel of the store into the wheelhouse, with its record, its picture and its provenance.

    Args:
        job: whose wheel it is.
        stored: the wheel, which nobody may remove meanwhile.
        progress: told if it takes another one's place.
        cached: whether it was there before.

    Raises:
        StoreError: the wheelhouse cannot be written.
    """
    request = job.request
    replaced = find_replaced(stored, request.wheelhouse, Store(request.cache / "store"))
    if replaced is not None:
        progress.note(str(replaced))
    # cudawheel is on no index: with its wheel beside the others, pip can build packages whose backend it is.
    own = own_wheel(request.cache / "own")
    with disk_errors(request.wheelhouse):
        write_atomically(request.wheelhouse / own.name, own.read_bytes())
    beside = {".svg": _picture(stored).encode()}
    if (provenance := stored.companion(IN_STORE)) is not None:
        beside[SUFFIX] = provenance
    elif replaced is not None:
        # What lies there is of the wheel that goes.
        (request.wheelhouse / f"{stored.wheel.name}{SUFFIX}").unlink(missing_ok=True)
    wheel = publish(stored, request.wheelhouse, beside)
    return Outcome(wheel=wheel, record=stored.record, cached=cached, cell=job.cell, replaced=replaced)


def _picture(stored: StoredWheel) -> str:
    """Draw memory and compilers of a build against time."""
    return plot(Timeline.from_json(stored.record["build"]["timeline"]), title=stored.wheel.name)
