"""Removing what was not used for long, or is too much, the least recently used first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from cudawheel.store.store import Store
from cudawheel.store.stored import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may stay in a store; None is no limit.

    Attributes:
        age: since an entry was last used. A time of last use that lies ahead, since the clock went back, counts as now.
        size: bytes of all entries together.
        count: number of entries.
    """

    age: timedelta | None = None
    size: int | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What came of pruning.

    Attributes:
        removed: entries that went, or would go, in that order, each with the reason.
        in_use: entries that had to go by the limits and were claimed or being read, so they stayed.
        kept: how many entries are left.
        size: bytes of what is left.
    """

    removed: tuple[tuple[Entry, str], ...]
    in_use: tuple[Entry, ...]
    kept: int
    size: int

    @property
    def freed(self) -> int:
        """Bytes of what went, or would go."""
        return sum(entry.size for entry, _reason in self.removed)


def prune(store: Store, limits: Limits, *, now: float, dry_run: bool = False) -> Pruned:
    """Remove entries until the limits hold, the least recently used first; none that is claimed or being read.

    Args:
        store: the store.
        limits: what may stay.
        now: seconds since 1970.
        dry_run: whether to say only what would go.

    Raises:
        StoreError: the store cannot be written.
    """
    entries = store.entries()
    if entries and not dry_run:
        store.sweep()
    size, count = sum(entry.size for entry in entries), len(entries)
    removed: list[tuple[Entry, str]] = []
    in_use: list[Entry] = []
    for entry in sorted(entries, key=lambda entry: (entry.last_used, entry.fingerprint)):
        reason = _reason(entry, limits, now=now, size=size, count=count)
        if not reason:
            continue
        if dry_run or store.remove(entry):
            removed.append((entry, reason))
            size, count = size - entry.size, count - 1
        else:
            in_use.append(entry)
    return Pruned(removed=tuple(removed), in_use=tuple(in_use), kept=count, size=size)


def _reason(entry: Entry, limits: Limits, *, now: float, size: int, count: int) -> str:
    """Say why an entry has to go; empty if it may stay."""
    if limits.age is not None and now - entry.last_used > limits.age.total_seconds():
        return "age"
    if limits.count is not None and count > limits.count:
        return "count"
    if limits.size is not None and size > limits.size:
        return "size"
    return ""
