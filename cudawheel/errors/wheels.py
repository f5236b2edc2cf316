"""Errors of wheels: what is in them, where they are kept, who signed them."""

from __future__ import annotations

import errno

from cudawheel.errors.base import CudawheelError


class AuditError(CudawheelError):
    """The wheel was built but is not what was planned; it is not stored."""

    exit_code = 16
    title = "wheel failed its audit"


class WheelError(CudawheelError):
    """A wheel or shared object cannot be read."""

    exit_code = 17
    title = "wheel not readable"


class StoreError(CudawheelError):
    """The wheelhouse or the cache is not there, or cannot be read or written."""

    exit_code = 18
    title = "wheelhouse or cache not usable"


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


class StoredWheelError(CudawheelError):
    """A wheel of a store is damaged, is not what its record says, or fails its audit; it was not used."""

    exit_code = 25
    title = "stored wheel not sound"


class RemoteStoreError(CudawheelError):
    """`cache push` and `cache pull`: the remote store cannot be reached, does not hold what was asked, or refuses."""

    exit_code = 26
    title = "remote store not usable"


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
