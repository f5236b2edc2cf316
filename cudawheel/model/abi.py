"""The promise a wheel makes about which torch it loads into."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cudawheel.errors import UsageError
from cudawheel.model.version import TorchVersion


@dataclass(frozen=True, slots=True)
class TorchAbi:
    """Either one torch minor release (`stable_since` is None), or torch's stable ABI from a release on."""

    stable_since: TorchVersion | None = None

    @classmethod
    def parse(cls, text: str) -> TorchAbi:
        """Read `torch-minor` or `torch-stable >= 2.10`.

        Raises:
            UsageError: the text is neither.
        """
        if text.strip() == "torch-minor":
            return cls()
        match = re.fullmatch(r"torch-stable\s*>=\s*(\d+\.\d+)", text.strip())
        if match is None:
            raise UsageError(f"{text!r} is not an ABI promise", remedy="Write torch-minor, or torch-stable >= 2.10.")
        return cls(TorchVersion.parse(match[1]))

    def requirement(self, torch: TorchVersion) -> str:
        """Write the `Requires-Dist` of a wheel built against `torch`."""
        return f"torch=={torch}.*" if self.stable_since is None else f"torch>={self.stable_since}"

    def promised(self, torch: TorchVersion) -> TorchVersion:
        """Give the torch release that the local version names: the only one, or the first one."""
        return self.stable_since or torch

    def __str__(self) -> str:
        return "torch-minor" if self.stable_since is None else f"torch-stable >= {self.stable_since}"
