"""What the costs of a build are remembered under."""

from __future__ import annotations

from cudawheel.model.variant import Variant
from cudawheel.recipe.recipe import Recipe
from cudawheel.recipe.settings import BuildSettings
from cudawheel.schedule.history import CostKey
from cudawheel.schedule.limits import GIB

# Name of the history of costs below the cache.
COSTS = "costs.sqlite"


def cost_key(recipe: Recipe, settings: BuildSettings, variant: Variant, fingerprint: str) -> CostKey:
    """Give the key of a build.

    Args:
        settings: `[build]` as it holds for the source.
        fingerprint: of the build, or empty if it is not known yet.
    """
    return CostKey(
        package=recipe.package.name,
        fingerprint=fingerprint,
        cuda=str(variant.cuda),
        torch="" if variant.torch is None else str(variant.torch),
        memory=int(settings.memory_per_job * GIB),
    )
