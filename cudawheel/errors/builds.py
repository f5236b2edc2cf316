"""Errors between a source and a wheel."""

from __future__ import annotations

from cudawheel.errors.base import CudawheelError


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


class MemoryBudgetError(CudawheelError):
    """One compiler of the build needs more memory than may be used here; `--force` tries all the same."""

    exit_code = 21
    title = "too little memory"


class NetworkNeededError(BuildError):
    """The package reached for the network while it built, which a build may not unless `--network` allows it."""

    exit_code = 50
    title = "build wants the network"


class LockError(CudawheelError):
    """The lock file of a recipe cannot be read, or does not fit what is built; `--update-lock` writes it anew."""

    exit_code = 51
    title = "lock does not fit"


class ContainerEngineError(CudawheelError):
    """`build --container`: there is no container engine here, or none that answers."""

    exit_code = 41
    title = "container engine not available"


class ContainerImageError(CudawheelError):
    """`build --container`: no image is known in which the variant could be built."""

    exit_code = 42
    title = "no container image"
