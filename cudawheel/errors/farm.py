"""Errors of building on many machines."""

from __future__ import annotations

from cudawheel.errors.base import CudawheelError
from cudawheel.errors.builds import BuildError


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
