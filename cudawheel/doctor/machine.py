"""Everything that was found on a machine, as one frozen value. Sizes are bytes, times seconds since the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from cudawheel.model.capability import ComputeCapability, Support
from cudawheel.model.capability_set import CapabilitySet
from cudawheel.model.version import CudaVersion
from cudawheel.schedule.limits import MemoryLimit
from cudawheel.toolchain.compiler_limits import CompilerFamily, CompilerLimits

NVIDIA_ARCHIVES = "NVIDIA's archives"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Memory and cores.

    Attributes:
        machine: the machine's own limit; None where /proc/meminfo holds no sense.
        groups: limits of the cgroups above this process.
        swap: how much swap there is; builds do not count on it.
        cores: how many this process may keep busy.
    """

    machine: MemoryLimit | None = None
    groups: tuple[MemoryLimit, ...] = ()
    swap: int = 0
    cores: int = 1

    @property
    def limits(self) -> tuple[MemoryLimit, ...]:
        """Every limit that is known."""
        return (*((self.machine,) if self.machine else ()), *self.groups)

    @property
    def room(self) -> int | None:
        """What builds may take, or None where nothing is known."""
        return min((limit.room for limit in self.limits), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class WslConfig:
    """The file .wslconfig of a Windows user.

    Attributes:
        path: where it lies, as Linux sees it.
        modified: when it was last written.
        memory: what `memory` under `[wsl2]` says.
        faults: what keeps WSL from reading it as it was meant.
    """

    path: str
    modified: float | None = None
    memory: int | None = None
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wsl:
    """The Windows Subsystem for Linux.

    Attributes:
        version: 1 or 2.
        gpu_device: whether /dev/dxg is there, by which WSL2 lends the GPU.
        host_memory: memory of the whole computer, if Windows said so.
        profile: the Windows user's folder, as Windows writes it, or an empty string.
        config: the user's .wslconfig, if there is one that can be read.
        booted: when this WSL was started.
    """

    version: int
    gpu_device: bool
    host_memory: int | None = None
    profile: str = ""
    config: WslConfig | None = None
    booted: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU: `capability` is None, and `fault` says why, where the driver cannot tell."""

    name: str
    capability: ComputeCapability | None
    memory: int | None = None
    fault: str = ""

    def __str__(self) -> str:
        short = self.name.removeprefix("NVIDIA ").removeprefix("GeForce ")
        return f"{short} ({self.capability})" if self.capability else short


class DriverState(Enum):
    """Whether NVIDIA's driver answers."""

    ABSENT = "absent"
    BROKEN = "broken"
    WORKS = "works"


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """NVIDIA's driver and what it sees.

    Attributes:
        version: such as `580.159.03`.
        cuda: the newest CUDA that it runs.
        gpus: in the driver's order.
        fault: what it said where it does not work.
        device_files: whether /dev holds GPUs, whatever the driver says.
    """

    state: DriverState
    version: str = ""
    cuda: CudaVersion | None = None
    gpus: tuple[Gpu, ...] = ()
    fault: str = ""
    device_files: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolkit:
    """A CUDA toolkit: what its nvcc answers, or `fault`. The first in the list is the one that builds take."""

    home: str
    origin: str
    version: CudaVersion | None = None
    release: str = ""
    gpu_codes: tuple[ComputeCapability, ...] = ()
    limits: CompilerLimits | None = None
    fault: str = ""

    def compiles_for(self, gpu: Gpu) -> bool:
        """Whether its nvcc makes machine code that runs on a GPU."""
        capability = gpu.capability
        return capability is not None and any(code.cubin_runs_on(capability) for code in self.gpu_codes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiler:
    """A C++ compiler, in the order in which they would be taken."""

    path: str
    family: CompilerFamily | None = None
    version: tuple[int, ...] = ()
    fault: str = ""

    def __str__(self) -> str:
        return f"{self.family} {'.'.join(map(str, self.version))}"

    def accepted_by(self, limits: CompilerLimits) -> bool:
        """Whether an nvcc takes it."""
        return self.family is not None and self.version[0] in limits.of(self.family)


@dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    """A CPython, and whether extensions can be compiled against it."""

    path: str
    version: str
    headers: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchTrial:
    """What came of importing torch: `error` is its last line, `architectures` what torch says that it carries."""

    error: str = ""
    available: bool = False
    devices: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Torch:
    """A torch installation, told from its files.

    Attributes:
        site: the folder that it lies in.
        cuda: what it was built with; None is a build for the CPU alone, or for ROCm.
        capabilities: what most of its kernels carry; None where nobody looked.
        fault: what is wrong with its files.
        trial: what came of importing it, if that was tried.
    """

    site: str
    version: str
    cuda: CudaVersion | None = None
    rocm: str = ""
    capabilities: CapabilitySet | None = None
    fault: str = ""
    trial: TorchTrial | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedFile:
    """A shared object with device code."""

    name: str
    capabilities: CapabilitySet


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """An installed distribution with device code in it; `modules` are the importable ones beside or above that code."""

    name: str
    version: str
    files: tuple[CodedFile, ...] = ()
    modules: tuple[str, ...] = ()
    fault: str = ""

    @property
    def capabilities(self) -> CapabilitySet:
        """All that any of its files carries."""
        found = CapabilitySet()
        for file in self.files:
            found |= file.capabilities
        return found

    def support(self, gpu: ComputeCapability) -> Support:
        """How a GPU runs it, by its best file: others may be for other GPUs alone."""
        return self.capabilities.support(gpu)

    def left_out(self, gpu: ComputeCapability) -> tuple[CodedFile, ...]:
        """Give the files with nothing in them that runs on a GPU."""
        return tuple(file for file in self.files if file.capabilities.support(gpu) is Support.NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The Python environment that is examined.

    Attributes:
        python: its interpreter.
        pip: how its pip is called from where doctor runs: with a path where that is another environment.
        fault: why it could not be looked into.
    """

    python: str
    pip: str = "pip"
    version: str = ""
    torch: Torch | None = None
    extensions: tuple[Extension, ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder that builds write to."""

    what: str
    path: str
    free: int | None = None
    writable: bool = True
    exists: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """A host on the network: `fault` is empty where it takes connections."""

    what: str
    host: str
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """All that was found.

    Attributes:
        system: the operating system, in words.
        processor: as `platform.machine()` says.
        variables: environment variables that steer CUDA builds and what CUDA sees.
        faults: probes that broke, and over what.
        tools: programs of builds that are on PATH.
        other_torches: torch in other environments of this machine, not looked into.
        reaches: hosts that were tried; None where nobody tried.
    """

    system: str
    processor: str
    memory: Memory
    driver: Driver
    environment: Environment
    wsl: Wsl | None = None
    toolkits: tuple[Toolkit, ...] = ()
    compilers: tuple[Compiler, ...] = ()
    pythons: tuple[Python, ...] = ()
    other_torches: tuple[Torch, ...] = ()
    folders: tuple[Folder, ...] = ()
    reaches: tuple[Reach, ...] | None = None
    tools: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
