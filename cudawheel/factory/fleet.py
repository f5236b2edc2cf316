"""Every variant of a recipe, built side by side under one jobserver.

A run that was interrupted goes on where it was: what is finished lies in the store and is found there. What failed
before is tried last, so that a run that is started again begins with what nobody has tried.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

from cudawheel.builder.costs import cost_key
from cudawheel.builder.identity import candidates
from cudawheel.errors import CudawheelError, SelectionError
from cudawheel.factory.attempt import Attempt
from cudawheel.factory.cells import FleetCell, fleet_cells
from cudawheel.factory.factory import make_wheel
from cudawheel.factory.job import Job
from cudawheel.factory.journal import Journal
from cudawheel.factory.making import open_jobserver
from cudawheel.factory.request import BuildRequest
from cudawheel.factory.sourcing import expected_source
from cudawheel.model.progress import DONE, FAILED, Progress, Silent
from cudawheel.plan.selectors import Selector
from cudawheel.process import end_all
from cudawheel.recipe.loading import load_recipe
from cudawheel.schedule.forecast import forecast
from cudawheel.schedule.jobserver import Jobserver
from cudawheel.schedule.limits import GIB

# A backend with torch imported, beside its compilers.
_BACKEND_MEMORY = GIB // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRequest:
    """Which cells of a matrix are wanted.

    Attributes:
        request: what a person asks for; its selection narrows the matrix.
        selector: narrows it further, by identifiers.
        retry_failed: only cells that failed when they were tried last.
    """

    request: BuildRequest
    selector: Selector = field(default_factory=Selector)
    retry_failed: bool = False

    @property
    def journal(self) -> Journal:
        """Where the failures of this recipe are remembered."""
        return Journal(self.request.cache, self.request.recipe)

    def cells(self, progress: Progress | None = None) -> tuple[FleetCell, ...]:
        """Give the wheels that are to be made, in the order of the plan; raises as `fleet_cells` does.

        Args:
            progress: told which source is being fetched, where what the matrix comes to depends on that.

        Raises:
            SelectionError: those that failed last are asked for, and none did.
        """
        source = expected_source(self.request, self.selector, progress or Silent())
        cells = fleet_cells(self.request, self.selector, source)
        if not self.retry_failed:
            return cells
        failures = self.journal.failures()
        again = tuple(cell for cell in cells if not failures.keys().isdisjoint(cell.identifiers))
        if not again:
            raise SelectionError(
                f"no cell of {self.request.recipe.name} failed when it was tried last",
                why=f"{self.journal.path} names none of those that are selected",
                remedy="Leave --retry-failed out; what is built already comes from the store.",
            )
        return again


def make_all(
    asked: FleetRequest | BuildRequest, progress: Progress, progress_of: Callable[[str], Progress]
) -> tuple[Attempt, ...]:
    """Make the wheel of every variant that the plan accepts; one that fails stops no other.

    Args:
        asked: which cells are wanted; a plain request means all.
        progress: told of all builds together.
        progress_of: gives the listener of one variant.

    Returns:
        The attempts in the order of the plan, those that came up on the way behind the one that showed the need.

    Raises:
        RecipeError: cells of the recipe contradict each other.
        SelectionError: nothing is selected.
        PlanError: no variant can be built as asked.
        CapabilityError: none for want of the capabilities.
    """
    fleet = asked if isinstance(asked, FleetRequest) else FleetRequest(request=asked)
    cells = fleet.cells(progress)
    for cell in cells:
        if cell.others:
            abi = f"{cell.variant.abi}: one wheel may serve {len(cell.identifiers)} cells"
            progress.note(f"{abi}, so {cell.identifier} is built first")
    with open_jobserver(fleet.request, progress) as jobserver:
        run = _Run(fleet, jobserver, progress_of)
        with ThreadPoolExecutor(_side_by_side(len(cells), jobserver), thread_name_prefix="build") as workers:
            done = _collect(run, _in_order(cells, fleet, jobserver), workers)
    return tuple(attempt for cell in cells for attempt in _chain(cell.identifier, done))


class _Run:
    """The cells of one run, each tried once."""

    def __init__(self, fleet: FleetRequest, jobserver: Jobserver, progress_of: Callable[[str], Progress]) -> None:
        self._request = fleet.request
        self._journal = fleet.journal
        self._jobserver = jobserver
        self._progress_of = progress_of
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Say that what runs is about to be ended: that it does not finish is no failure of its cell."""
        self._stopped.set()

    def attempt(self, cell: FleetCell) -> tuple[Attempt, FleetCell | None]:
        """Make one wheel; gives what became of it, and the wheel that has to be made besides."""
        progress, start = self._progress_of(cell.identifier), time.monotonic()
        try:
            outcome = make_wheel(cell.request, progress, self._jobserver)
        except CudawheelError as error:
            if not self._stopped.is_set():
                progress.phase(FAILED, error.what)
                self._journal.failed(cell.identifier, error)
            # Whoever shares its wheel may still be built: with another Python, or against another torch.
            return Attempt(
                identifier=cell.identifier, result=error, seconds=time.monotonic() - start
            ), cell.without_first()
        serves = tuple(other.identifier for other in cell.served_by(outcome.wheel))
        self._journal.done(cell.identifier, *serves)
        more = cell.left_by(outcome.wheel)
        if more is not None:
            progress.note(f"{outcome.wheel.name} serves not every Python: {more.identifier} is built besides")
        seconds = time.monotonic() - start
        progress.phase(DONE, "from the store" if outcome.cached else f"in {seconds:.0f} s")
        return Attempt(identifier=cell.identifier, result=outcome, seconds=seconds, serves=serves), more


