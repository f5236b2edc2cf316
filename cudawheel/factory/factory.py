"""One request in, one proven wheel in the wheelhouse out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cudawheel
from cudawheel.builder.build import Workplace, build_variant
from cudawheel.builder.own_wheel import own_wheel
from cudawheel.builder.sources import FetchedSource, candidates, describe, fetch
from cudawheel.builder.tree import tree_hash
from cudawheel.factory.proof import prove
from cudawheel.factory.record import build_record
from cudawheel.factory.request import BuildRequest
from cudawheel.files import write_atomically
from cudawheel.model.progress import Progress
from cudawheel.model.variant import Variant
from cudawheel.plan.fingerprint import fingerprint
from cudawheel.plan.plan import Cell, make_plan
from cudawheel.recipe.loading import LoadedRecipe, load_recipe
from cudawheel.recipe.settings import BuildSettings
from cudawheel.recipe.sources import Source
from cudawheel.store.store import Store, StoredWheel, publish, require_writable
from cudawheel.toolchain.compiler_limits import compiler_limits
from cudawheel.toolchain.host_compiler import find_host_compiler


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


@dataclass(frozen=True)
class _Job:
    """A request for one source: what will be built, and the fingerprint that it will have."""

    request: BuildRequest
    loaded: LoadedRecipe
    source: Source

    @cached_property
    def settings(self) -> BuildSettings:
        return self.loaded.recipe.settings_for(self.source)

    @cached_property
    def cell(self) -> Cell:
        plan = make_plan(self.loaded.recipe, self.settings, self.request.selection, self.request.machine)
        return plan.choose(self.request.machine)

    @cached_property
    def variant(self) -> Variant:
        assert self.cell.variant is not None  # noqa: S101 - `choose` gives accepted cells only
        return self.cell.variant

    @cached_property
    def source_facts(self) -> dict[str, str]:
        return describe(self.source, self.settings, self.loaded)

    @cached_property
    def fingerprint(self) -> str:
        compiler = find_host_compiler(compiler_limits(self.variant.cuda), self.request.environ)
        tools = {
            "toolchain": self.request.toolchain,
            "host_compiler": f"{compiler.family} {compiler.version}",
            "cudawheel": tree_hash(Path(cudawheel.__file__).parent),
        }
        return fingerprint(
            self.loaded.recipe, self.settings, self.variant, source=self.source_facts, tools=tools
        )


def make_wheel(request: BuildRequest, progress: Progress) -> Outcome:
    """Give the wheel that a request asks for: out of the store if it is there, else built, proven and stored.

    Raises:
        CudawheelError: see `errors`; nothing half-written is left in the wheelhouse or the store.
    """
    loaded = load_recipe(request.recipe)
    sources = candidates(loaded, request.source)
    jobs = [_Job(request, loaded, source) for source in sources]
    # Everything that can be refused without the network is refused before it is used.
    jobs[0].cell  # noqa: B018 - computing it is what may raise
    require_writable(request.wheelhouse)
    store = Store(request.cache / "store")
    if request.reuse and (known := _known(jobs, store)) is not None:
        job, stored = known
        return _deliver(job, stored, cached=True)
    fetched = fetch(loaded, sources, request.cache / "sources", progress)
    job = jobs[sources.index(fetched.source)]
    _announce_fallback(job, fetched, progress)
    with store.claim(job.fingerprint, progress):
        stored_now = store.find(job.fingerprint) if request.reuse else None
        stored = stored_now or _build_and_prove(job, fetched, store, progress)
    return _deliver(job, stored, cached=stored_now is not None)


def _deliver(job: _Job, stored: StoredWheel, *, cached: bool) -> Outcome:
    request = job.request
    if any(pin.startswith("cudawheel==") for pin in stored.record["build"]["environment"]):
        # The package's backend is cudawheel, which is on no index: with its wheel beside the others, pip can build
        # the package from source as well.
        own = own_wheel(request.cache / "own")
        write_atomically(request.wheelhouse / own.name, own.read_bytes())
    wheel = publish(stored, request.wheelhouse)
    return Outcome(wheel=wheel, record=stored.record, cached=cached, cell=job.cell)


def _known(jobs: list[_Job], store: Store) -> tuple[_Job, StoredWheel] | None:
    """Look the request up in the store, source by source, without any network.

    A wheel from a fallback counts only if the sources before it were found unreachable when it was built; one that
    somebody asked for by `--source` does not stop the first source from being tried.
    """
    passed: set[str] = set()
    for job in jobs:
        stored = store.find(job.fingerprint)
        if stored is not None and passed <= {skip["label"] for skip in stored.record["source"]["skipped"]}:
            return job, stored
        passed.add(job.source.label)
    return None


def _announce_fallback(job: _Job, fetched: FetchedSource, progress: Progress) -> None:
    if job.loaded.recipe.is_fallback(fetched.source) and fetched.skipped:
        label, reason = fetched.skipped[0]
        progress.note(f"FALLBACK: source {label!r} could not be reached ({reason.splitlines()[0]})")
        progress.note(f"building source {fetched.source.label!r} instead; --source {label} forbids this")


def _build_and_prove(job: _Job, fetched: FetchedSource, store: Store, progress: Progress) -> StoredWheel:
    with _workplace(job) as place:
        built = build_variant(
            job.loaded, fetched, job.settings, job.variant, job.request.toolchain, place, progress
        )
        wheel, report = prove(job.loaded, job.settings, job.variant, fetched, built, place, progress)
        record = build_record(
            job.loaded,
            fetched,
            job.variant,
            built,
            fingerprint=job.fingerprint,
            source=job.source_facts,
            wheel=wheel,
            audit=report,
        )
        return store.add(job.fingerprint, wheel, record)


@contextmanager
def _workplace(job: _Job) -> Iterator[Workplace]:
    cache = job.request.cache
    log = cache / "logs" / f"{job.loaded.recipe.package.name}-{job.variant.identifier}-{job.fingerprint[:8]}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    work = cache / "work" / job.fingerprint[:16]
    try:
        yield Workplace(cache=cache, work=work, log=log, environ=job.request.environ)
    finally:
        shutil.rmtree(work, ignore_errors=True)
