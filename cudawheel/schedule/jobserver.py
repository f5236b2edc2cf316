"""The jobserver: every compiler of every build asks here before it starts, and says here what it took.

One thread owns all decisions, listens to the launchers and looks at the machine. A lease hangs on its launcher's
connection: when that ends, in whatever way, the lease is back and what the compiler left running is ended.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import cast

from typing_extensions import Self

from cudawheel.schedule.budget import Budget, BudgetRequest, measure_budget
from cudawheel.schedule.confinement import Confinement, confine
from cudawheel.schedule.demand import Kind
from cudawheel.schedule.dispatcher import Build, Dispatcher
from cudawheel.schedule.guard import Guard
from cudawheel.schedule.history import History
from cudawheel.schedule.launcher import starting_folder
from cudawheel.schedule.limits import GIB, memory_limits
from cudawheel.schedule.neighbours import Neighbours, claims_folder
from cudawheel.schedule.recovery import Report
from cudawheel.schedule.timeline import Timeline

# A Unix socket's name has 108 bytes (unix(7)).
_LONGEST_SOCKET_NAME = 100
_CREDENTIALS = struct.Struct("3i")
# Looks at the machine, in seconds apart: often where memory is short, since a compiler grows by gigabytes a second.
_OFTEN, _SELDOM = 0.1, 0.5
_SHORT = 2 * GIB
# Below this not even a build's own backend would start.
_LEAST_LIMIT = GIB // 2
# ninja starts its first compilers one by one. The first that could use many threads waits for those that are about to
# ask, so that it is known between how many the cores are to be shared.
_SHORTEST_GATHERING, _BETWEEN_COUNTS, _LONGEST_GATHERING = 0.004, 0.002, 0.1


class _Launcher:
    """The connection to one launcher."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.process = _CREDENTIALS.unpack(
            connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )[0]
        self.compiler = 0
        self.has_asked = False
        self._rest = b""

    def hear(self) -> Iterator[list[str]]:
        """Give the lines that have come in, each as its words; raises ConnectionError at the end."""
        piece = self.connection.recv(1 << 16)
        if not piece:
            raise ConnectionResetError
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "surrogateescape").split("\t")

    def say(self, *words: object) -> None:
        """Send a line; one that nobody hears any more is lost, and its connection ends by itself."""
        with contextlib.suppress(OSError):
            self.connection.sendall("\t".join(map(str, words)).encode() + b"\n")

    def end_compiler(self) -> None:
        """End the compiler that this launcher started, if it still runs."""
        if self.compiler:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.compiler, signal.SIGKILL)


