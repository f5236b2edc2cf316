"""What was looked at and turned down: every search of this room ends in one that fits or in the list of these."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A candidate that does not do.

    Attributes:
        origin: where it came from, such as `CUDA_HOME` or `PATH`.
        candidate: the path or value found there.
        reason: why it does not do.
    """

    origin: str
    candidate: str
    reason: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.candidate}: {self.reason}"


def tried(rejections: Iterable[Rejection]) -> str:
    """List rejections as the evidence of an error, one a line."""
    return "\n".join(f"  {rejection}" for rejection in rejections) or "  nothing was found to try"
