"""The one exception tree.

Every error that a person can meet carries four things: what happened, why, what to do about it, and the exit code
that a script can branch on. Exit codes are part of the interface: `docs/exit-codes.md` is generated from this file
by a test and a number is never given to another meaning.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import ClassVar


class CudawheelError(Exception):
    """Base of all errors that cudawheel raises on purpose.

    Args:
        what: what happened, one sentence that names the file, field or variable.
        why: what was found, as evidence.
        remedy: what the reader can do now.
    """

    exit_code: ClassVar[int] = 1
    title: ClassVar[str] = "cudawheel failed"

    def __init__(self, what: str, *, why: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        return "\n".join(part for part in (self.what, self.why, self.remedy) if part)


class UsageError(CudawheelError):
    """The command line asks for something that does not exist."""

    exit_code = 2
    title = "wrong usage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of a recipe: where (dotted path), what was found there, and what is allowed."""

    path: str
    found: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.path}: found {self.found}; {self.allowed}"


class RecipeError(CudawheelError):
    """A recipe cannot be read; `faults` holds all of them, not the first one."""

    exit_code = 3
    title = "recipe is not valid"

    def __init__(self, what: str, *, faults: tuple[Fault, ...] = (), why: str = "", remedy: str = "") -> None:
        super().__init__(what, why=why or "\n".join(str(fault) for fault in faults), remedy=remedy)
        self.faults = faults


class CapabilityError(CudawheelError):
    """A compute capability is misspelt, unknown, or not within reach of the toolkit."""

    exit_code = 4
    title = "compute capability not available"


class PlanError(CudawheelError):
    """No variant of the recipe can be built as asked."""

    exit_code = 5
    title = "nothing to build"


class SourceUnreachableError(CudawheelError):
    """None of the sources could be fetched."""

    exit_code = 6
    title = "source not reachable"


class SourceHashError(CudawheelError):
    """What was fetched is not what the recipe pinned."""

    exit_code = 7
    title = "source has the wrong hash"


class SourceUnsafeError(CudawheelError):
    """An archive would write outside its folder, or cannot be read."""

    exit_code = 8
    title = "source archive is not safe"


class PatchError(CudawheelError):
    """A patch or replacement does not apply as the recipe expects."""

    exit_code = 9
    title = "patch does not apply"


class PythonNotFoundError(CudawheelError):
    """No interpreter of the version that the variant asks for."""

    exit_code = 10
    title = "Python not found"


class ToolchainError(CudawheelError):
    """No CUDA toolkit as planned, or a broken one."""

    exit_code = 11
    title = "CUDA toolkit not available"


class HostCompilerError(CudawheelError):
    """The C++ compiler is missing, or newer or older than nvcc accepts."""

    exit_code = 12
    title = "host compiler not usable"


class InstallError(CudawheelError):
    """The build environment cannot be resolved or installed."""

    exit_code = 13
    title = "build environment not installable"


class BuildError(CudawheelError):
    """The package's own build backend failed."""

    exit_code = 14
    title = "build failed"


class OutOfMemoryError(BuildError):
    """The build was killed, or the compiler gave up, for want of memory."""

    exit_code = 15
    title = "out of memory"


class AuditError(CudawheelError):
    """The wheel was built but is not what was planned; it is not stored."""

    exit_code = 16
    title = "wheel failed its audit"


class WheelError(CudawheelError):
    """A wheel or shared object cannot be read."""

    exit_code = 17
    title = "wheel not readable"


class StoreError(CudawheelError):
    """The wheelhouse or the cache cannot be written."""

    exit_code = 18
    title = "wheelhouse not writable"


class DiskFullError(StoreError):
    """No space left where cudawheel has to write."""

    exit_code = 19
    title = "disk full"

    @classmethod
    def from_os_error(cls, error: OSError, place: object = "") -> DiskFullError | None:
        """Give the error that an `OSError` stands for, or None if it is about something else.

        Args:
            error: what the operating system said.
            place: what to name where it names no file.
        """
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            return None
        where = error.filename2 or error.filename or place
        return cls(
            f"no space is left{f' for {where}' if where else ''}",
            why=error.strerror or "",
            remedy="Free some space, or choose a larger disk with --cache and --wheelhouse; nothing half-written was "
            "left behind.",
        )


class GpuNotSupportedError(CudawheelError):
    """`inspect --gpu`: the GPU that was asked about cannot run what was inspected; an answer rather than a failure."""

    exit_code = 20
    title = "does not run on that GPU"


class MemoryBudgetError(CudawheelError):
    """One compiler of the build needs more memory than may be used here; `--force` tries all the same."""

    exit_code = 21
    title = "too little memory"


class VerificationError(CudawheelError):
    """`verify`: the wheel computes something wrong, or something that had to be proven could not be tried."""

    exit_code = 22
    title = "not proven"


class VoidVerdictError(CudawheelError):
    """`verify`: a kernel that was broken on purpose passed, so that what the checks say of the wheel means nothing."""

    exit_code = 23
    title = "verdict is void"


class VerificationSetupError(CudawheelError):
    """`verify`: nothing was tried: the wheel fits no Python here, no suite is known, or the checks never began."""

    exit_code = 24
    title = "cannot verify"


class StoredWheelError(CudawheelError):
    """A wheel of a store is damaged, is not what its record says, or fails its audit; it was not used."""

    exit_code = 25
    title = "stored wheel not sound"


