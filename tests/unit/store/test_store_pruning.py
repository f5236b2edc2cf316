"""Which entries go, in which order, and that clocks and neighbours do not make the wrong ones go."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_scene import key_of, leftovers, make_wheel

from cudawheel.model.progress import Silent
from cudawheel.store.pruning import Limits, prune
from cudawheel.store.store import Store

NOW = 1_000_000.0
DAY = 86_400.0


class FakeStore(Store):
    """Entries without files, for what is decided."""

    def __init__(self, entries: list[tuple[int, float]], busy: set[int]) -> None:
        super().__init__(Path("nowhere"))
        from cudawheel.store.stored import Entry  # noqa: PLC0415

        self.there = [
            Entry(fingerprint=key_of(number), stored=None, size=size, last_used=used)
            for number, (size, used) in enumerate(entries)
        ]
        self.busy = {key_of(number) for number in busy}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Four entries, number 3 used just now, number 2 a day ago, and so on."""
    store = Store(tmp_path / "store")
    for number in range(4):
        stored = store.add(key_of(number), *make_wheel(tmp_path / "built", number))
        used = NOW - (3 - number) * DAY
        os.utime(stored.wheel.with_name("last-used"), (used, used))
    return store


def numbers(store: Store) -> list[int]:
    known = {key_of(number): number for number in range(10)}
    return sorted(known[entry.fingerprint] for entry in store.entries())


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        (Limits(), [0, 1, 2, 3]),
        (Limits(age=timedelta(days=1, hours=1)), [2, 3]),
        (Limits(age=timedelta(0)), [3]),
        (Limits(count=4), [0, 1, 2, 3]),
        (Limits(count=1), [3]),
        (Limits(count=0), []),
        (Limits(size=0), []),
        (Limits(age=timedelta(days=2, hours=1), count=2), [2, 3]),
    ],
)
def test_the_least_recently_used_go_first(limits: Limits, left: list[int], store: Store) -> None:
    said = prune(store, limits, now=NOW, dry_run=True)
    assert numbers(store) == [0, 1, 2, 3]
    pruned = prune(store, limits, now=NOW)
    assert numbers(store) == left
    assert pruned == said
    assert pruned.kept == len(left)
    assert pruned.size == sum(entry.size for entry in store.entries())
    assert leftovers(store.root) == []


def test_as_many_go_as_the_size_asks_for(store: Store) -> None:
    sizes = [entry.size for entry in sorted(store.entries(), key=lambda entry: entry.last_used)]
    pruned = prune(store, Limits(size=sizes[2] + sizes[3]), now=NOW)
    assert numbers(store) == [2, 3]
    assert pruned.freed == sizes[0] + sizes[1]
    assert {reason for _entry, reason in pruned.removed} == {"size"}


def test_a_wheel_is_as_large_as_all_its_files(store: Store) -> None:
    for entry in store.entries():
        assert entry.stored is not None
        assert entry.size == sum(path.stat().st_size for path in entry.stored.wheel.parent.iterdir())


def test_time_that_lies_ahead_is_never_a_reason(store: Store) -> None:
    # The clock went back by a year after everything was used.
    pruned = prune(store, Limits(age=timedelta(0)), now=NOW - 365 * DAY)
    assert pruned.removed == ()
    assert numbers(store) == [0, 1, 2, 3]


def test_what_is_read_or_claimed_stays_and_others_go_in_its_place(store: Store) -> None:
    with store.reading(key_of(0), counts_as_use=False), store.claim(key_of(1), Silent()):
        pruned = prune(store, Limits(count=2), now=NOW)
        assert numbers(store) == [0, 1]
    assert sorted(entry.fingerprint for entry in pruned.in_use) == sorted([key_of(0), key_of(1)])
    assert [reason for _entry, reason in pruned.removed] == ["count", "count"]


def test_what_is_left_of_killed_processes_goes_too(store: Store) -> None:
    (store.root / ".new-dead" / "new").mkdir(parents=True)
    prune(store, Limits(count=9), now=NOW, dry_run=True)
    assert leftovers(store.root) == [".new-dead"]
    prune(store, Limits(count=9), now=NOW)
    assert leftovers(store.root) == []


def test_a_store_that_is_not_there_is_empty(tmp_path: Path) -> None:
    pruned = prune(Store(tmp_path / "nowhere"), Limits(count=0), now=time.time())
    assert (pruned.removed, pruned.kept, pruned.size) == ((), 0, 0)
    assert not (tmp_path / "nowhere").exists()


@given(
    ages=st.lists(st.floats(min_value=-100, max_value=100), max_size=8, unique=True),
    age=st.none() | st.floats(min_value=0, max_value=100),
    count=st.none() | st.integers(min_value=0, max_value=8),
    busy=st.sets(st.integers(min_value=0, max_value=7)),
)
def test_what_stays_was_used_no_earlier_than_what_goes_or_is_in_use(
    ages: list[float], age: float | None, count: int | None, busy: set[int]
) -> None:
    class Pretended(FakeStore):
        def entries(self) -> tuple[object, ...]:  # type: ignore[override]
            return tuple(self.there)

        def remove(self, entry: object) -> bool:
            return entry.fingerprint not in self.busy  # type: ignore[attr-defined]

        def sweep(self) -> int:
            return 0

    store = Pretended([(1, NOW - value) for value in ages], busy)
    limits = Limits(age=None if age is None else timedelta(seconds=age), count=count)
    pruned = prune(store, limits, now=NOW)
    gone = {entry.fingerprint for entry, _reason in pruned.removed}
    stay = [entry for entry in store.there if entry.fingerprint not in gone and entry.fingerprint not in store.busy]
    assert gone.isdisjoint(store.busy)
    # Ages that a float of seconds since 1970 cannot tell apart are the same moment.
    assert all(entry.last_used <= kept.last_used for entry, _reason in pruned.removed for kept in stay)
    if age is not None:
        assert all(NOW - entry.last_used <= age + 1e-6 for entry in stay)
    if count is not None:
        assert len(stay) <= max(0, count)
