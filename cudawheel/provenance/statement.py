"""From a build record to what can be signed: an in-toto statement, version 1, with SLSA's provenance, version 1.

The statement depends on the record alone, so that the same build gives the same statement whenever it is made. Fields
are those of the in-toto attestation framework ("Statement", "ResourceDescriptor") and of SLSA's "Provenance".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"

BUILDER = "pkg:pypi/cudawheel"
"""The builder's id. Which machine it ran on says the key that signed."""

BUILD_TYPE = "pkg:pypi/cudawheel#recipe-to-wheel-v1"
"""What the parameters mean; docs/provenance.md describes them."""


def make_statement(record: Mapping[str, Any]) -> dict[str, Any]:
    """Say of a wheel how it was built.

    Args:
        record: a build record, as `factory.record` writes it.

    Raises:
        KeyError: the record is an older one, which does not say what went in.
    """
    build = record["build"]
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": record["wheel"]["file"], "digest": {"sha256": record["wheel"]["sha256"]}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _asked(record),
                "internalParameters": {
                    "fingerprint": record["fingerprint"],
                    "variables": build["variables"],
                    "hostCompiler": record["toolchain"]["host_compiler"],
                    "nvcc": record["toolchain"]["nvcc"],
                    "network": build["network"],
                },
                "resolvedDependencies": [
                    _descriptor(record["recipe"]["file"], record["recipe"]["sha256"]),
                    *record["materials"],
                ],
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"cudawheel": record["cudawheel"]}},
                "metadata": {
                    "invocationId": f"{record['fingerprint'][:16]}-{build['started_at']}",
                    "startedOn": build["started_at"],
                    "finishedOn": build["finished_at"],
                },
            },
        },
    }


def _asked(record: Mapping[str, Any]) -> dict[str, Any]:
    """Give what came from outside: all that a person decided, or a recipe."""
    variant = record["variant"]
    return {
        "recipe": _descriptor(record["recipe"]["file"], record["recipe"]["sha256"]),
        "package": record["package"],
        "source": {"label": record["source"]["label"], "fallback": record["source"]["fallback"]},
        "variant": variant["identifier"],
        "abi": variant["abi"],
        "capabilities": variant["capabilities"],
        "ptx": variant["ptx"],
        "toolchain": record["toolchain"]["kind"],
        "networkAllowed": record["build"]["network_allowed"],
        "locked": record["build"]["locked"],
    }


def _descriptor(name: str, sha256: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": sha256}}
