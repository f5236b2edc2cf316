"""Many processes that build, read, publish, pull, push and prune one store at the same time.

    python tests/support/store_crowd.py [--processes 20] [--seconds 60] [--seed 0]

Prints what was done and every error, as JSON; exits with 1 if there was one. Wheels are small and made up on the spot,
so that the store is what everybody waits for. The same fingerprint is built with other bytes now and then, which no
real build does, so that a reader of half an old and half a new entry would be found out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from store_scene import faults_of_remote, faults_of_store, faults_of_wheelhouse, key_of, leftovers, make_wheel

from cudawheel.factory.exchange import fetch_into
from cudawheel.model.progress import Silent
from cudawheel.store.pruning import Limits, prune
from cudawheel.store.remote import RemoteStore
from cudawheel.store.store import Store, publish
from cudawheel.store.stored import require_hash

FINGERPRINTS = 12
QUIET = Silent()


class Worker:
    """One of the crowd."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.store = Store(folder / "store")
        self.remote = RemoteStore(str(folder / "remote"))
        self.dice = random.Random(seed)  # noqa: S311 - to be repeated
        self.mine = folder / f"worker-{seed}"
        self.done: Counter[str] = Counter()

    def run(self, deadline: float) -> None:
        actions = [self.build, self.build, self.read, self.read, self.publish, self.pull, self.push, self.prune]
        while time.monotonic() < deadline:
            action = self.dice.choice(actions)
            action(self.dice.randrange(FINGERPRINTS))
            self.done[action.__name__] += 1

    def build(self, number: int) -> None:
        again = self.dice.random() < 0.2
        with self.store.claim(key_of(number), QUIET):
            if again or self.store.find(key_of(number)) is None:
                wheel, record = make_wheel(self.mine, number, self.dice.randrange(3))
                stored = self.store.add(key_of(number), wheel, record)
                require_hash(stored)  # nobody takes it away while it is claimed
                self.done["built"] += 1

    def read(self, number: int) -> None:
        with self.store.reading(key_of(number)) as stored:
            if stored is None:
                return
            time.sleep(self.dice.random() / 100)
            content = stored.wheel.read_bytes()
            assert hashlib.sha256(content).hexdigest() == stored.sha256
            assert json.loads(stored.wheel.with_name("record.json").read_bytes()) == stored.record
            self.done["found"] += 1

    def publish(self, number: int) -> None:
        with self.store.reading(key_of(number)) as stored:
            if stored is not None:
                publish(stored, self.folder / "wheelhouse")

    def pull(self, number: int) -> None:
        entry = self.remote.look(key_of(number))
        if entry is not None:
            with self.store.claim(key_of(number), QUIET):
                if self.store.find(key_of(number)) is None:
                    fetch_into(self.store, self.remote, entry, QUIET, require_hash)
                    self.done["pulled"] += 1

    def push(self, number: int) -> None:
        with self.store.reading(key_of(number)) as stored:
            if stored is not None:
                self.done[f"push: {self.remote.push(key_of(number), stored).value}"] += 1

    def prune(self, number: int) -> None:
        pruned = prune(self.store, Limits(count=number // 2), now=time.time())
        self.done["removed"] += len(pruned.removed)
        self.done["in use"] += len(pruned.in_use)


def in_a_child(folder: Path, seed: int, deadline: float) -> int:
    """Start a worker; what it did, or died of, lies in a file at the end."""
    pid = os.fork()
    if pid:
        return pid
    worker, error = Worker(folder, seed), ""
    try:
        worker.run(deadline)
    except BaseException:  # noqa: BLE001 - the parent says it
        error = traceback.format_exc()
    (folder / f"done-{seed}.json").write_text(json.dumps({"done": worker.done, "error": error}), encoding="utf-8")
    os._exit(0)


def crowd(folder: Path, *, processes: int, seconds: float, seed: int) -> dict[str, object]:
    """Let a crowd loose; gives what was done and what was wrong."""
    deadline = time.monotonic() + seconds
    children = [in_a_child(folder, seed + number, deadline) for number in range(processes)]
    for pid in children:
        os.waitpid(pid, 0)
    done: Counter[str] = Counter()
    errors = []
    for number in range(processes):
        said = json.loads((folder / f"done-{seed + number}.json").read_text(encoding="utf-8"))
        done.update(said["done"])
        errors += [said["error"]] if said["error"] else []
    errors += faults_of_store(folder / "store") + faults_of_remote(folder / "remote")
    errors += faults_of_wheelhouse(folder / "wheelhouse") + leftovers(folder / "store")
    return {"processes": processes, "seconds": seconds, "done": dict(sorted(done.items())), "errors": errors}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--processes", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = crowd(Path(folder), processes=chosen.processes, seconds=chosen.seconds, seed=chosen.seed)
    print(json.dumps(result, indent=2))  # noqa: T201 - what the program is for
    return 1 if result["errors"] else 0


if __name__ == "__main__":
    sys.exit(main())
