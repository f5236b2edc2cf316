"""Signatures of builds: who asks for them gets wheels that were built under their own eyes, and no others.

A wheel out of the store that lacks the key's signature is built again. To sign it as it lies there would vouch for a
build that nobody saw; it may have come from another machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cudawheel.errors import ProvenanceError
from cudawheel.factory.request import BuildRequest
from cudawheel.model.progress import Progress
from cudawheel.provenance.keys import PrivateKey, load_private_key
from cudawheel.store.store import StoredWheel


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """What a request wants of signatures.

    Attributes:
        key: what is signed with, or None.
    """

    key: PrivateKey | None

    @classmethod
    def of(cls, request: BuildRequest) -> Signing:
        """Read the key of a request.

        Raises:
            KeyFileError: it cannot be used.
            ExtraMissingError: `cudawheel[sign]` is not installed.
        """
        return cls(key=load_private_key(request.signing_key) if request.signing_key is not None else None)

    def keep(self, stored: StoredWheel | None, progress: Progress) -> StoredWheel | None:
        """Give a wheel out of the store if it will do: any, or one that carries the key's signature."""
        if stored is None or self.key is None:
            return stored
        from cudawheel.provenance.check import check_provenance  # noqa: PLC0415 - few builds are signed

        try:
            check_provenance(stored.wheel, (self.key.public,), fingerprint=_fingerprint(stored))
        except ProvenanceError as error:
            progress.note(f"built again to be signed: {error.what}")
            return None
        return stored

    def beside(self, record: Mapping[str, Any]) -> dict[str, bytes]:
        """Give what is to lie beside a wheel in the store: its signed provenance, or nothing."""
        if self.key is None:
            return {}
        from cudawheel.provenance.envelope import IN_STORE, sign  # noqa: PLC0415 - as above
        from cudawheel.provenance.statement import make_statement  # noqa: PLC0415

        return {IN_STORE: sign(make_statement(record), self.key)}


def _fingerprint(stored: StoredWheel) -> str:
    return str(stored.record.get("fingerprint", ""))
