"""One cell of the matrix: everything that makes one wheel differ from its siblings."""

from __future__ import annotations

from dataclasses import dataclass

from cudawheel.model.abi import TorchAbi
from cudawheel.model.capability_set import CapabilitySet
from cudawheel.model.version import CudaVersion, PythonVersion, TorchVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A wheel to be: which Python, torch and CUDA it is built with, and the capabilities it carries.

    A package that uses CUDA without torch has variants without torch: nothing is promised about any torch then.

    Attributes:
        python: the interpreter that builds it.
        torch: the release it is built against, or None.
        cuda: the toolkit's, and where there is a torch the one that it was built with.
        capabilities: what the plan accepted.
        abi: what it promises about other torch releases; None without torch.
        machine: the processor, as `platform.machine()` writes it.
    """

    python: PythonVersion
    torch: TorchVersion | None
    cuda: CudaVersion
    capabilities: CapabilitySet
    abi: TorchAbi | None
    machine: str

    @property
    def identifier(self) -> str:
        """The name people select by: `cp312-torch2.11-cu130-x86_64`, or `cp312-cu130-x86_64`."""
        torch = () if self.torch is None else (f"torch{self.torch}",)
        return "-".join((self.python.tag, *torch, self.cuda.channel, self.machine))

    @property
    def torch_requirements(self) -> tuple[str, ...]:
        """What its wheel has to require of torch: one requirement, or none without torch."""
        return () if self.torch is None or self.abi is None else (self.abi.requirement(self.torch),)
