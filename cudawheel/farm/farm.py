"""The cells of a matrix, built by whatever workers a Dask cluster has."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from cudawheel.errors import UsageError
from cudawheel.factory.attempt import Attempt
from cudawheel.factory.fleet import FleetRequest
from cudawheel.factory.request import BuildRequest
from cudawheel.farm.cluster import Cluster, Message, connect
from cudawheel.farm.inputs import everywhere, pack, put
from cudawheel.farm.probe import Question
from cudawheel.farm.roll import Roll
from cudawheel.farm.run import Run
from cudawheel.model.progress import Progress
from cudawheel.recipe.loading import load_recipe
from cudawheel.store.store import require_writable

Connect = Callable[[str, str, Callable[[Message], None]], AbstractContextManager[Cluster]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmRequest:
    """Cells, and the cluster that is to build them.

    Attributes:
        fleet: which cells.
        scheduler: address of Dask's scheduler.
        patience: seconds to wait for a worker where there is none.
        connect: how the cluster is reached.
    """

    fleet: FleetRequest
    scheduler: str
    patience: float = 300.0
    connect: Connect = connect


def make_all_on_farm(
    asked: FarmRequest, progress: Progress, progress_of: Callable[[str], Progress]
) -> tuple[Attempt, ...]:
    """Make the wheels of a matrix on the workers of a Dask cluster; one that fails stops no other.

    Args:
        asked: which cells, and where.
        progress: told of the whole.
        progress_of: gives the listener of one cell.

    Returns:
        The attempts in the order of the plan, those that came up on the way behind them.

    Raises:
        UsageError: there is no shared store, or something is asked for that other machines cannot do.
        StoreError: the wheelhouse cannot be written.
        RemoteStoreError: the shared store cannot be reached or written.
        FarmError: no scheduler answers, or no worker comes.
        SchedulerLostError: it disappeared; what was done is kept.
        UnfitWorkersError: none of the workers can build.
        PlanError, SelectionError, CapabilityError, RecipeError: there is nothing to build.
    """
    _require_possible(asked.fleet.request)
    request = replace(asked.fleet.request, remote=everywhere(asked.fleet.request.remote))
    fleet = replace(asked.fleet, request=request)
    require_writable(request.wheelhouse)
    cells = fleet.cells()
    inputs = put(request.remote, pack(load_recipe(request.recipe)))
    run = Run(fleet, cells, inputs, progress, progress_of)
    run.find_what_is_done()
    if run.left:
        question = Question.ask(machine=request.machine.machine, cudas=run.cudas, store=request.remote, inputs=inputs)
        with asked.connect(asked.scheduler, run.name, run.inbox.put) as cluster:
            run.build_the_rest(cluster, Roll(cluster, question, progress, patience=asked.patience))
    planned = [cell.identifier for cell in cells]
    return tuple(run.attempts[name] for name in dict.fromkeys([*planned, *run.attempts]))


def _require_possible(request: BuildRequest) -> None:
    if not request.remote:
        raise UsageError(
            "--scheduler needs a store that all machines share",
            why="Wheels do not travel through the scheduler.",
            remedy="Name it with --remote-cache: a folder that all of them see under this name, s3:// or gs://.",
        )
    asked = {
        "--sign": request.signing_key is not None,
        "--trust": bool(request.trusted),
        "--lock": request.lock != "use",
    }
    for option, given in asked.items():
        if given:
            raise UsageError(
                f"{option} does not go with --scheduler",
                why="Keys stay on the machine that holds them, and a lock is written where the recipe lies.",
                remedy=f"Leave {option} out, or build on this machine.",
            )
