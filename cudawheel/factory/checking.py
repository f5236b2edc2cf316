"""Checking what lies in the store, wheel by wheel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cudawheel.errors import CudawheelError, StoredWheelError
from cudawheel.factory.exchange import NOT_SOUND
from cudawheel.factory.stranger import Check, find_fault
from cudawheel.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a check found of one entry.

    Attributes:
        fingerprint: of its inputs.
        name: of its wheel, empty where that could not be read.
        fault: what is wrong with it, or None.
        set_aside: whether it was moved to `damaged/`.
    """

    fingerprint: str
    name: str
    fault: CudawheelError | None = None
    set_aside: bool = False


def check_store(store: Store, fingerprints: Iterable[str], more: Sequence[Check] = ()) -> Iterator[Checked]:
    """Check entries by hash, RECORD and audit; what is not sound is set aside, to be built anew when it is asked for.

    Args:
        store: the store.
        fingerprints: which entries.
        more: further checks, such as of a signature. What they alone have against a wheel is said, and it stays.

    Raises:
        StoreError: an entry cannot be read or set aside.
    """
    for fingerprint in fingerprints:
        with store.reading(fingerprint, counts_as_use=False) as stored:
            fault = find_fault(stored, more) if stored is not None else None
        if stored is None:
            damage = StoredWheelError("its bytes are not those that were stored, or somebody has removed it")
            yield Checked(fingerprint=fingerprint, name="", fault=damage, set_aside=True)
            continue
        unsound = isinstance(fault, NOT_SOUND)
        if unsound:
            store.set_aside(stored)
        yield Checked(fingerprint=fingerprint, name=stored.wheel.name, fault=fault, set_aside=unsound)
