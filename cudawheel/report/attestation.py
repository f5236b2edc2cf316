"""The signed statement that may lie beside a wheel: an in-toto statement in a DSSE envelope.

What it claims is shown. Whether its signature is right takes a trusted key, which a report has none of.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cudawheel.report.build_record import first_fault
from cudawheel.report.reading import read_small

ENDING = ".provenance.json"
"""What the envelope's file has behind the wheel's name."""

_PAYLOAD_TYPE = "application/vnd.in-toto+json"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Signature(_Part):
    keyid: str = ""


class _Envelope(_Part):
    payload_type: str = Field(alias="payloadType")
    payload: str
    signatures: Annotated[tuple[_Signature, ...], Field(min_length=1)]


class _Subject(_Part):
    name: str = ""
    digest: dict[str, str]


class _Builder(_Part):
    id: str = ""


class _RunDetails(_Part):
    builder: _Builder = _Builder()


class _Predicate(_Part):
    run_details: _RunDetails = Field(default=_RunDetails(), alias="runDetails")


class _Statement(_Part):
    subject: tuple[_Subject, ...]
    predicate_type: str = Field(alias="predicateType")
    predicate: _Predicate = _Predicate()


class Attestation(_Part):
    """What an envelope claims.

    Attributes:
        keys: ids of the keys that it says it is signed with.
        predicate_type: what kind of statement it is.
        builder: who says to have built the wheel.
    """

    keys: tuple[str, ...]
    predicate_type: str
    builder: str


def read_attestation(wheel: Path, sha256: str) -> tuple[Attestation | None, str]:
    """Read the envelope beside a wheel.

    Args:
        wheel: the file.
        sha256: its hash, which the statement has to be about.

    Returns:
        What it claims, or None with the reason why nothing is said; the reason is empty where no file is there.
    """
    text, fault = read_small(wheel.with_name(f"{wheel.name}{ENDING}"))
    if text is None:
        return None, fault
    try:
        envelope = _Envelope.model_validate_json(text)
        statement = _Statement.model_validate_json(base64.b64decode(envelope.payload, validate=True))
    except ValidationError as error:
        return None, first_fault(error)
    except binascii.Error as error:
        return None, f"payload: {error}"
    if envelope.payload_type != _PAYLOAD_TYPE:
        return None, f"payloadType: {envelope.payload_type} is no in-toto statement"
    if sha256 not in {subject.digest.get("sha256") for subject in statement.subject}:
        return None, "it is about a file with another sha256"
    keys = tuple(signature.keyid or "a key without a name" for signature in envelope.signatures)
    return Attestation(
        keys=keys, predicate_type=statement.predicate_type, builder=statement.predicate.run_details.builder.id
    ), ""
