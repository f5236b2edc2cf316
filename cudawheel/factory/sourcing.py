"""Which of a recipe's sources a matrix will be built from, where what it comes to depends on that.

A fallback may promise torch's stable ABI where the first source does not, or the other way round. Then the source says
whether one wheel serves several cells, and it has to be known before they are put together.
"""

from __future__ import annotations

from contextlib import suppress

from cudawheel.builder.archives import package_index
from cudawheel.builder.identity import candidates
from cudawheel.builder.sources import fetch
from cudawheel.errors import CapabilityError, CudawheelError, PlanError, SelectionError
from cudawheel.factory.cells import fleet_cells
from cudawheel.factory.job import Job, first_known
from cudawheel.factory.request import BuildRequest
from cudawheel.model.progress import Progress
from cudawheel.plan.selectors import Selector
from cudawheel.recipe.loading import LoadedRecipe, load_recipe
from cudawheel.recipe.sources import Source
from cudawheel.store.store import Store


def expected_source(request: BuildRequest, selector: Selector, progress: Progress) -> Source:
    """Say which source will be built: that of the store's wheel, or the first that can be reached, which is fetched.

    Where all sources promise the same, nothing is looked up or fetched, and it is the first. So it is where none can be
    had: each build says why.

    Args:
        request: what a person asks for.
        selector: narrows it further, by identifiers.
        progress: told what is fetched.

    Raises:
        PlanError: the request names a source that the recipe does not have, or no variant can be built as asked.
        RecipeError: cells of the recipe contradict each other.
        SelectionError: the selector matches nothing.
        CapabilityError: no variant can be built for want of the capabilities.
    """
    loaded = load_recipe(request.recipe)
    sources = candidates(loaded, request.source)
    if len({loaded.recipe.settings_for(source).abi for source in sources}) == 1:
        return sources[0]
    # What can be refused without the network is refused before anything is fetched.
    jobs = [_first_job(request, selector, loaded, sources[0])]
    for fallback in sources[1:]:
        with suppress(PlanError, SelectionError, CapabilityError):
            jobs.append(_first_job(request, selector, loaded, fallback))
    try:
        known = first_known(jobs, Store(request.cache / "store").find) if request.reuse else None
        if known is not None:
            return known[0].source
        found = fetch(loaded, sources, request.cache / "sources", progress, index_url=package_index(request.environ))
    except CudawheelError:
        return sources[0]
    return found.source


def _first_job(request: BuildRequest, selector: Selector, loaded: LoadedRecipe, source: Source) -> Job:
    return Job(fleet_cells(request, selector, source)[0].request, loaded, source)
