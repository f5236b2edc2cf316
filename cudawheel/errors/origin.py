"""Where the cudawheel that runs was installed from, as its installer wrote it down (PEP 610)."""

from __future__ import annotations

import json
import shlex
from typing import Any
from urllib.parse import unquote, urlsplit


def recorded_origin() -> dict[str, Any]:
    """Read direct_url.json; empty where cudawheel came from an index, or is not installed."""
    # Slow to import, and errors are imported by all that starts.
    from importlib.metadata import PackageNotFoundError, distribution  # noqa: PLC0415

    try:
        found = json.loads(distribution("cudawheel").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def install_command(extra: str) -> str:
    """Give the command that adds an extra to the cudawheel that runs, where it came from: an index, or a folder.

    Args:
        extra: its name; empty installs cudawheel anew.
    """
    origin = recorded_origin()
    folder = origin.get("dir_info")
    editable, source = [], "cudawheel"
    if isinstance(folder, dict):
        editable = ["-e"] if folder.get("editable") else []
        source = unquote(urlsplit(str(origin.get("url", ""))).path)
    return shlex.join(["pip", "install", *editable, f"{source}[{extra}]" if extra else source])
