"""What a long piece of work tells while it runs. Rooms speak to this protocol; only the command line prints."""

from __future__ import annotations

from typing import Protocol

# The last phases of one of several builds: nothing is heard of it any more.
DONE, FAILED = "done", "failed"


class Progress(Protocol):
    """A listener to one build."""

    def phase(self, name: str, detail: str = "") -> None:
        """Say that a new phase begins, such as `source` or `compiling`; DONE or FAILED ends one of several builds."""

    def steps(self, done: int, total: int) -> None:
        """Say how much of the phase is done: ninja's edges, or bytes."""

    def compilers(self, used: int, budget: int, running: int, waiting: int) -> None:
        """Say how many bytes all builds hold and may hold, how many compilers run, and how many wait for their turn."""

    def note(self, text: str) -> None:
        """Say something that is to stay on the screen."""


class Silent:
    """A listener that says nothing."""

    def phase(self, name: str, detail: str = "") -> None:
        """Ignore a phase."""

    def steps(self, done: int, total: int) -> None:
        """Ignore steps."""

    def compilers(self, used: int, budget: int, running: int, waiting: int) -> None:
        """Ignore compilers."""

    def note(self, text: str) -> None:
        """Ignore a note."""
