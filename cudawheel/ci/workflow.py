"""What every generated workflow does, whatever the service: install, build a cell, audit, share, collect."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from cudawheel.ci.cells import CiCell
from cudawheel.errors import UsageError

CACHE, WHEELHOUSE, SITE = "cudawheel-cache", "wheelhouse", "site"
"""Folders of a job, below the checkout."""

STORE = f"{CACHE}/store"
REMOTE = "CUDAWHEEL_REMOTE_CACHE"
"""The variable through which `build` hears of the shared store."""

_WITHOUT_WRITING = {"http", "https"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """What a workflow is to do.

    Attributes:
        cells: its jobs.
        remote: address of the shared store; empty for none.
        install: what pip installs cudawheel from.
    """

    cells: tuple[CiCell, ...]
    remote: str = ""
    install: str

    @property
    def recipes(self) -> tuple[str, ...]:
        """The recipes, each once."""
        return tuple(dict.fromkeys(cell.recipe for cell in self.cells))

    @property
    def shares(self) -> bool:
        """Whether what is built goes into the shared store; a web server only gives."""
        return bool(self.remote) and urlsplit(self.remote).scheme not in _WITHOUT_WRITING

    @property
    def needs_checkout(self) -> bool:
        """Whether cudawheel itself lies in the repository."""
        return self.install.startswith((".", "/", "-"))

    @property
    def setup(self) -> str:
        """The command that installs cudawheel."""
        return f"python -m pip install {shlex.quote(self.install)}"

    def build(self, recipe: str, only: str) -> str:
        """The command that builds a cell, of which recipe and identifiers are variables of a shell."""
        return f'cudawheel build "{recipe}" --only "{only}" --cache {CACHE} --wheelhouse {WHEELHOUSE}'

    @property
    def audit(self) -> str:
        """The gate: every wheel of the store once more by hash, RECORD and audit; exit code 25 where one is unsound."""
        return f"cudawheel cache check --cache {CACHE}"

    @property
    def share(self) -> str:
        """The command that puts wheels into the shared store."""
        return f'cudawheel cache push "${REMOTE}" --cache {CACHE}'

    @property
    def publish(self) -> str:
        """The command that makes an index of all wheels."""
        return f"cudawheel index export {SITE} --wheelhouse {WHEELHOUSE}"

    def matrices(self, most: int) -> Iterator[tuple[str, Sequence[CiCell]]]:
        """Give the cells in jobs of so many as a service takes at most: name of the job, and its cells."""
        for number, start in enumerate(range(0, len(self.cells), most), start=1):
            name = "build" if len(self.cells) <= most else f"build-{number}"
            yield name, self.cells[start : start + most]


def require_no_secret(remote: str) -> None:
    """Let an address pass that may stand in a file that is committed.

    Raises:
        UsageError: it holds a user's name or password.
    """
    if "@" in urlsplit(remote).netloc:
        raise UsageError(
            "the address of the shared store holds credentials, and a workflow is committed",
            remedy="Leave them out of it, and give them to the jobs as secrets of the CI service.",
        )
