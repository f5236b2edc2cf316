"""The build record: what went in, what was done, what came out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cudawheel.builder.build import BuiltWheel
from cudawheel.builder.sources import FetchedSource
from cudawheel.files import sha256_of
from cudawheel.model.variant import Variant
from cudawheel.recipe.loading import LoadedRecipe


def build_record(
    loaded: LoadedRecipe,
    fetched: FetchedSource,
    variant: Variant,
    built: BuiltWheel,
    *,
    fingerprint: str,
    source: Mapping[str, str],
    wheel: Path,
    audit: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the record of a wheel as plain values; times in seconds, memory in bytes."""
    return {
        "schema": 1,
        "cudawheel": version("cudawheel"),
        "fingerprint": fingerprint,
        "built_at": datetime.now(tz=timezone.utc).isoformat(timespec="seconds"),
        "package": {"name": loaded.recipe.package.name, "version": loaded.recipe.package.version},
        "recipe": {"file": loaded.path.name, "sha256": loaded.sha256},
        "source": {
            **source,
            "fallback": loaded.recipe.is_fallback(fetched.source),
            "skipped": [{"label": label, "reason": reason} for label, reason in fetched.skipped],
        },
        "variant": {
            "identifier": variant.identifier,
            "python": str(variant.python),
            "torch": str(variant.torch),
            "cuda": str(variant.cuda),
            "abi": str(variant.abi),
            "capabilities": [str(capability) for capability in variant.capabilities.cubins],
            "ptx": [str(capability) for capability in variant.capabilities.ptx],
        },
        "toolchain": {
            "kind": built.toolchain.kind,
            "cuda": str(built.toolchain.version),
            "nvcc": built.toolchain.release,
            "host_compiler": f"{built.compiler.family} {built.compiler.version}",
        },
        "build": {
            "variables": built.variables,
            "jobs": built.allocation.jobs,
            "environment": list(built.environment.packages),
            "seconds": round(built.seconds, 2),
            "seconds_until_compiling": round(built.compiling_after, 2),
            "peak_memory": built.peak_memory,
            "largest_process": built.largest_process,
        },
        "wheel": {"file": wheel.name, "sha256": sha256_of(wheel), "size": wheel.stat().st_size},
        "audit": dict(audit),
    }
