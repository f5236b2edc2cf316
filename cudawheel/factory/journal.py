"""What became of the cells of a recipe when all were built last: a small file that outlives an interrupted run.

Finished wheels are in the store, which is where a run that starts again finds them. The journal knows what the store
cannot: which cells failed, so that they come last, or alone.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from filelock import FileLock

from cudawheel.errors import CudawheelError
from cudawheel.files import disk_errors, write_atomically


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A cell that could not be built.

    Attributes:
        identifier: of the cell.
        exit_code: what a command that built it alone would have ended with.
        what: what happened, in a sentence.
        at: when, in UTC, as ISO 8601 writes it.
    """

    identifier: str
    exit_code: int
    what: str
    at: str


class Journal:
    """The failures of one recipe's cells. Several processes may write it; each changes its own cells alone."""

    def __init__(self, cache: Path, recipe: Path) -> None:
        digest = hashlib.sha256(str(recipe.resolve()).encode()).hexdigest()[:12]
        self._path = cache / "runs" / f"{recipe.stem}-{digest}.json"

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self._path

    def failures(self) -> dict[str, Failure]:
        """Give the cells that failed when they were tried last, by identifier; a file that cannot be read has none."""
        found: dict[str, Failure] = {}
        with suppress(OSError, ValueError, TypeError, AttributeError):
            for entry in json.loads(self._path.read_text(encoding="utf-8"))["failed"]:
                failure = Failure(**entry)
                found[failure.identifier] = failure
        return found

    def failed(self, identifier: str, error: CudawheelError) -> None:
        """Write down that a cell failed.

        Raises:
            StoreError: the file cannot be written.
        """
        now = datetime.now(tz=timezone.utc).isoformat(timespec="seconds")
        failure = Failure(identifier=identifier, exit_code=error.exit_code, what=error.what, at=now)
        self._change({identifier: failure})

    def done(self, *identifiers: str) -> None:
        """Strike cells out that are built by now.

        Raises:
            StoreError: the file cannot be written.
        """
        if set(identifiers) & set(self.failures()):
            self._change(dict.fromkeys(identifiers))

    def _change(self, changes: dict[str, Failure | None]) -> None:
        with disk_errors(self._path.parent):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self._path}.lock"):
                kept = {**self.failures(), **changes}
                rows = [asdict(failure) for _name, failure in sorted(kept.items()) if failure is not None]
                write_atomically(self._path, (json.dumps({"failed": rows}, indent=2) + "\n").encode())
