"""The fingerprint of a build: one hash over everything that goes into a wheel.

Two builds with one fingerprint are the same build. What is left out on purpose: where folders lie, how many jobs run,
and who builds.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from cudawheel.model.variant import Variant
from cudawheel.recipe.recipe import Recipe
from cudawheel.recipe.settings import BuildSettings

# Raised whenever the same inputs would give other bytes, because cudawheel itself builds or rewrites differently.
FORMAT = 1


def fingerprint(
    recipe: Recipe, settings: BuildSettings, variant: Variant, *, source: dict[str, str], tools: dict[str, str]
) -> str:
    """Hash the inputs of a build.

    Args:
        recipe: what is built; of its matrix and policy only what `variant` made of them counts.
        settings: `[build]` as it holds for the source.
        variant: which wheel of it.
        source: label, kind and content hash (or commit) of the source.
        tools: kind of toolchain, versions of the host compiler and of whatever else shapes the output.

    Returns:
        64 hex digits.
    """
    inputs: dict[str, Any] = {
        "format": FORMAT,
        "package": recipe.package.model_dump(mode="json"),
        "settings": settings.model_dump(mode="json", exclude={"memory_per_job"}),
        "wheel": recipe.wheel.model_dump(mode="json"),
        "variant": variant.identifier,
        "capabilities": [str(gencode) for gencode in variant.capabilities.gencodes()],
        "source": source,
        "tools": tools,
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
