"""What is lost where a wheel takes another one's place in a wheelhouse."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cudawheel.store.store import Store, StoredWheel, other_of_that_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """A wheel whose place another one of the same name has taken.

    The name of a wheel says nothing of its capabilities, since pip could not choose by them: so two lists of them give
    one name, and one wheelhouse holds the wheel that was put there last.

    Attributes:
        sha256: of the wheel that is gone from the wheelhouse.
        lost: what it had and the new one lacks, such as `8.6` or `PTX 12.0`; None where no record beside it told.
        fingerprint: under which the store still has it; empty where it has not.
    """

    sha256: str
    lost: tuple[str, ...] | None
    fingerprint: str

    @property
    def is_loss(self) -> bool:
        """Whether the new wheel lacks something that the other one had, or may."""
        return self.lost is None or bool(self.lost)

    def to_json(self) -> dict[str, Any]:
        """Give it as plain values."""
        return {"sha256": self.sha256, "lost": self.lost, "fingerprint": self.fingerprint or None}

    def __str__(self) -> str:
        if self.lost is None:
            what = f"another wheel of the same name, sha256 {self.sha256[:12]}…, of which no record tells what it had"
        elif self.lost:
            what = f"a wheel that also had {', '.join(self.lost)}"
        else:
            what = f"the wheel of the same name, sha256 {self.sha256[:12]}…, and has all that it had"
        where = f"it is still in the store: {self.fingerprint}" if self.fingerprint else "the store does not have it"
        return f"replaces {what}; {where}"


def find_replaced(stored: StoredWheel, wheelhouse: Path, store: Store) -> Replaced | None:
    """Say what becomes lost when a wheel is put into a wheelhouse; None where it replaces no other.

    Args:
        stored: the wheel that is about to be put there.
        wheelhouse: the folder.
        store: where the other one may still be.
    """
    sha256 = other_of_that_name(stored, wheelhouse)
    if not sha256:
        return None
    old = _record_of(wheelhouse / f"{stored.wheel.name}.json", sha256)
    before, after = _carried(old), _carried(stored.record)
    entries = (entry for entry in store.entries() if entry.stored is not None and entry.stored.sha256 == sha256)
    return Replaced(
        sha256=sha256,
        lost=tuple(text for text in before if text not in after) if before else None,
        fingerprint=next((entry.fingerprint for entry in entries), ""),
    )


def _record_of(path: Path, sha256: str) -> dict[str, Any]:
    """Read the record beside a wheel; an empty one where it is none, or that of another wheel."""
    try:
        record = json.loads(path.read_bytes())
        return record if record["wheel"]["sha256"] == sha256 else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _carried(record: dict[str, Any]) -> tuple[str, ...]:
    """Say what a wheel carries by its record: what was planned, and by its audit it had just that."""
    variant = record.get("variant", {})
    return (*variant.get("capabilities", ()), *(f"PTX {text}" for text in variant.get("ptx", ())))
