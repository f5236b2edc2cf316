"""Checking a wheel against its provenance: no network, no index, only the two files and the keys that are trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cudawheel.errors import CudawheelError, ProvenanceError, UnsignedError, WrongWheelError
from cudawheel.files import sha256_of
from cudawheel.provenance.envelope import IN_STORE, SUFFIX, open_envelope
from cudawheel.provenance.keys import PublicKey
from cudawheel.provenance.statement import PREDICATE_TYPE, STATEMENT_TYPE


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """A wheel whose provenance holds.

    Attributes:
        wheel: the file.
        key: who signed.
        statement: the in-toto statement.
    """

    wheel: Path
    key: PublicKey
    statement: dict[str, Any] = field(repr=False)


def provenance_of(wheel: Path) -> Path:
    """Say where the provenance of a wheel lies: beside it, in the store under a name that is the same for all."""
    in_store = wheel.with_name(IN_STORE)
    beside = wheel.with_name(f"{wheel.name}{SUFFIX}")
    return in_store if in_store.is_file() and not beside.is_file() else beside


def check_provenance(
    wheel: Path,
    trusted: Sequence[PublicKey],
    *,
    envelope: bytes | None = None,
    fingerprint: str | None = None,
) -> Attested:
    """Let a wheel pass whose provenance is signed by a trusted key and is that of these very bytes.

    Args:
        wheel: the file.
        trusted: keys whose word counts.
        envelope: the provenance, where it does not lie beside the wheel.
        fingerprint: of the inputs that the wheel should have been built from, where that is known. Without it a store
            could hand out an older wheel of the same name that was signed as well.

    Raises:
        UnsignedError: there is no provenance, or nobody has signed it.
        UnknownKeyError: somebody else has.
        TamperedError: it was changed after a trusted key signed it.
        WrongWheelError: it is genuine, and names other bytes, or other inputs.
        ProvenanceError: it is no SLSA provenance, or cannot be read.
        ExtraMissingError: `cudawheel[sign]` is not installed.
    """
    try:
        content = provenance_of(wheel).read_bytes() if envelope is None else envelope
    except OSError as error:
        raise UnsignedError(
            f"{wheel.name} is not signed",
            why=f"{provenance_of(wheel)}: {error.strerror}",
            remedy="Build it with --sign, or fetch its provenance from where the wheel came from.",
        ) from error
    try:
        statement, key = open_envelope(content, trusted)
        _require_provenance(statement)
        _require_subject(statement, wheel)
        if fingerprint is not None:
            _require_inputs(statement, fingerprint)
    except ProvenanceError as error:
        # Which of many wheels it is stands in front, and the kind of error stays.
        raise type(error)(f"{wheel.name}: {error.what}", why=error.why, remedy=error.remedy) from error
    return Attested(wheel=wheel, key=key, statement=statement)


def check_all(wheels: Sequence[Path], trusted: Sequence[PublicKey]) -> tuple[tuple[Path, CudawheelError], ...]:
    """Check many wheels; gives those that do not pass, each with the reason. Raises as little as `check_provenance`."""
    failed: list[tuple[Path, CudawheelError]] = []
    for wheel in wheels:
        try:
            check_provenance(wheel, trusted)
        except ProvenanceError as error:  # noqa: PERF203 - each is to be named
            failed.append((wheel, error))
    return tuple(failed)


def _require_provenance(statement: dict[str, Any]) -> None:
    kinds = (statement.get("_type"), statement.get("predicateType"))
    if kinds != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise ProvenanceError(
            "what was signed is no SLSA provenance",
            why=f"it is {kinds[0]!r} with predicate {kinds[1]!r}",
            remedy="Another kind of statement says nothing of how a wheel was built; fetch the right one.",
        )


def _require_subject(statement: dict[str, Any], wheel: Path) -> None:
    subjects = statement.get("subject")
    named = {
        str(subject.get("name")): subject["digest"].get("sha256")
        for subject in (subjects if isinstance(subjects, list) else [])
        if isinstance(subject, dict) and isinstance(subject.get("digest"), dict)
    }
    found = sha256_of(wheel)
    if named.get(wheel.name) != found:
        raise WrongWheelError(
            "its provenance is that of other bytes",
            why=f"the file has sha256 {found}; the provenance names "
            + (", ".join(f"{name} with {digest}" for name, digest in named.items()) or "no file"),
            remedy="Do not use the wheel. Fetch wheel and provenance again, or build it.",
        )


def _require_inputs(statement: dict[str, Any], fingerprint: str) -> None:
    found: object = statement
    for name in ("predicate", "buildDefinition", "internalParameters", "fingerprint"):
        found = found.get(name) if isinstance(found, dict) else None
    if found != fingerprint:
        raise WrongWheelError(
            "its provenance is that of a build from other inputs",
            why=f"expected fingerprint {fingerprint or 'unknown'}\nfound    fingerprint {found}",
            remedy="It may be an older wheel of the same name. Do not use it here; build it.",
        )
