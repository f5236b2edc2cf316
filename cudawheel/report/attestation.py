"""The signed statement that may lie beside a wheel: an in-toto statement in a DSSE envelope.

What it claims is shown, with a word on its signature, which takes a trusted key to be checked.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cudawheel.errors import ProvenanceError, UnknownKeyError
from cudawheel.provenance.check import check_provenance
from cudawheel.provenance.envelope import PAYLOAD_TYPE, SUFFIX
from cudawheel.provenance.keys import PublicKey
from cudawheel.report.build_record import first_fault
from cudawheel.report.reading import read_small

Standing = Literal["right", "by an unknown key", "not checked"]


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
        keys: ids of the keys that it says it is signed with; of the one that did sign, where that was checked.
        predicate_type: what kind of statement it is.
        builder: who says to have built the wheel.
        standing: what was found of the signature.
    """

    keys: tuple[str, ...]
    predicate_type: str
    builder: str
    standing: Standing = "not checked"


def read_attestation(wheel: Path, sha256: str, trusted: Sequence[PublicKey] = ()) -> tuple[Attestation | None, str]:
    """Read the envelope beside a wheel.

    Args:
        wheel: the file.
        sha256: its hash, which the statement has to be about.
        trusted: keys to check the signature with; with none it is not checked.

    Returns:
        What it claims, or None with the reason why nothing is said; the reason is empty where no file is there.
    """
    text, fault = read_small(wheel.with_name(f"{wheel.name}{SUFFIX}"))
    if text is None:
        return None, fault
    try:
        envelope = _Envelope.model_validate_json(text)
        statement = _Statement.model_validate_json(base64.b64decode(envelope.payload, validate=True))
    except ValidationError as error:
        return None, first_fault(error)
    except binascii.Error as error:
        return None, f"payload: {error}"
    if envelope.payload_type != PAYLOAD_TYPE:
        return None, f"payloadType: {envelope.payload_type} is no in-toto statement"
    if sha256 not in {subject.digest.get("sha256") for subject in statement.subject}:
        return None, "it is about a file with another sha256"
    claimed = Attestation(
        keys=tuple(signature.keyid or "a key without a name" for signature in envelope.signatures),
        predicate_type=statement.predicate_type,
        builder=statement.predicate.run_details.builder.id,
    )
    return _check(claimed, wheel, text, trusted) if trusted else (claimed, "")


def _check(
    claimed: Attestation, wheel: Path, envelope: bytes, trusted: Sequence[PublicKey]
) -> tuple[Attestation | None, str]:
    try:
        attested = check_provenance(wheel, trusted, envelope=envelope)
    except UnknownKeyError:
        return claimed.model_copy(update={"standing": "by an unknown key"}), ""
    except ProvenanceError as error:
        # Why is not said on the page: it names files of this machine.
        return None, error.what.removeprefix(f"{wheel.name}: ")
    return claimed.model_copy(update={"standing": "right", "keys": (attested.key.identifier,)}), ""
