"""Being a worker: a Dask worker that declares the memory and cores of its machine as resources."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from cudawheel.errors import ExtraMissingError
from cudawheel.farm.cluster import quiet_logs
from cudawheel.farm.probe import CORES, MEMORY
from cudawheel.farm.reach import no_scheduler, require_scheduler
from cudawheel.schedule.budget import BudgetRequest, measure_budget

# Whoever starts both at once starts the worker before the scheduler listens, which takes two seconds or three.
_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a worker gives away.

    Attributes:
        memory: bytes.
        cores: that compilers may keep busy.
        cells: how many it builds at once.
    """

    memory: int
    cores: int
    cells: int

    @classmethod
    def measure(cls, *, memory: int | None = None, cores: int | None = None, cells: int | None = None) -> Offer:
        """Offer what this machine has free now, less its reserve, where no figure is given."""
        budget = measure_budget(BudgetRequest(memory=memory))
        cores = cores or budget.cores
        return cls(memory=memory or budget.memory, cores=cores, cells=cells or cores)

    @property
    def resources(self) -> dict[str, float]:
        """The offer in Dask's words."""
        return {MEMORY: self.memory, CORES: self.cores}


def serve(scheduler: str, offer: Offer, *, name: str = "") -> None:
    """Be a worker until the scheduler is gone or a signal comes.

    Dask's own limit on memory is off: it counts the worker's process, and compilers are watched by cudawheel's guard.

    Raises:
        ExtraMissingError: Dask is not installed.
        FarmError: no scheduler answers there.
    """
    try:
        from distributed import Nanny  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ExtraMissingError(
            "a worker needs packages that are not installed", why=str(error), extra="farm"
        ) from error

    require_scheduler(scheduler, patience=_PATIENCE_SECONDS)

    async def until_it_ends() -> None:
        options: dict[str, Any] = {"nthreads": offer.cells, "resources": offer.resources, "memory_limit": 0}
        try:
            with quiet_logs("distributed.nanny"):
                nanny = await Nanny(scheduler, name=name or None, **options)
        except (OSError, TimeoutError, ValueError, TypeError, ImportError, RuntimeError) as error:
            # Dask's own says no more than that it did not start; why is what it was raised from.
            raise no_scheduler(scheduler, error.__cause__ or error) from error
        async with nanny:
            await nanny.finished()

    asyncio.run(until_it_ends())
