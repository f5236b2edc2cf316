"""Checking a wheel that somebody else may have built, or that has lain for long, as if nothing were known of it.

What it should be is taken from where that is known for sure: from the build that was about to begin, where there is
one; else from the record itself, which then is only held to its own word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict, ValidationError

from cudawheel.audit.expectation import Expectation
from cudawheel.audit.report import audit
from cudawheel.errors import CudawheelError, StoredWheelError
from cudawheel.factory.job import Job
from cudawheel.model.abi import TorchAbi
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.capability_set import CapabilitySet
from cudawheel.model.version import TorchVersion
from cudawheel.schedule.timeline import Timeline
from cudawheel.store.stored import StoredWheel, require_hash
from cudawheel.wheel.reading import Wheel

Check = Callable[[StoredWheel], None]
"""Raises CudawheelError if a wheel is not to be used, such as for want of a signature."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _Package(_Part):
    name: str
    version: str


class _Skip(_Part):
    label: str
    reason: str


class _Source(_Part):
    label: str
    kind: str
    identity: str
    fallback: bool
    skipped: list[_Skip]


class _Variant(_Part):
    identifier: str
    torch: str
    abi: str
    capabilities: list[str]
    ptx: list[str]


class _Toolchain(_Part):
    nvcc: str


class _Build(_Part):
    seconds: float
    peak_memory: int
    most_compilers: int
    timeline: dict[str, Any]


class _Capabilities(_Part):
    cubins: list[str]
    ptx: list[str]


class _Audit(_Part):
    capabilities: _Capabilities
    imported: dict[str, str]


class _Promise(_Part):
    cuda_required: bool
    external_libraries: list[str]


class _Record(_Part):
    """What the factory and the command line read of a record; anything more is let through unread."""

    package: _Package
    source: _Source
    variant: _Variant
    toolchain: _Toolchain
    build: _Build
    audit: _Audit
    promise: _Promise | None = None


def require_sound(stored: StoredWheel, job: Job | None = None, more: Sequence[Check] = ()) -> None:
    """Let a wheel pass whose hash, name, RECORD, device code, symbols, tags and requirements are as they should be.

    Args:
        stored: the wheel, with its record.
        job: the build in whose place it is to be used; without one the record says what it should be.
        more: further checks.

    Raises:
        StoredWheelError: its hash is not the record's, or the record is not one of a build.
        WheelError: it cannot be read as a wheel.
        AuditError: it is not what it should be.
        CudawheelError: what a further check has against it.
    """
    require_hash(stored)
    record = _read(stored.record, stored.wheel.name)
    wheel = Wheel.read(stored.wheel)
    expected = (record.package.name, record.package.version, record.variant.identifier)
    if job is not None:
        package = job.loaded.recipe.package
        _require_same(stored, expected, (package.name, package.version, job.variant.identifier))
    found = (wheel.name, wheel.version.public, record.variant.identifier)
    _require_same(stored, found, (canonicalize_name(expected[0]), *expected[1:]))
    audit(stored.wheel, _promise_of(job) if job is not None else _own_word(record)).require_ok()
    for check in more:
        check(stored)


def find_fault(stored: StoredWheel, more: Sequence[Check] = ()) -> CudawheelError | None:
    """Check a wheel against its own record; gives what is wrong with it, or None."""
    try:
        require_sound(stored, more=more)
    except CudawheelError as fault:
        return fault
    return None


def require_readable(record: dict[str, Any]) -> None:
    """Let a record pass that says all that is read of it.

    Raises:
        StoredWheelError: it does not.
    """
    _read(record, record["wheel"]["file"])


def _read(plain: dict[str, Any], name: str) -> _Record:
    try:
        record = _Record.model_validate(plain)
        Timeline.from_json(record.build.timeline)
    except (ValidationError, LookupError, TypeError, ValueError) as fault:
        raise StoredWheelError(
            f"the record of {name} is not one of a build",
            why=str(fault),
            remedy="It may have been made by another version of cudawheel, or by hand: build the wheel again.",
        ) from fault
    return record


def _require_same(stored: StoredWheel, found: tuple[str, ...], expected: tuple[str, ...]) -> None:
    if found != expected:
        raise StoredWheelError(
            f"{stored.wheel.name} is not the wheel that was asked for",
            why=f"expected {' '.join(expected)}\nfound    {' '.join(found)}",
            remedy="Build it again; find out who stored it there.",
        )


def _promise_of(job: Job) -> Expectation:
    return Expectation(
        torch=job.variant.torch,
        abi=job.variant.abi,
        capabilities=job.variant.capabilities,
        cuda_required=job.settings.cuda == "required",
        allowed_libraries=job.loaded.recipe.wheel.external_libraries,
    )


def _own_word(record: _Record) -> Expectation:
    variant, promise = record.variant, record.promise
    return Expectation(
        torch=TorchVersion.parse(variant.torch) if variant.torch else None,
        abi=TorchAbi.parse(variant.abi) if variant.torch else None,
        capabilities=CapabilitySet.of(
            map(ComputeCapability.parse, variant.capabilities), map(ComputeCapability.parse, variant.ptx)
        ),
        cuda_required=promise.cuda_required if promise else False,
        allowed_libraries=tuple(promise.external_libraries) if promise else (),
    )
