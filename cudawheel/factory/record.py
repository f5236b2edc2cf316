"""The build record: what went in, what was done, what came out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Any

from cudawheel.builder.build import BuiltWheel
from cudawheel.builder.order import BuildOrder
from cudawheel.factory.materials import materials
from cudawheel.factory.proof import Proof
from cudawheel.files import sha256_of


def build_record(order: BuildOrder, built: BuiltWheel, proof: Proof, *, source: Mapping[str, str]) -> dict[str, Any]:
    """Write the record of a wheel as plain values; times in seconds, memory in bytes."""
    now = datetime.now(tz=timezone.utc).isoformat(timespec="seconds")
    return {
        "schema": 1,
        "cudawheel": version("cudawheel"),
        "fingerprint": order.fingerprint,
        "built_at": now,
        "package": {"name": order.loaded.recipe.package.name, "version": order.loaded.recipe.package.version},
        "recipe": {"file": order.loaded.path.name, "sha256": order.loaded.sha256},
        "source": {
            **source,
            "fallback": bool(order.fallback),
            "skipped": [{"label": label, "reason": reason} for label, reason in order.fetched.skipped],
        },
        "variant": _variant(order),
        "promise": _promise(order),
        "toolchain": {
            "kind": built.tools.toolchain.kind,
            "cuda": str(built.tools.toolchain.version),
            "nvcc": built.tools.toolchain.release,
            "host_compiler": f"{built.tools.compiler.family} {built.tools.compiler.version}",
        },
        "build": {
            "variables": built.variables,
            "environment": list(built.environment.packages),
            "seconds": round(built.seconds, 2),
            "seconds_until_compiling": round(built.seconds_until_compiling, 2),
            "peak_memory": built.timeline.peak,
            "largest_process": max((0, *(unit.peak for unit in built.timeline.units))),
            "most_compilers": built.timeline.most_running,
            "budget": built.budget,
            "confinement": built.confinement,
            "network": built.network,
            "network_allowed": order.network,
            "locked": order.locked is not None,
            "started_at": built.started_at,
            "finished_at": now,
            "timeline": built.timeline.to_json(),
        },
        "wheel": {
            "file": proof.wheel.name,
            "sha256": sha256_of(proof.wheel),
            "size": proof.wheel.stat().st_size,
        },
        "materials": materials(order, built, source=source),
        "audit": proof.findings,
    }


def _promise(order: BuildOrder) -> dict[str, Any]:
    """Say what an audit must know that the variant does not tell, so that the wheel can be audited without a recipe."""
    return {
        "cuda_required": order.settings.cuda == "required",
        "external_libraries": list(order.loaded.recipe.wheel.external_libraries),
    }


def _variant(order: BuildOrder) -> dict[str, Any]:
    return {
        "identifier": order.variant.identifier,
        "python": str(order.variant.python),
        # Both empty for a package that uses CUDA alone.
        "torch": str(order.variant.torch or ""),
        "cuda": str(order.variant.cuda),
        "abi": str(order.variant.abi or ""),
        "capabilities": [str(capability) for capability in order.variant.capabilities.cubins],
        "ptx": [str(capability) for capability in order.variant.capabilities.ptx],
        "left_out": [
            {"capability": str(verdict.capability), "reason": verdict.reason}
            for verdict in order.verdicts
            if not verdict.accepted
        ],
    }
