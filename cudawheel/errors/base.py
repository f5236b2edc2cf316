"""What all errors have in common, and those of any command."""

from __future__ import annotations

import json
import shlex
from typing import ClassVar
from urllib.parse import unquote, urlsplit


def install_command(extra: str) -> str:
    """Give the command that adds an extra to the cudawheel that runs, where it came from: an index, or a folder.

    Args:
        extra: its name; empty installs cudawheel anew.

    Source: PEP 610, whose direct_url.json names the folder.
    """
    # Slow to import, and errors are imported by all that starts.
    from importlib.metadata import PackageNotFoundError, distribution  # noqa: PLC0415

    try:
        recorded = json.loads(distribution("cudawheel").read_text("direct_url.json") or "{}")
        place = urlsplit(recorded["url"])
        editable = ["-e"] if recorded["dir_info"].get("editable") else []
        source = unquote(place.path)
    except (PackageNotFoundError, OSError, ValueError, KeyError, TypeError, AttributeError):
        editable, source = [], "cudawheel"
    return shlex.join(["pip", "install", *editable, f"{source}[{extra}]" if extra else source])


class CudawheelError(Exception):
    """Base of all errors that cudawheel raises on purpose.

    Args:
        what: what happened, one sentence that names the file, field or variable.
        why: what was found, as evidence.
        remedy: what the reader can do now.
    """

    exit_code: ClassVar[int] = 1
    title: ClassVar[str] = "cudawheel failed"

    def __init__(self, what: str, *, why: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        return "\n".join(part for part in (self.what, self.why, self.remedy) if part)


class UsageError(CudawheelError):
    """The command line asks for something that does not exist."""

    exit_code = 2
    title = "wrong usage"


class ExtraMissingError(CudawheelError):
    """A command needs packages that an extra of cudawheel brings, and they are not installed.

    Args:
        what: what happened.
        why: what was found.
        extra: the extra that brings them.
        otherwise: what can be done instead.
    """

    exit_code = 30
    title = "extra not installed"

    def __init__(self, what: str, *, why: str = "", extra: str, otherwise: str = "") -> None:
        remedy = f"{install_command(extra)}; or {otherwise}" if otherwise else install_command(extra)
        super().__init__(what, why=why, remedy=remedy)


class InterruptedBuildError(CudawheelError):
    """Ctrl-C, or a termination signal."""

    exit_code = 130
    title = "interrupted"
