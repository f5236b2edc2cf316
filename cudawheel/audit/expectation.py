"""What a wheel is to be, as the plan and the recipe say; the checks compare it with what the wheel is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cudawheel.model.abi import TorchAbi
from cudawheel.model.capability_set import CapabilitySet
from cudawheel.model.version import TorchVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """The promises of one wheel.

    Attributes:
        torch: the release it was built against; None for a package that uses CUDA alone.
        abi: what it promises about other torch releases; None without torch.
        capabilities: what every object with device code has to carry.
        cuda_required: whether a wheel without device code is a failed build.
        allowed_libraries: file names (fnmatch) of libraries that users are expected to have, beyond those of manylinux,
            torch and CUDA.
        torch_libraries: folders with the libraries of that torch and of the CUDA packages it requires; where there are
            none, undefined symbols are not looked up.
    """

    torch: TorchVersion | None
    abi: TorchAbi | None = field(default_factory=TorchAbi)
    capabilities: CapabilitySet = field(default_factory=CapabilitySet)
    cuda_required: bool = True
    allowed_libraries: tuple[str, ...] = ()
    torch_libraries: tuple[Path, ...] = ()

    @property
    def requirement(self) -> str:
        """The `Requires-Dist` that the ABI promise amounts to; empty without torch."""
        return "" if self.torch is None or self.abi is None else self.abi.requirement(self.torch)
