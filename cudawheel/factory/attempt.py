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
        seconds: wall time that it took here, whether built, found or failed.
        serves: further cells of the matrix that the same wheel serves.
    """

    identifier: str
    result: Outcome | CudawheelError
    seconds: float = 0.0
    serves: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """What became of it: `built`, `from the store` or `failed`."""
        if isinstance(self.result, CudawheelError):
            return "failed"
        return "from the store" if self.result.cached else "built"
