"""Errors of verification and of TripoSR."""

from __future__ import annotations

from cudawheel.errors.base import CudawheelError


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
