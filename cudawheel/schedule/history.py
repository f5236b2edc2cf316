"""What compilers cost in earlier builds: the memory and time of every translation unit, kept in one small database.

SQLite, because several builds write it at once, one of them may be killed in the middle, and nothing may be lost.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cudawheel.schedule.demand import Cost, Kind
from cudawheel.schedule.limits import GIB

_SCHEMA = """
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS compilation (
    package TEXT NOT NULL, fingerprint TEXT NOT NULL, cuda TEXT NOT NULL, torch TEXT NOT NULL,
    source TEXT NOT NULL, kind TEXT NOT NULL, passes INTEGER NOT NULL, threads INTEGER NOT NULL,
    peak INTEGER NOT NULL, cpu_seconds REAL NOT NULL, seconds REAL NOT NULL, at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS by_unit ON compilation (package, source, kind);
CREATE TABLE IF NOT EXISTS unfinished (package TEXT NOT NULL, fingerprint TEXT NOT NULL, UNIQUE (package, fingerprint));
"""
# The first unit of a build that goes on leaves a mark, which stays where the build is killed. A build that was finished
# before keeps all its units, whatever becomes of it when it is done again.
_MARK = """
INSERT OR IGNORE INTO unfinished SELECT ?1, ?2
WHERE NOT EXISTS (SELECT 1 FROM compilation WHERE package = ?1 AND fingerprint = ?2)
"""
_UNMARK = "DELETE FROM unfinished WHERE package = ? AND fingerprint = ?"
# Another build may be writing on a machine whose cores are all taken; what was measured in an hour is worth the wait.
_BUSY_SECONDS = 10.0
# Of one unit so many last compilations count: a cost that has gone down is believed after as many builds.
_LAST = 5
# A unit is given this much more than it ever took, since no two compilations are quite the same.
_MARGIN = 1.1

# Without a measurement: a link holds the objects, and no template is instantiated any more.
_LINK_MEMORY = GIB // 2
# nvcc 13.0 on CMakeCUDACompilerABI.cu: 194 MB.
_TRIAL_MEMORY = GIB // 4
# nvcc 13.0 on code with torch headers: 59 s that are the same for any number of capabilities, and 31 s for each of
# them (a small extension, two cores). Only the ratio matters, and it serves to split measured processor time too.
_FIXED_SECONDS, _PASS_SECONDS = 59.0, 31.0
# gcc 12 on code with torch headers, eight sources of four packages: 1.41 to 1.56 GiB and 15 to 28 s, on a processor on
# which the two figures above are 59 and 31.
_HOST_MEMORY, _HOST_SECONDS = 2 * GIB, 22.0
# Of the fixed part cudafe++ takes so much, which can run beside the passes.
_BESIDE = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class CostKey:
    """What a build's costs are remembered under; the nearer an earlier build is, the more it is believed.

    Attributes:
        package: name of the distribution.
        fingerprint: of the build; equal means the same inputs to the last byte.
        cuda: release of the toolkit.
        torch: release of torch.
        memory: bytes that the recipe gives for one compiler, for what was never measured.
    """

    package: str
    fingerprint: str
    cuda: str
    torch: str
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Compilation:
    """One compiler run that ended well.

    Attributes:
        peak: bytes that its largest process held.
        cpu_seconds: processor time of all its processes.
        seconds: wall time.
    """

    source: str
    kind: Kind
    passes: int
    threads: int
    peak: int
    cpu_seconds: float
    seconds: float


class History:
    """The costs of all builds of one cache. A history that cannot be read or written is an empty one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def cost_of(self, key: CostKey, source: str, kind: Kind) -> Cost:
        """Give what a unit is expected to cost: as measured, or else as the recipe says."""
        rows = self._rows(
            "SELECT passes, peak, cpu_seconds FROM compilation WHERE package = ? AND source = ? AND kind = ? "
            "ORDER BY fingerprint = ? DESC, cuda = ? DESC, torch = ? DESC, at DESC LIMIT ?",
            (key.package, source, kind, key.fingerprint, key.cuda, key.torch, _LAST),
        )
        if not rows:
            return unmeasured(key, kind)
        passes, _, cpu_seconds = rows[0]
        per_pass = cpu_seconds / (passes + _FIXED_SECONDS / _PASS_SECONDS) if kind == "device" else 0.0
        return Cost(
            memory=int(max(peak for _, peak, _ in rows) * _MARGIN),
            fixed=(fixed := cpu_seconds - per_pass * passes),
            per_pass=per_pass,
            beside=_beside(fixed, kind),
            measured=True,
        )

    def units_of(self, key: CostKey) -> tuple[tuple[str, Kind, Cost], ...]:
        """Give every unit that the last finished build of a package compiled, with its cost; none if there is none.

        What a build compiled before it was interrupted, or failed, is not all that it has to compile.
        """
        rows = self._rows(
            "SELECT DISTINCT source, kind FROM compilation WHERE package = ?1 AND fingerprint = (SELECT fingerprint "
            "FROM compilation WHERE package = ?1 AND fingerprint NOT IN (SELECT fingerprint FROM unfinished "
            "WHERE package = ?1) ORDER BY fingerprint = ?2 DESC, at DESC LIMIT 1) ORDER BY source",
            (key.package, key.fingerprint),
        )
        return tuple((source, kind, self.cost_of(key, source, kind)) for source, kind in rows)

    def add(self, key: CostKey, done: Sequence[Compilation], *, finished: bool = True) -> None:
        """Remember what was measured.

        Args:
            key: of the build.
            done: compilers of it that ended well.
            finished: whether the build has compiled all that it has to; until then its units tell nothing of the next.
        """
        rows = [
            (key.package, key.fingerprint, key.cuda, key.torch, c.source, c.kind, c.passes, c.threads, c.peak,
             c.cpu_seconds, c.seconds, time.time())
            for c in done
        ]  # fmt: skip
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._write(key, rows, finished=finished)
            except sqlite3.DatabaseError as error:
                # Its subclasses are for what passes: a database that is locked, a disk that is full.
                if type(error) is not sqlite3.DatabaseError:
                    raise
                # Damaged. Kept for whoever wants to look at it; a log of changes beside it SQLite removes by itself.
                self._path.replace(self._path.with_name(f"{self._path.name}.damaged"))
                self._write(key, rows, finished=finished)
        except (OSError, sqlite3.Error, UnicodeError):
            # A build does not fail because what it cost could not be written down.
            return

    def _write(self, key: CostKey, rows: Sequence[Sequence[object]], *, finished: bool) -> None:
        with self._open() as database:
            database.executescript(_SCHEMA)
            with database:
                database.execute(_UNMARK if finished else _MARK, (key.package, key.fingerprint))
                database.executemany(f"INSERT INTO compilation VALUES ({', '.join('?' * 12)})", rows)  # noqa: S608

    def _rows(self, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        try:
            if not self._path.is_file():
                return []
            with self._open() as database:
                return database.execute(query, values).fetchall()
        except (OSError, sqlite3.Error, UnicodeError):
            return []

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=_BUSY_SECONDS)) as database:
            yield database


def trial(key: CostKey) -> Cost:
    """Give what one of the small files costs with which CMake tries a compiler out: a second, and no headers."""
    return Cost(memory=min(_TRIAL_MEMORY, key.memory), fixed=1.0, per_pass=0.0)


def unmeasured(key: CostKey, kind: Kind) -> Cost:
    """Give what a unit is taken to cost as long as nobody has measured it."""
    if kind == "link":
        return Cost(memory=min(_LINK_MEMORY, key.memory), fixed=1.0, per_pass=0.0)
    if kind == "host":
        return Cost(memory=min(_HOST_MEMORY, key.memory), fixed=_HOST_SECONDS, per_pass=0.0)
    return Cost(memory=key.memory, fixed=_FIXED_SECONDS, per_pass=_PASS_SECONDS, beside=_beside(_FIXED_SECONDS, kind))


def _beside(fixed: float, kind: Kind) -> float:
    return fixed * _BESIDE if kind == "device" else 0.0