def _in_order(cells: Iterable[FleetCell], fleet: FleetRequest, jobserver: Jobserver) -> list[FleetCell]:
    """Put the longest first, and what failed before last: it may well fail again."""
    failures = fleet.journal.failures()
    first = load_recipe(fleet.request.recipe)
    source = candidates(first, fleet.request.source)[0]
    return sorted(cells, key=lambda c: (c.identifier in failures, -_expected(Job(c.request, first, source), jobserver)))


def _expected(job: Job, jobserver: Jobserver) -> float:
    """Give the seconds that a variant is expected to compile; what was never measured counts as longest."""
    key = cost_key(job.loaded.recipe, job.settings, job.variant, "")
    seconds = forecast(key, job.variant.capabilities.device_passes, jobserver.budget, jobserver.history).seconds
    return float("inf") if seconds is None else seconds


def _side_by_side(variants: int, jobserver: Jobserver) -> int:
    """Say how many builds to run at once: enough to keep the pool busy, not so many that their backends fill it."""
    return max(1, min(variants, jobserver.budget.slots, jobserver.budget.memory // (4 * _BACKEND_MEMORY)))


_Made = tuple[Attempt, FleetCell | None]


def _collect(run: _Run, cells: Iterable[FleetCell], workers: ThreadPoolExecutor) -> dict[str, _Made]:
    """Wait for all, and for what they show to be needed besides; when interrupted, end what runs and start no more."""
    done: dict[str, _Made] = {}
    try:
        waiting: dict[Future[_Made], str] = {workers.submit(run.attempt, cell): cell.identifier for cell in cells}
        while waiting:
            besides: list[FleetCell] = []
            for future in as_completed(waiting):
                done[waiting[future]] = made = future.result()
                if made[1] is not None:
                    besides.append(made[1])
            waiting = {workers.submit(run.attempt, cell): cell.identifier for cell in besides}
    except BaseException:
        run.stop()
        workers.shutdown(wait=False, cancel_futures=True)
        end_all()
        raise
    return done


def _chain(identifier: str, done: dict[str, _Made]) -> Iterator[Attempt]:
    """Give the attempt of a cell and of what was made besides because of it."""
    attempt, more = done[identifier]
    yield attempt
    if more is not None:
        yield from _chain(more.identifier, done)
