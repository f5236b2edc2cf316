"""Every variant of a recipe, built side by side under one jobserver."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import replace

from cudawheel.builder.costs import cost_key
from cudawheel.builder.identity import candidates
from cudawheel.errors import CudawheelError
from cudawheel.factory.attempt import Attempt
from cudawheel.factory.factory import make_wheel
from cudawheel.factory.job import Job
from cudawheel.factory.making import open_jobserver
from cudawheel.factory.request import BuildRequest
from cudawheel.model.progress import Progress
from cudawheel.plan.plan import Plan
from cudawheel.process import end_all
from cudawheel.recipe.loading import load_recipe
from cudawheel.schedule.forecast import forecast
from cudawheel.schedule.jobserver import Jobserver
from cudawheel.schedule.limits import GIB

# A backend with torch imported, beside its compilers.
_BACKEND_MEMORY = GIB // 2


def make_all(request: BuildRequest, progress: Progress, progress_of: Callable[[str], Progress]) -> tuple[Attempt, ...]:
    """Make the wheel of every variant that the plan accepts; one that fails stops no other.

    Args:
        request: what a person asks for; its selection narrows the matrix.
        progress: told of all builds together.
        progress_of: gives the listener of one variant.

    Returns:
        The attempts in the order of the plan.

    Raises:
        PlanError: no variant can be built as asked.
        CapabilityError: none for want of the capabilities.
    """
    loaded = load_recipe(request.recipe)
    first = Job(request, loaded, candidates(loaded, request.source)[0])
    one_serves_all = first.settings.abi.stable_since is not None
    requests = _requests(first.plan, request, one_serves_all=one_serves_all)
    if one_serves_all:
        progress.note(f"{first.settings.abi}: one wheel serves all variants, so {next(iter(requests))} is built alone")
    with open_jobserver(request, progress) as jobserver:
        order = sorted(
            requests, key=lambda identifier: -_expected(replace(first, request=requests[identifier]), jobserver)
        )
        with ThreadPoolExecutor(_side_by_side(len(order), jobserver), thread_name_prefix="build") as workers:
            futures = {
                workers.submit(
                    _attempt, identifier, requests[identifier], progress_of(identifier), jobserver
                ): identifier
                for identifier in order
            }
            done = _collect(futures, workers)
    return tuple(done[identifier] for identifier in requests)


def _requests(plan: Plan, request: BuildRequest, *, one_serves_all: bool) -> dict[str, BuildRequest]:
    """Give one request for each accepted variant, by its identifier; a single one where one wheel serves them all."""
    chosen = [plan.choose(request.machine)] if one_serves_all else [cell for cell in plan.cells if cell.accepted]
    if not chosen:
        plan.choose(request.machine)  # says why
    requests = {}
    for cell in chosen:
        assert cell.variant is not None  # noqa: S101 - accepted cells have one
        at = cell.variant
        selection = replace(request.selection, python=at.python, torch=at.torch, cuda=at.cuda)
        requests[cell.identifier] = replace(request, selection=selection)
    return requests


def _expected(job: Job, jobserver: Jobserver) -> float:
    """Give the seconds that a variant is expected to compile; what was never measured counts as longest."""
    key = cost_key(job.loaded.recipe, job.settings, job.variant, "")
    seconds = forecast(key, job.variant.capabilities.device_passes, jobserver.budget, jobserver.history).seconds
    return float("inf") if seconds is None else seconds


def _side_by_side(variants: int, jobserver: Jobserver) -> int:
    """Say how many builds to run at once: enough to keep the pool busy, not so many that their backends fill it."""
    return max(1, min(variants, jobserver.budget.slots, jobserver.budget.memory // (4 * _BACKEND_MEMORY)))


def _attempt(identifier: str, request: BuildRequest, progress: Progress, jobserver: Jobserver) -> Attempt:
    try:
        return Attempt(identifier=identifier, result=make_wheel(request, progress, jobserver))
    except CudawheelError as error:
        progress.note(f"failed: {error.what}")
        return Attempt(identifier=identifier, result=error)


def _collect(futures: dict[Future[Attempt], str], workers: ThreadPoolExecutor) -> dict[str, Attempt]:
    """Wait for all; when this thread is interrupted, end what runs and start nothing more."""
    try:
        return {futures[future]: future.result() for future in as_completed(futures)}
    except BaseException:
        workers.shutdown(wait=False, cancel_futures=True)
        end_all()
        raise
