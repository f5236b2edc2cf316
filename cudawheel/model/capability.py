"""One compute capability, whatever spelling it came in.

Rules of what runs where are NVIDIA's: CUDA C++ Programming Guide, "Compute Capability" and "Family-specific features".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from cudawheel.errors import CapabilityError

_SPELLING = re.compile(
    r"""(?:sm_?|compute_?|lto_?)?      # nvcc's prefixes
        (?P<number>[1-9]\d?\.\d|[1-9]\d{1,2})    # 8.6, 86, 120
        (?P<suffix>[af]?)""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)


class Support(Enum):
    """How a GPU runs a binary."""

    NATIVE = "native"
    PTX = "PTX"
    NONE = "no"


@dataclass(frozen=True, slots=True, order=True)
class ComputeCapability:
    """A compute capability such as 8.6, 9.0a (one chip only) or 12.0f (one family only).

    Attributes:
        major: the generation, 7 for Turing's 7.5.
        minor: the chip within the generation, one digit.
        suffix: "", "a" for architecture-specific or "f" for family-specific code.
    """

    major: int
    minor: int
    suffix: str = ""

    @classmethod
    def parse(cls, text: str) -> ComputeCapability:
        """Read `8.6`, `86`, `sm_86`, `compute_86`, `9.0a` or `12.0f`.

        Raises:
            CapabilityError: the text is none of these.
        """
        match = _SPELLING.fullmatch(text.strip())
        if match is None:
            raise CapabilityError(
                f"{text!r} is not a compute capability",
                remedy="Write it as 8.6, 86, sm_86 or compute_86, with a or f behind it where it is specific.",
            )
        number = match["number"].replace(".", "")
        return cls(int(number[:-1]), int(number[-1]), match["suffix"].lower())

    @property
    def number(self) -> str:
        """Digits and suffix without a dot, as nvcc and CMake write them: `86`, `90a`."""
        return f"{self.major}{self.minor}{self.suffix}"

    @property
    def base(self) -> ComputeCapability:
        """The same capability without its suffix, which is what a GPU reports."""
        return ComputeCapability(self.major, self.minor)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}{self.suffix}"

    def cubin_runs_on(self, gpu: ComputeCapability) -> bool:
        """Whether machine code for this capability runs on `gpu`, without the driver compiling anything."""
        same_chip = self.base == gpu.base
        later_in_generation = self.major == gpu.major and gpu.minor >= self.minor
        return same_chip if self.suffix == "a" else later_in_generation

    def ptx_runs_on(self, gpu: ComputeCapability) -> bool:
        """Whether the driver can compile PTX of this capability for `gpu`."""
        if self.suffix:
            return self.cubin_runs_on(gpu)
        return gpu.base >= self.base