class Jobserver:
    """Serves compilers as long as it is entered.

    Args:
        request: what the person allows.
        history: what compilations cost before.
        confined: whether the builds get a cgroup; whoever starts them has to put them there.
        root: where /proc and /sys are found.

    Attributes:
        budget: what there was at the start.
        history: what compilations cost before.
        confinement: how the builds are held.
        socket: where launchers connect.
        on_look: told after every look: bytes used, bytes of the budget, threads running, compilers waiting.
    """

    def __init__(
        self, request: BudgetRequest, history: History, *, confined: bool = True, root: Path = Path("/")
    ) -> None:
        self.budget: Budget = measure_budget(request, root)
        self.history = history
        self._request = request
        self.confinement = Confinement()
        self.socket = Path()
        self.on_look: Callable[[int, int, int, int], None] = lambda _used, _budget, _running, _waiting: None
        self._confined = confined
        self._root = root
        self._dispatcher = Dispatcher(self.budget, history, force=request.force)
        self._selector = selectors.DefaultSelector()
        self._closing = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._start = time.monotonic()
        self._kills = 0
        self._failure: BaseException | None = None
        self._grant_at: float | None = None
        self._gathering_since: float | None = None

    @property
    def _starting(self) -> Path:
        return Path(starting_folder(str(self.socket)))

    @property
    def timeline(self) -> Timeline:
        """What happened so far."""
        return self._dispatcher.timeline

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undone:
            self._open(undone)
            self._closing = undone.pop_all()
        return self

    def _open(self, closing: contextlib.ExitStack) -> None:
        folder = _short_folder()
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
        self.socket = folder / "jobserver"
        self._starting.mkdir()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self.socket))
        listener.listen(1024)
        listener.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        closing.callback(listener.close)
        self._selector.register(listener, selectors.EVENT_READ)
        if self._confined:
            self.confinement = closing.enter_context(confine(self._hard_limit(), self._root))
        self._neighbours = closing.enter_context(Neighbours(claims_folder()))
        self._guard = Guard(self._request.memory, self.confinement, self._root)
        self._thread = threading.Thread(target=self._run, args=(listener,), name="jobserver", daemon=True)
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        # The thread may be waiting for its next look, half a second off; whoever connects wakes it.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bell:
            bell.connect(str(self.socket))
        self._thread.join()
        for launcher in self._launchers():
            launcher.end_compiler()
            launcher.connection.close()
        self._closing.close()
        if self._failure is not None:
            raise self._failure

    @contextlib.contextmanager
    def serve(self, build: Build) -> Iterator[None]:
        """Serve the compilers of a build within the block."""
        with self._lock:
            self._dispatcher.enter(build)
        try:
            yield
        finally:
            with self._lock:
                self._dispatcher.leave(build, self.now())

    def now(self) -> float:
        """Give the seconds since this jobserver was made: the timeline's clock."""
        return time.monotonic() - self._start

    def _hard_limit(self) -> int:
        """Give the bytes beyond which the kernel is to end a compiler rather than let the machine run short.

        Limits of cgroups need no help: the kernel keeps them by itself, and takes the compilers first.
        """
        room = memory_limits(self._root)[0].room
        if self._request.memory is not None and not self._request.force:
            room = min(room, self._request.memory)
        return max(room, _LEAST_LIMIT)

    def _run(self, listener: socket.socket) -> None:
        try:
            self._serve(listener)
        except BaseException as error:  # noqa: BLE001 - passed on when the block is left
            # Nobody answers any more: launchers are to hear of it, not to wait for ever.
            self._failure = error
            listener.close()
            for launcher in self._launchers():
                launcher.connection.close()

    def _serve(self, listener: socket.socket) -> None:
        next_look = self.now()
        while not self._ended.is_set():
            due = min(next_look, self._grant_at if self._grant_at is not None else next_look)
            for key, _ in self._selector.select(max(0.0, due - self.now())):
                if key.fileobj is listener:
                    self._welcome(listener)
                else:
                    self._attend(cast("_Launcher", key.data))
            with self._lock:
                if self.now() >= next_look:
                    next_look = self.now() + self._look()
                if self._grant_at is not None and self.now() >= self._grant_at and not self._gathers():
                    self._grant()

    def _welcome(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            launcher = _Launcher(listener.accept()[0])
            self._selector.register(launcher.connection, selectors.EVENT_READ, launcher)

    def _attend(self, launcher: _Launcher) -> None:
        try:
            for words in launcher.hear():
                with self._lock:
                    self._obey(launcher, words)
        except (OSError, ValueError, LookupError):
            # Gone, or not a launcher of ours: whatever it held is back.
            self._selector.unregister(launcher.connection)
            launcher.connection.close()
            launcher.end_compiler()
            with self._lock:
                self._dispatcher.gone(launcher, self.now())
                self._grant_at = self.now()

    def _obey(self, launcher: _Launcher, words: list[str]) -> None:
        now = self.now()
        if words[0] == "ask" and not launcher.has_asked:
            launcher.has_asked = True
            build, folder, kind, passes, source = words[1:]
            path = Path(os.path.normpath(Path(folder, source)))
            self._dispatcher.ask(
                launcher, build=build, kind=cast("Kind", kind), passes=int(passes), source=path, now=now
            )
            self._grant_at = now
            if int(passes) > 1 or (kind == "host" and not self._dispatcher.pool.held):
                self._gathering_since = now if self._gathering_since is None else self._gathering_since
            if self._gathering_since is not None:
                self._grant_at = now + _SHORTEST_GATHERING  # whoever is being started now has left no mark yet
        elif words[0] == "run":
            launcher.compiler = _group(words[1])
        elif words[0] == "end":
            launcher.compiler = 0
            report, kills = Report.parse(words[1:]), self.confinement.kills()
            if not self._dispatcher.ended(launcher, report, kills - self._kills, now):
                launcher.say("done")
            if not report.ok:  # what ended well is not what was killed, even if it is heard of first
                self._kills = kills
            self._grant_at = now
        else:
            raise ValueError(words[0])

    def _gathers(self) -> bool:
        """Put the decision off by a moment while others are about to ask, but not for ever."""
        marks = list(self._starting.iterdir()) if self._gathering_since is not None else []
        if not marks or self._gathering_since is None:
            return False
        now = self.now()
        if now >= self._gathering_since + _LONGEST_GATHERING:
            for mark in marks:  # of launchers that were killed, or that nobody should wait for again
                mark.unlink(missing_ok=True)
            return False
        self._grant_at = now + _BETWEEN_COUNTS
        return True

    def _grant(self) -> None:
        self._grant_at = self._gathering_since = None
        pool = self._dispatcher.pool
        with self._neighbours.deciding() as pool.elsewhere:
            for launcher, threads in self._dispatcher.grants(self.now()):
                cast("_Launcher", launcher).say("go", threads)
            self._neighbours.claim(pool.claims)

    def _look(self) -> float:
        """Look at the machine, act on it, and give the seconds until the next look."""
        launchers = self._launchers()
        look = self._guard.look([launcher.process for launcher in launchers])
        stop = self._dispatcher.looked(look, lambda client: cast("_Launcher", client).process, self.now())
        if stop is not None:
            cast("_Launcher", stop).say("stop")
        self._dispatcher.write_history()
        pool = self._dispatcher.pool
        self._neighbours.claim(pool.claims)
        if pool.waiting:
            self._grant_at = self.now()
        budget = look.used + max(0, look.limit.room)
        self.on_look(look.used, budget, pool.claims.threads, len(pool.waiting))
        return _OFTEN if launchers and look.limit.room < _SHORT else _SELDOM

    def _launchers(self) -> list[_Launcher]:
        return [key.data for key in self._selector.get_map().values() if isinstance(key.data, _Launcher)]


def _group(word: str) -> int:
    """Read the process group of a compiler; raises ValueError for what stands for every process, or for our own."""
    group = int(word)
    if group <= 1 or group == os.getpgrp():
        raise ValueError(word)
    return group


def _short_folder() -> Path:
    """Make a private folder whose name leaves room for a socket's."""
    for place in (None, "/tmp", "/var/tmp"):  # noqa: S108 - mkdtemp makes it private
        folder = Path(tempfile.mkdtemp(prefix="cudawheel-", dir=place))
        if len(str(folder)) < _LONGEST_SOCKET_NAME - len("/jobserver"):
            return folder
        folder.rmdir()
    raise OSError("there is no folder with a name short enough for a socket")
