"""Signing a statement: a DSSE envelope that holds it, and what becomes of one on the way back.

The envelope is the one of "DSSE: Dead Simple Signing Envelope", version 1; what is signed covers the payload's type, so
that a signature for one purpose cannot be shown for another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cudawheel.errors import ProvenanceError, TamperedError, UnknownKeyError, UnsignedError
from cudawheel.provenance.keys import PrivateKey, PublicKey

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import Signature

SUFFIX = ".provenance.json"
"""What the name of an envelope has behind its wheel's."""

IN_STORE = "provenance.dsse.json"
"""The name of an envelope in an entry of the store."""

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_BUILD_AGAIN = "Build the wheel again, or ask whoever gave it to you for its provenance."


def sign(statement: Mapping[str, Any], key: PrivateKey) -> bytes:
    """Put a statement into an envelope; the same statement and key give the same bytes each time."""
    from securesystemslib.dsse import Envelope  # noqa: PLC0415 - comes with an extra

    payload = json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(key.signer)
    return (json.dumps(envelope.to_dict(), indent=2, sort_keys=True) + "\n").encode()


def open_envelope(content: bytes, trusted: Sequence[PublicKey]) -> tuple[dict[str, Any], PublicKey]:
    """Give the statement in an envelope and the trusted key that signed it; one signature that holds is enough.

    Args:
        content: the envelope's file.
        trusted: keys whose word counts.

    Raises:
        ProvenanceError: it is no envelope, or holds no in-toto statement.
        UnsignedError: nobody has signed it.
        UnknownKeyError: somebody else has.
        TamperedError: it names a trusted key whose signature does not hold.
    """
    from securesystemslib.dsse import Envelope  # noqa: PLC0415 - as above
    from securesystemslib.exceptions import Error  # noqa: PLC0415

    try:
        raw = json.loads(content)
        if raw.get("signatures") == []:
            raise UnsignedError(
                "the provenance is not signed", why="its envelope holds no signature", remedy=_BUILD_AGAIN
            )
        envelope = Envelope.from_dict(raw)
        signatures = list(envelope.signatures.values())
        encoded = envelope.pae()
    except (ValueError, LookupError, TypeError, AttributeError, Error) as error:
        raise ProvenanceError(
            "the provenance is no envelope", why=f"{type(error).__name__}: {error}", remedy=_BUILD_AGAIN
        ) from error
    for signature in signatures:
        for one in trusted:
            # The name of a key in an envelope is a hint that anybody may write; the signature alone decides.
            if _holds(one, signature, encoded):
                return _statement(envelope), one
    raise _refusal([str(signature.keyid) for signature in signatures], trusted)


def _holds(key: PublicKey, signature: Signature, encoded: bytes) -> bool:
    from securesystemslib.exceptions import UnverifiedSignatureError  # noqa: PLC0415 - as above
    from securesystemslib.signer import Signature  # noqa: PLC0415 - as above

    try:
        # The library wants the key's own name on what it checks.
        key.key.verify_signature(Signature(key.identifier, signature.signature), encoded)
    except UnverifiedSignatureError:
        return False
    return True


def _refusal(named: Sequence[str], trusted: Sequence[PublicKey]) -> ProvenanceError:
    mine = next((key for key in trusted if key.identifier in named), None)
    if mine is not None:
        return TamperedError(
            "the provenance was changed after it was signed",
            why=f"It names the trusted key {mine.path} ({mine.identifier[:16]}…), whose signature does not hold.",
            remedy="Do not use the wheel. Fetch wheel and provenance again, or build it.",
        )
    return UnknownKeyError(
        "the provenance is signed by a key that is not trusted",
        why=f"signed by {', '.join(f'{name[:16]}…' for name in named)}; "
        f"trusted: {', '.join(f'{key.path} ({key.identifier[:16]}…)' for key in trusted)}",
        remedy="If whoever built the wheel can be trusted, name their public key with --trust.",
    )


def _statement(envelope: Envelope) -> dict[str, Any]:
    try:
        statement = json.loads(envelope.payload)
    except ValueError:
        statement = None
    if envelope.payload_type != PAYLOAD_TYPE or not isinstance(statement, dict):
        raise ProvenanceError(
            "the envelope holds no in-toto statement",
            why=f"its payload is of type {envelope.payload_type!r}",
            remedy=_BUILD_AGAIN,
        )
    return statement
