"""What runs on a worker: the look at itself, what it is doing, and the build of one cell. Dask calls these by name."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from cudawheel.builder.costs import COSTS
from cudawheel.errors import CudawheelError, StoredWheelError
from cudawheel.factory.factory import make_wheel
from cudawheel.farm.cell import Answer, Order, error_to_plain
from cudawheel.farm.inputs import take
from cudawheel.farm.needs import FarmHistory, plain
from cudawheel.farm.probe import CORES, MEMORY, Question, examine
from cudawheel.model.progress import Progress
from cudawheel.store.remote import RemoteStore
from cudawheel.store.store import Store

# Steps of a build and looks at the memory are told so often at most; every message passes the scheduler.
_SECONDS_BETWEEN = 1.0

Tell = Callable[[Mapping[str, Any]], None]


async def look_at_yourself(question: Mapping[str, Any]) -> dict[str, Any]:
    """Say what this worker is; give Dask its memory and cores as resources where nobody has declared them."""
    from distributed import get_worker  # noqa: PLC0415 - an extra

    worker = get_worker()
    declared = dict(worker.state.total_resources)
    report = await asyncio.to_thread(
        examine,
        Question.from_plain(question),
        address=worker.address,
        name=str(worker.name),
        threads=worker.state.nthreads,
        resources=declared,
        cache=worker_cache(os.environ),
        environ=dict(os.environ),
    )
    missing = {name: value for name, value in ((MEMORY, report.memory), (CORES, report.cores)) if name not in declared}
    if missing:
        await worker.set_resources(**missing)
    return report.to_plain()


def in_hand(dask_worker: Any) -> list[str]:  # noqa: ANN401 - Dask is an extra, and gives the worker by this name
    """Give the keys of the tasks that keep this worker's threads busy."""
    return [str(key) for key in list(dask_worker.active_threads.values())]


def build_cell(order: Mapping[str, Any]) -> dict[str, Any]:
    """Build a cell on this worker and put its wheel into the shared store; gives the answer as plain values."""
    from distributed import get_worker  # noqa: PLC0415 - an extra

    worker, read = get_worker(), Order.from_plain(order)

    def tell(message: Mapping[str, Any]) -> None:
        worker.log_event(read.run, {"cell": read.cell, "worker": worker.address, **message})

    return build(read, tell, cache=worker_cache(os.environ), environ=dict(os.environ)).to_plain()


def worker_cache(environ: Mapping[str, str]) -> Path:
    """Give the cache of a worker: CUDAWHEEL_CACHE, else the user's cache folder."""
    return Path(environ["CUDAWHEEL_CACHE"] if environ.get("CUDAWHEEL_CACHE") else user_cache_path("cudawheel"))


def build(order: Order, tell: Tell, *, cache: Path, environ: Mapping[str, str]) -> Answer:
    """Build a cell and put its wheel into the shared store; errors of cudawheel are part of the answer.

    Args:
        order: the cell.
        tell: told what goes on, in plain values.
        cache: the worker's folder for all that outlives a build.
        environ: the worker's environment.
    """
    try:
        recipes = take(order.store, order.inputs, cache / "farm" / "inputs")
        # Nobody looks at the wheels of a worker; they lie in its store, too.
        with tempfile.TemporaryDirectory(prefix="cudawheel-farm-") as wheelhouse:
            request = order.request(recipe_folder=recipes, cache=cache, wheelhouse=Path(wheelhouse), environ=environ)
            made = make_wheel(request, Teller(tell))
        return _hand_in(order, made.record, Teller(tell), cache, cached=made.cached)
    except CudawheelError as error:
        return Answer(error=error_to_plain(error))


def _hand_in(order: Order, record: Mapping[str, Any], progress: Progress, cache: Path, *, cached: bool) -> Answer:
    fingerprint = str(record["fingerprint"])
    progress.phase("storing", str(record["wheel"]["file"]))
    with Store(cache / "store").reading(fingerprint) as stored:
        if stored is None:
            raise StoredWheelError(
                f"{record['wheel']['file']} is gone from this worker's store before it was handed in",
                remedy="Let nothing prune the cache of a worker while it builds; the same command builds it again.",
            )
        pushed = RemoteStore(order.store).push(fingerprint, stored)
    measured = FarmHistory(cache / COSTS).measured(str(record["package"]["name"]), fingerprint) if not cached else ()
    return Answer(
        fingerprint=fingerprint,
        sha256=stored.sha256,
        cached=cached,
        built=not cached,
        pushed=pushed.name,
        costs=tuple(map(tuple, plain(measured))),
    )


@dataclass(slots=True)
class Teller:
    """The listener of a build on a worker: sends what it hears on its way, and not more often than anybody looks."""

    tell: Tell
    clock: Callable[[], float] = time.monotonic
    _steps: float = field(default=float("-inf"), init=False)
    _compilers: float = field(default=float("-inf"), init=False)

    def phase(self, name: str, detail: str = "") -> None:
        """Send a phase."""
        self._steps = float("-inf")
        self.tell({"kind": "phase", "name": name, "detail": detail})

    def steps(self, done: int, total: int) -> None:
        """Send how much is done; the last of the steps always."""
        now = self.clock()
        if now - self._steps >= _SECONDS_BETWEEN or (total and done >= total):
            self._steps = now
            self.tell({"kind": "steps", "done": done, "total": total})

    def compilers(self, used: int, budget: int, running: int, waiting: int) -> None:
        """Send what the builds of this worker hold."""
        now = self.clock()
        if now - self._compilers >= _SECONDS_BETWEEN:
            self._compilers = now
            self.tell({"kind": "compilers", "used": used, "budget": budget, "running": running, "waiting": waiting})

    def note(self, text: str) -> None:
        """Send a line that is to stay."""
        self.tell({"kind": "note", "text": text})
