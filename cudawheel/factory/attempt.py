"""What became of one of several variants."""

from __future__ import annotations

from dataclasses import dataclass

from cudawheel.errors import CudawheelError
from cudawheel.factory.factory import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One variant of several.

    Attributes:
        identifier: name of the variant.
        result: its outcome, or the error that stood in the way.
    """

    identifier: str
    result: Outcome | CudawheelError
