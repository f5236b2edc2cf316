"""The long way: fetch, build, prove, store. Imported only when a wheel is not in the store already."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

from cudawheel.builder.archives import package_index
from cudawheel.builder.build import BuiltWheel, build_variant
from cudawheel.builder.costs import COSTS, cost_key
from cudawheel.builder.lock import locked_build, write_locked
from cudawheel.builder.order import BuildOrder, Workplace
from cudawheel.builder.sources import FetchedSource, fetch
from cudawheel.factory.job import Job
from cudawheel.factory.proof import prove
from cudawheel.factory.record import build_record
from cudawheel.factory.request import BuildRequest
from cudawheel.factory.signing import Signing
from cudawheel.files import disk_errors
from cudawheel.model.progress import Progress
from cudawheel.schedule.budget import require_room
from cudawheel.schedule.forecast import forecast
from cudawheel.schedule.history import History
from cudawheel.schedule.jobserver import Jobserver
from cudawheel.store.store import Store, StoredWheel, require_writable
from cudawheel.toolchain.redist import RedistSettings


@contextmanager
def making(
    jobs: list[Job], store: Store, progress: Progress, jobserver: Jobserver | None = None
) -> Iterator[tuple[Job, StoredWheel, bool]]:
    """Fetch the first source that can be reached, and build and store its wheel unless another process just did.

    Nobody removes the wheel from the store within the block.

    Args:
        jobs: one for each source, in order.
        store: where the wheel is kept.
        progress: told what goes on.
        jobserver: whom the compilers ask; without one the build gets one to itself.

    Yields:
        The job of that source, the wheel, and whether it was in the store by then.

    Raises:
        CudawheelError: whatever stood in the way; the store holds nothing half-made.
    """
    request, loaded = jobs[0].request, jobs[0].loaded
    require_writable(request.cache)
    sources = tuple(job.source for job in jobs)
    fetched = fetch(loaded, sources, request.cache / "sources", progress, index_url=package_index(request.environ))
    job = jobs[sources.index(fetched.source)]
    _announce_fallback(job, fetched, progress)
    with store.claim(job.fingerprint, progress):
        signing = Signing.of(request)
        reuse = request.reuse and not job.writes_lock
        ready = signing.keep(store.find(job.fingerprint), progress) if reuse else None
        if ready is not None:
            yield job, ready, True
            return
        with nullcontext(jobserver) if jobserver else open_jobserver(job.request, progress) as serving:
            made = _build_and_prove(job, fetched, store, progress, serving)
        yield job, made, False


@contextmanager
def open_jobserver(request: BuildRequest, progress: Progress) -> Iterator[Jobserver]:
    """Serve the compilers of builds within the block, out of what the machine has and the person allows."""
    with Jobserver(request.allowed, History(request.cache / COSTS)) as jobserver:
        jobserver.on_look = progress.compilers
        yield jobserver


def _announce_fallback(job: Job, fetched: FetchedSource, progress: Progress) -> None:
    if job.loaded.recipe.is_fallback(fetched.source) and fetched.skipped:
        label, reason = fetched.skipped[0]
        progress.note(f"FALLBACK: source {label!r} could not be reached ({reason.splitlines()[0]})")
        progress.note(f"building source {fetched.source.label!r} instead; --source {label} forbids this")


def _build_and_prove(
    job: Job, fetched: FetchedSource, store: Store, progress: Progress, jobserver: Jobserver
) -> StoredWheel:
    order = BuildOrder(
        loaded=job.loaded,
        fetched=fetched,
        fingerprint=job.fingerprint,
        settings=job.settings,
        variant=job.variant,
        verdicts=job.cell.verdicts,
        toolchain=job.request.toolchain,
        redist=RedistSettings(base_url=job.request.redist_url),
        compiler_cache=job.request.compiler_cache,
        network=job.request.network,
        locked=job.locked,
        renew=job.request.lock == "renew",
    )
    key = cost_key(order.loaded.recipe, order.settings, order.variant, order.fingerprint)
    expected = forecast(key, order.variant.capabilities.device_passes, jobserver.budget, jobserver.history)
    measured = expected.seconds is not None
    require_room(jobserver.budget, expected.largest, force=job.request.allowed.force, measured=measured)
    progress.note(f"{expected.decision}; {jobserver.budget}")
    with _workplace(job, jobserver) as place:
        built = build_variant(order, place, progress)
        proof = prove(order, built, place, progress)
        if job.writes_lock:
            order = _write_lock(job, order, built, progress)
        record = build_record(order, built, proof, source=job.source_facts)
        return store.add(order.fingerprint, proof.wheel, record, Signing.of(job.request).beside(record))


def _write_lock(job: Job, order: BuildOrder, built: BuiltWheel, progress: Progress) -> BuildOrder:
    """Lock what a build fetched; gives the order as it is with the lock, under which the wheel is found from now on."""
    pins = [pin for pin in built.environment.pins if not pin.reference.startswith("file:")]
    components = dict(built.tools.toolchain.components)
    entry = locked_build(order.lock_key, requires=built.requires, pins=pins, toolkit=components)
    write_locked(order.lock_path, entry, guard=job.request.cache / "lock-files.lock")
    progress.note(f"{order.lock_path.name}: {len(pins)} packages locked for {order.variant.identifier}")
    with_lock = Job(replace(job.request, lock="use"), job.loaded, job.source)
    return replace(order, fingerprint=with_lock.fingerprint, locked=with_lock.locked)


@contextmanager
def _workplace(job: Job, jobserver: Jobserver) -> Iterator[Workplace]:
    cache = job.request.cache
    log = cache / "logs" / f"{job.loaded.recipe.package.name}-{job.variant.identifier}-{job.fingerprint[:8]}.log"
    work = cache / "work" / job.fingerprint[:16]
    with disk_errors(cache):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
    try:
        yield Workplace(cache=cache, work=work, log=log, environ=job.request.environ, jobserver=jobserver)
    finally:
        shutil.rmtree(work, ignore_errors=True)
