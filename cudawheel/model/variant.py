"""One cell of the matrix: everything that makes one wheel differ from its siblings."""

from __future__ import annotations

from dataclasses import dataclass

from cudawheel.model.abi import TorchAbi
from cudawheel.model.capability_set import CapabilitySet
from cudawheel.model.version import CudaVersion, PythonVersion, TorchVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A wheel to be: which Python, torch and CUDA it is built with, and the capabilities it carries.

    Attributes:
        python: the interpreter that builds it.
        torch: the release it is built against.
        cuda: the CUDA that torch was built with, and so the toolkit's.
        capabilities: what the plan accepted.
        abi: what it promises about other torch releases.
        machine: the processor, as `platform.machine()` writes it.
    """

    python: PythonVersion
    torch: TorchVersion
    cuda: CudaVersion
    capabilities: CapabilitySet
    abi: TorchAbi
    machine: str

    @property
    def identifier(self) -> str:
        """The name people select by: `cp312-torch2.11-cu130-x86_64`."""
        return f"{self.python.tag}-torch{self.torch}-{self.cuda.channel}-{self.machine}"
