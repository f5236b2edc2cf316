"""What a binary carries, or is to carry: cubins and PTX, written the way each tool wants it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cudawheel.errors import CapabilityError
from cudawheel.model.capability import ComputeCapability, Support


@dataclass(frozen=True, slots=True, order=True)
class Gencode:
    """One `-gencode` pair of nvcc: PTX of `capability`, or its cubin."""

    capability: ComputeCapability
    ptx: bool

    def __str__(self) -> str:
        number = self.capability.number
        return f"-gencode=arch=compute_{number},code={'compute' if self.ptx else 'sm'}_{number}"


@dataclass(frozen=True, slots=True)
class CapabilitySet:
    """Capabilities with machine code, and capabilities with PTX; both sorted, without repeats."""

    cubins: tuple[ComputeCapability, ...] = ()
    ptx: tuple[ComputeCapability, ...] = ()

    @classmethod
    def of(cls, cubins: Iterable[ComputeCapability] = (), ptx: Iterable[ComputeCapability] = ()) -> CapabilitySet:
        """Build a set from any iterables, sorting them and dropping repeats."""
        return cls(tuple(sorted(set(cubins))), tuple(sorted(set(ptx))))

    def __bool__(self) -> bool:
        return bool(self.cubins or self.ptx)

    def __or__(self, other: CapabilitySet) -> CapabilitySet:
        return CapabilitySet.of((*self.cubins, *other.cubins), (*self.ptx, *other.ptx))

    def __sub__(self, other: CapabilitySet) -> CapabilitySet:
        return CapabilitySet.of(set(self.cubins) - set(other.cubins), set(self.ptx) - set(other.ptx))

    def __str__(self) -> str:
        cubins = " ".join(str(capability) for capability in self.cubins)
        ptx = " ".join(str(capability) for capability in self.ptx)
        return " + PTX ".join(part for part in (cubins, ptx) if part) if cubins else f"PTX {ptx}" if ptx else "none"

    def support(self, gpu: ComputeCapability) -> Support:
        """How a GPU of capability `gpu` runs a binary that carries this set."""
        if any(capability.cubin_runs_on(gpu) for capability in self.cubins):
            return Support.NATIVE
        if any(capability.ptx_runs_on(gpu) for capability in self.ptx):
            return Support.PTX
        return Support.NONE

    def gencodes(self) -> tuple[Gencode, ...]:
        """Every `-gencode` pair that nvcc needs, lowest capability first."""
        cubins = (Gencode(capability, ptx=False) for capability in self.cubins)
        return tuple(sorted((*cubins, *(Gencode(capability, ptx=True) for capability in self.ptx))))

    @property
    def device_passes(self) -> int:
        """How often nvcc goes over each source: once for each capability, whether for machine code, PTX or both."""
        return len({*self.cubins, *self.ptx})

    def torch_cuda_arch_list(self) -> str:
        """Write the value of TORCH_CUDA_ARCH_LIST: `8.0;12.0+PTX`.

        Raises:
            CapabilityError: PTX without a cubin of the same capability, or family-specific code: torch has no way to
                say them.
        """
        family = [capability for capability in self.cubins if capability.suffix == "f"]
        if family:
            raise CapabilityError(
                f"TORCH_CUDA_ARCH_LIST cannot say {family[0]}",
                why="torch knows the suffix a alone (torch.utils.cpp_extension).",
                remedy=f"Ask for {family[0].base}, or for {family[0].base}a.",
            )
        lonely = sorted(set(self.ptx) - set(self.cubins))
        if lonely:
            raise CapabilityError(
                f"TORCH_CUDA_ARCH_LIST cannot say PTX of {lonely[0]} without its machine code",
                remedy=f"Ask for {lonely[0]}+PTX.",
            )
        return ";".join(f"{capability}{'+PTX' if capability in self.ptx else ''}" for capability in self.cubins)

    def cmake_cuda_architectures(self) -> str:
        """Write the value of CMAKE_CUDA_ARCHITECTURES: `80-real;120` (a bare number is machine code and PTX)."""
        words = []
        for capability in sorted({*self.cubins, *self.ptx}):
            kind = "-virtual" if capability not in self.cubins else "" if capability in self.ptx else "-real"
            words.append(f"{capability.number}{kind}")
        return ";".join(words)

    def from_template(self, item: str, separator: str = ";") -> str:
        """Write a package's own list: `item` holds {capability}, {major}, {minor}, {number}.

        Raises:
            CapabilityError: PTX is asked for, which such lists have no way to say.
        """
        if self.ptx:
            raise CapabilityError(
                f"the package's own capability list cannot say PTX of {self.ptx[-1]}",
                remedy="Leave +PTX out of the request.",
            )
        return separator.join(
            item.format(capability=capability, major=capability.major, minor=capability.minor, number=capability.number)
            for capability in self.cubins
        )
