"""The sidecar file that remembers what the wheels of a wheelhouse told, so that an unchanged one is not read again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import Version

from cudawheel.errors import StoreError
from cudawheel.files import disk_errors, write_atomically
from cudawheel.index.examine import Examined, Stamp

SIDECAR = ".cudawheel-index/wheels.json"
"""Its path below the wheelhouse. Hidden, so that it is no stray file; in a folder of its own, so that writing it does
not change the time of the wheelhouse, by which a running server knows that a wheel has come in."""

_FORMAT = 1


def load(wheelhouse: Path) -> dict[str, Examined]:
    """Give what is remembered, by path below the wheelhouse. What cannot be read is forgotten, at the cost of time."""
    try:
        content = json.loads((wheelhouse / SIDECAR).read_bytes())
        if content["format"] != _FORMAT:
            return {}
        return {path: _to_examined(row) for path, row in content["wheels"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def save(wheelhouse: Path, known: Mapping[str, Examined]) -> None:
    """Remember, where the wheelhouse can be written; one that is mounted read-only is read anew by each program."""
    rows = {path: _to_row(examined) for path, examined in sorted(known.items())}
    # Row by row: one long call would keep a server's other threads waiting for as long as it takes.
    lines = ",\n".join(f"{json.dumps(path)}: {json.dumps(row)}" for path, row in rows.items())
    content = f'{{"format": {_FORMAT}, "wheels": {{\n{lines}\n}}}}\n'.encode()
    with contextlib.suppress(StoreError), disk_errors(wheelhouse):
        (wheelhouse / SIDECAR).parent.mkdir(exist_ok=True)
        write_atomically(wheelhouse / SIDECAR, content)


def _to_row(examined: Examined) -> list[Any]:
    stamp = examined.stamp
    hashes = examined.sha256, examined.metadata_sha256
    words = examined.project, str(examined.version), examined.requires_python, examined.identity
    return [stamp.size, stamp.modified_ns, stamp.inode, *hashes, *words]


def _to_examined(row: list[Any]) -> Examined:
    size, modified_ns, inode, sha256, metadata_sha256, project, version, requires_python, identity = row
    return Examined(
        stamp=Stamp(int(size), int(modified_ns), int(inode)),
        sha256=str(sha256),
        metadata_sha256=str(metadata_sha256),
        project=canonicalize_name(project),
        version=Version(version),
        requires_python=str(requires_python),
        identity=str(identity),
    )
