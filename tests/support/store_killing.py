"""Processes at work on a store that are killed at a random moment, again and again; each time the store is looked at.

    python tests/support/store_killing.py [--rounds 200] [--seed 0]

Prints how often work was found interrupted and every fault, as JSON; exits with 1 if there was a fault. What must hold
after each kill, before anything is cleaned up: every entry that is visible is whole. After the next one has added
something: nothing of the dead is left, no lock of theirs holds anybody up, and the one entry that is only ever
replaced, never removed, is there.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from store_scene import faults_of_remote, faults_of_store, key_of, leftovers, make_wheel

from cudawheel.factory.exchange import fetch_into
from cudawheel.model.progress import Silent
from cudawheel.store.remote import RemoteStore
from cudawheel.store.store import Store
from cudawheel.store.stored import require_hash

PRECIOUS = 0
OTHERS = (1, 2)
LAST = 9
EDITIONS = 3
LARGEST = 8_000_000  # bytes of a wheel; small ones are written too fast to be caught half written
VICTIMS = 3
LONGEST_LIFE = 0.3  # seconds; some entries are written in that time


Wheels = dict[tuple[int, int], tuple[Path, dict[str, Any]]]


def work(folder: Path, seed: int, wheels: Wheels) -> None:
    """Replace the precious entry; add, push, remove and pull the others; for ever."""
    store, remote = Store(folder / "store"), RemoteStore(str(folder / "remote"))
    dice, quiet = random.Random(seed), Silent()  # noqa: S311 - to be repeated
    while True:
        number = dice.choice((PRECIOUS, *OTHERS))
        with store.claim(key_of(number), quiet):
            store.add(key_of(number), *wheels[number, dice.randrange(EDITIONS)])
        with store.reading(key_of(number)) as stored:
            if stored is not None and number != PRECIOUS:
                remote.push(key_of(number), stored)
        for old in store.entries():
            if old.fingerprint != key_of(PRECIOUS):
                store.remove(old)
        other = dice.choice(OTHERS)
        entry = remote.look(key_of(other))
        if entry is not None:
            with store.claim(key_of(other), quiet):
                fetch_into(store, remote, entry, quiet, require_hash)


def one_round(folder: Path, seed: int, dice: random.Random, wheels: Wheels) -> tuple[int, list[str]]:
    """Let some work and kill all of them at once; gives how much was half done, and what is wrong."""
    store = Store(folder / "store")
    store.add(key_of(PRECIOUS), *wheels[PRECIOUS, 0])
    children = []
    for number in range(VICTIMS):
        pid = os.fork()
        if not pid:
            try:
                work(folder, seed * VICTIMS + number, wheels)
            finally:
                os._exit(3)
        children.append(pid)
    time.sleep(dice.random() * LONGEST_LIFE)
    faults = []
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        _, status = os.waitpid(pid, 0)
        faults += [] if os.WIFSIGNALED(status) else ["a victim died of something else"]
    faults += faults_of_store(store.root) + faults_of_remote(folder / "remote")
    interrupted = len(leftovers(store.root))
    signal.alarm(20)  # a lock that outlived its process would hold us up for ever
    with store.claim(key_of(LAST), Silent()):
        store.add(key_of(LAST), *wheels[LAST, 0])
    for number in OTHERS:
        with store.claim(key_of(number), Silent()):
            store.find(key_of(number))
    signal.alarm(0)
    faults += faults_of_store(store.root) + leftovers(store.root)
    faults += [] if store.find(key_of(PRECIOUS)) else ["the entry that was only replaced is gone"]
    return interrupted, faults


def kill(folder: Path, *, rounds: int, seed: int) -> dict[str, object]:
    """Kill so many times; gives what was met."""
    dice = random.Random(seed)  # noqa: S311 - to be repeated
    RemoteStore(str(folder))  # imports what the victims would spend their lives importing
    # Made beforehand, so that the victims spend their lives on the store.
    wheels = {
        (number, edition): make_wheel(folder / f"edition-{edition}", number, edition, LARGEST)
        for number in (PRECIOUS, *OTHERS, LAST)
        for edition in range(EDITIONS)
    }
    found: Counter[str] = Counter()
    faults: list[str] = []
    for number in range(rounds):
        interrupted, wrong = one_round(folder, seed + number, dice, wheels)
        found["rounds"] += 1
        found["rounds with work interrupted"] += interrupted > 0
        found["pieces of work interrupted"] += interrupted
        faults += [f"round {number}: {fault}" for fault in wrong]
    return {**found, "faults": faults}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = kill(Path(folder), rounds=chosen.rounds, seed=chosen.seed)
    print(json.dumps(result, indent=2))  # noqa: T201 - what the program is for
    return 1 if result["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
