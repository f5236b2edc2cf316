"""Whom builds fetch from, and which recipes are at hand."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from cudawheel.data import read_json
from cudawheel.doctor.diagnoses.extensions import normalised
from cudawheel.doctor.machine import NVIDIA_ARCHIVES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def usual_addresses(environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Give the package index that pip and uv are told to use, or the usual one, and NVIDIA's archives."""
    # These bring requests along, which takes a while to import.
    from pypi_simple import PYPI_SIMPLE_ENDPOINT  # noqa: PLC0415

    from cudawheel.builder.archives import package_index  # noqa: PLC0415

    return (
        ("the package index", package_index(environ) or PYPI_SIMPLE_ENDPOINT),
        (NVIDIA_ARCHIVES, read_json("redist")["base_url"]),
    )


def recipes_in(folder: Path) -> dict[str, str]:
    """Give the recipes of a folder: normalised name of the distribution, and the file; damaged ones are passed over."""
    found = {}
    for path in sorted(folder.glob("*.toml")):
        name = _package_name(path)
        if name:
            found[normalised(name)] = str(path)
    return found


def _package_name(path: Path) -> str:
    try:
        package = tomllib.loads(path.read_text(encoding="utf-8")).get("package", {})
    except (OSError, ValueError, RecursionError):
        return ""
    name = package.get("name", "") if isinstance(package, dict) else ""
    return name if isinstance(name, str) else ""