class RemoteStoreError(CudawheelError):
    """`cache push` and `cache pull`: the remote store cannot be reached, does not hold what was asked, or refuses."""

    exit_code = 26
    title = "remote store not usable"


class ExtraMissingError(CudawheelError):
    """A command needs packages that an extra of cudawheel brings, and they are not installed."""

    exit_code = 30
    title = "extra not installed"


class CheckpointError(CudawheelError):
    """Weights or their config are missing, damaged, not what was asked for, or would run code."""

    exit_code = 31
    title = "weights not usable"


class ImageError(CudawheelError):
    """A picture cannot be read, or shows no object."""

    exit_code = 32
    title = "picture not usable"


class DeviceError(CudawheelError):
    """The device that a network should run on is not there; no other is taken in its place."""

    exit_code = 33
    title = "device not available"


class DeviceMemoryError(DeviceError):
    """The device has too little free memory even for the smallest portion."""

    exit_code = 34
    title = "no memory left on the device"


class FieldError(CudawheelError):
    """A scene's density is not a finite number everywhere."""

    exit_code = 35
    title = "density not finite"


class SurfaceError(CudawheelError):
    """A scene has no surface: nothing of it is inside, or everything."""

    exit_code = 36
    title = "no surface"


class MarchingCubesError(CudawheelError):
    """The marching cubes that a mesh needs are not installed, or not for the device; no others take their place."""

    exit_code = 37
    title = "marching cubes not available"


class SelectionError(CudawheelError):
    """`--only` or `--skip`: a pattern matches no cell of the matrix, or none is left to build."""

    exit_code = 40
    title = "no cell selected"


class ContainerEngineError(CudawheelError):
    """`build --container`: there is no container engine here, or none that answers."""

    exit_code = 41
    title = "container engine not available"


class ContainerImageError(CudawheelError):
    """`build --container`: no image is known in which the variant could be built."""

    exit_code = 42
    title = "no container image"


class NetworkNeededError(BuildError):
    """The package reached for the network while it built, which a build may not unless `--network` allows it."""

    exit_code = 50
    title = "build wants the network"


class LockError(CudawheelError):
    """The lock file of a recipe cannot be read, or does not fit what is built; `--update-lock` writes it anew."""

    exit_code = 51
    title = "lock does not fit"


class KeyFileError(CudawheelError):
    """A key for signing or checking cannot be read, is kept where others can read it, or is there already."""

    exit_code = 52
    title = "key not usable"


class ProvenanceError(CudawheelError):
    """The provenance of a wheel is not what it has to be: no envelope, no statement, or one of another kind."""

    exit_code = 53
    title = "provenance not usable"


class UnsignedError(ProvenanceError):
    """There is no provenance beside a wheel, or nobody has signed it."""

    exit_code = 54
    title = "wheel is not signed"


class UnknownKeyError(ProvenanceError):
    """The provenance of a wheel is signed, but by none of the keys that are trusted."""

    exit_code = 55
    title = "signed by an unknown key"


class TamperedError(ProvenanceError):
    """The provenance of a wheel names a trusted key, and its signature does not hold: something was changed since."""

    exit_code = 56
    title = "provenance was tampered with"


class WrongWheelError(ProvenanceError):
    """The provenance is genuine, and is that of another wheel: the bytes at hand are not the ones that it names."""

    exit_code = 57
    title = "provenance of another wheel"


class ProblemFoundError(CudawheelError):
    """`doctor`: something on this machine keeps a build, or code for a GPU, from working; an answer, not a failure."""

    exit_code = 60
    title = "problem found"


class WarningFoundError(CudawheelError):
    """`doctor`: nothing keeps a build from working, and something is likely to trip over; an answer as well."""

    exit_code = 61
    title = "warning found"


class NothingKnownError(CudawheelError):
    """`explain`: the text shows nothing that is known; an answer rather than a failure."""

    exit_code = 65
    title = "nothing known found"


class FarmError(CudawheelError):
    """`build --scheduler`: nobody answers at the scheduler's address, or no worker comes."""

    exit_code = 80
    title = "farm not usable"


class SchedulerLostError(FarmError):
    """The scheduler of a farm has disappeared; what was done is kept, and the same command goes on."""

    exit_code = 81
    title = "scheduler lost"


class UnfitWorkersError(FarmError):
    """No worker of a farm can build: each is named with what it lacks."""

    exit_code = 82
    title = "no worker can build"


class FarmVersionError(FarmError):
    """A worker of a farm has another cudawheel than whoever asks it to build."""

    exit_code = 83
    title = "another version on a worker"


class WorkerPlatformError(FarmError):
    """A worker of a farm is of another platform than the wheels."""

    exit_code = 84
    title = "worker of another platform"


class LethalCellError(BuildError):
    """Two workers of a farm were lost while they built the same cell; it was set aside."""

    exit_code = 85
    title = "cell set aside"


class DraftError(CudawheelError):
    """`recipe new`: there is nothing at hand that a recipe could be drafted from."""

    exit_code = 70
    title = "nothing to draft a recipe from"


class NoCudaError(DraftError):
    """`recipe new`: the package compiles nothing for CUDA when it is built."""

    exit_code = 71
    title = "no CUDA code to build"


class InterruptedBuildError(CudawheelError):
    """Ctrl-C, or a termination signal."""

    exit_code = 130
    title = "interrupted"
