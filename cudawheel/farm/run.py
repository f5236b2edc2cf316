"""One run of a farm: a loop that looks who is there, lets cells start, and takes in what happens."""

from __future__ import annotations

import queue
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from cudawheel.builder.costs import COSTS
from cudawheel.errors import (
    BuildError,
    CudawheelError,
    HostCompilerError,
    InterruptedBuildError,
    LethalCellError,
    MemoryBudgetError,
    RemoteStoreError,
    SchedulerLostError,
)
from cudawheel.factory.attempt import Attempt
from cudawheel.factory.cells import FleetCell
from cudawheel.factory.factory import Outcome
from cudawheel.factory.fleet import FleetRequest
from cudawheel.farm.board import Board
from cudawheel.farm.cell import Answer, Order, error_from_plain
from cudawheel.farm.cluster import Answered, Cluster, Dropped, Gone, Heard, Message, build_key, resources_of
from cudawheel.farm.delivery import fetch_done, find_done, jobs_of, say_other
from cudawheel.farm.needs import MOST_CORES, FarmHistory, from_plain, key_of, need_of
from cudawheel.farm.policy import Placement
from cudawheel.farm.roll import Roll
from cudawheel.farm.telling import Telling
from cudawheel.model.counting import count
from cudawheel.model.progress import Progress
from cudawheel.schedule.limits import GIB

_LOOK_SECONDS = 1.0
_DELIVERIES = 2
_MOST_NAMED = 8  # of many cells that were stopped in the middle; the others are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delivered:
    """A wheel has arrived, or has not."""

    cell: str
    result: Outcome | CudawheelError


@dataclass(slots=True)
class Run:
    """One run: cells that are left, cells that are on their way, and what became of the others."""

    fleet: FleetRequest
    cells: Sequence[FleetCell]
    inputs: str
    progress: Progress
    progress_of: Callable[[str], Progress]
    name: str = field(init=False)
    inbox: queue.SimpleQueue[Message | _Delivered] = field(init=False)
    attempts: dict[str, Attempt] = field(init=False)
    left: dict[str, FleetCell] = field(init=False)
    _board: Board = field(init=False)
    _tries: dict[str, str] = field(init=False)
    _began: dict[str, float] = field(init=False)
    _arriving: set[str] = field(init=False)
    _telling: Telling = field(init=False)
    _said: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = f"cudawheel-{secrets.token_hex(6)}"
        self.inbox = queue.SimpleQueue()
        self.attempts, self.left = {}, {cell.identifier: cell for cell in self.cells}
        self._board, self._tries, self._began, self._arriving, self._said = Board(), {}, {}, set(), ""
        self._telling = Telling(self.progress, self.progress_of)

    @property
    def cudas(self) -> tuple[str, ...]:
        """The releases of CUDA that the cells are for."""
        return tuple(sorted({str(cell.variant.cuda) for cell in self.left.values()}))

    @property
    def history(self) -> FarmHistory:
        """What builds cost, as far as this machine knows."""
        return FarmHistory(self.fleet.request.cache / COSTS)

    def find_what_is_done(self) -> None:
        """Take the wheels that this machine's store or the shared one has, and more cells where they show a need."""
        waiting = list(self.left.values())
        while waiting:
            cell = waiting.pop()
            self._began[cell.identifier] = time.monotonic()
            try:
                found = find_done(cell.request, self.progress_of(cell.identifier))
            except CudawheelError as error:
                found = None
                self.progress_of(cell.identifier).note(f"WARNING: {error.what} ({error.title})")
            if found is not None and (more := self._finish(cell, found)) is not None:
                waiting.append(more)

    def build_the_rest(self, cluster: Cluster, roll: Roll) -> None:
        """Have everything built that is left; raises as `make_all_on_farm` does."""
        for cell in self.left.values():
            self._queue(cell)
        with self._deliveries() as deliver:
            try:
                while not self._board.finished or self._arriving:
                    self._look(cluster, roll)
                    self._start(cluster)
                    self._say_how_far(roll)
                    self._receive(cluster, roll, deliver)
                self._say_how_far(roll)
            except SchedulerLostError as error:
                self._wait_for_arrivals()
                raise self._lost(error) from error
            except KeyboardInterrupt as stop:
                self._wait_for_arrivals()  # which the pool does all the same
                raise self._interrupted() from stop

    # Cells

    def _queue(self, cell: FleetCell) -> None:
        job = jobs_of(cell.request)[0]
        allowed = cell.request.allowed
        need = need_of(cell.identifier, job, self.history, most_cores=allowed.jobs or MOST_CORES)
        if allowed.force:
            need = replace(need, memory=0)
        self._began.setdefault(cell.identifier, time.monotonic())
        self._board.add(need)

    def _finish(self, cell: FleetCell, result: Outcome | CudawheelError) -> FleetCell | None:
        """Write down what became of a cell; gives the wheel that has to be made besides."""
        identifier, journal = cell.identifier, self.fleet.journal
        seconds = time.monotonic() - self._began.get(identifier, time.monotonic())
        self.left.pop(identifier, None)
        if isinstance(result, CudawheelError):
            self.progress_of(identifier).note(f"failed: {result.what}")
            journal.failed(identifier, result)
            self.attempts[identifier] = Attempt(identifier=identifier, result=result, seconds=seconds)
            more = cell.without_first()
        else:
            serves = tuple(other.identifier for other in cell.served_by(result.wheel))
            journal.done(identifier, *serves)
            self.attempts[identifier] = Attempt(identifier=identifier, result=result, seconds=seconds, serves=serves)
            more = cell.left_by(result.wheel)
        self._telling.over(identifier)
        if more is not None:
            self.left[more.identifier] = more
        return more

    def _settle(self, identifier: str, result: Outcome | CudawheelError) -> None:
        """Strike a cell off the board and queue what it shows to be needed besides."""
        self._board.done(identifier)
        self._tries.pop(identifier, None)
        more = self._finish(self.left[identifier], result)
        if more is not None:
            self._queue(more)

    # The loop

    def _look(self, cluster: Cluster, roll: Roll) -> None:
        idle = not self._board.running and not self._arriving
        for worker in roll.look(idle=idle and not self._board.seats):
            self._lose(cluster, worker, expected=False)
        if idle and self._board.seats and not roll.asking:
            for cell in self._board.homeless():
                self._settle(cell, self._no_home(cell))

    def _start(self, cluster: Cluster) -> None:
        for placement in self._board.start(time.monotonic()):
            self._send(cluster, placement)

    def _send(self, cluster: Cluster, placement: Placement) -> None:
        cell = placement.need.name
        order = Order.of(cell, self.left[cell].request, run=self.name, inputs=self.inputs, cores=placement.cores)
        key = build_key(self.name, cell, self._board.starts(cell))
        self._tries[cell] = key
        self._telling.sent(cell, placement.seat)
        needed = resources_of(placement.cores, placement.memory)
        cluster.start(key, "build_cell", order.to_plain(), placement.seat, needed)

    def _receive(self, cluster: Cluster, roll: Roll, deliver: Callable[[str, Answer], None]) -> None:
        """Wait for something to happen, but no longer than until the next look, and take in all that has."""
        try:
            message = self.inbox.get(timeout=_LOOK_SECONDS)
            while True:
                self._take_in(message, cluster, roll, deliver)
                message = self.inbox.get_nowait()
        except queue.Empty:
            return

    def _take_in(
        self, message: Message | _Delivered, cluster: Cluster, roll: Roll, deliver: Callable[[str, Answer], None]
    ) -> None:
        if isinstance(message, Heard):
            self._telling.hear(message.message)
        elif isinstance(message, Gone):
            if roll.strike(message.worker):
                self._lose(cluster, message.worker, expected=message.expected)
        elif isinstance(message, _Delivered):
            self._arriving.discard(message.cell)
            self._settle(message.cell, message.result)
        elif (seat := roll.answer(message)) is not None:
            self._telling.joined(seat.name, seat.label)
            self._board.joined(seat)
        elif (cell := self._cell_of(message.key)) is None:
            return  # of a worker that was given up, or a look
        elif isinstance(message, Dropped):
            self._telling.note(cell, "its build was taken back by somebody else, or with the scheduler; it waits again")
            self._board.back(cell)
        else:
            self._answer(cell, message, cluster, deliver)

    def _answer(self, cell: str, message: Answered, cluster: Cluster, deliver: Callable[[str, Answer], None]) -> None:
        worker = self._board.running[cell]
        if message.value is None and message.fault.startswith("KilledWorker"):
            # What Dask itself says where it is told to blame a task for the first worker that is lost.
            self._lose(cluster, worker, expected=False)
            return
        cluster.stop(message.key)
        if message.value is None:
            fault = BuildError(f"the worker {self._telling.label(worker)} could not try {cell}", why=message.fault)
            self._settle(cell, fault)
            return
        answer = Answer.from_plain(message.value)
        if answer.error is not None:
            self._settle(cell, error_from_plain(answer.error, where=self._telling.label(worker)))
            return
        self._board.free(cell)
        self._arriving.add(cell)
        deliver(cell, answer)

    def _cell_of(self, key: str) -> str | None:
        """Give the cell whose latest try a key is, if it is being built."""
        running = self._board.running
        return next((cell for cell, latest in self._tries.items() if latest == key and cell in running), None)

    def _lose(self, cluster: Cluster, worker: str, *, expected: bool) -> None:
        loss = self._board.lost(worker, blame=not expected)
        for cell in (*loss.again, *loss.aside):
            cluster.stop(self._tries[cell])
        label = self._telling.label(worker)
        for cell in loss.again:
            self._telling.note(cell, f"its worker {label} {'has left' if expected else 'was lost'}; it is tried again")
        for cell, workers in loss.aside.items():
            self._settle(cell, _lethal(cell, [self._telling.label(each) for each in workers]))

    def _no_home(self, cell: str) -> CudawheelError:
        need = next(need for need in self._board.waiting if need.name == cell)
        seats = self._board.seats
        if not any(seat.cudas is None or need.cuda in seat.cudas for seat in seats):
            return HostCompilerError(
                f"no worker has a host compiler for CUDA {need.cuda}",
                why=f"{count(len(seats), 'worker')} can build for other releases.",
                remedy="Install one on a worker: apt install g++",
            )
        largest = max(seat.memory for seat in seats)
        return MemoryBudgetError(
            f"one compiler of this build needs {need.memory / GIB:.1f} GiB, and no worker has that much",
            why=f"The largest has {largest / GIB:.1f} GiB.",
            remedy="Start a larger worker, or set `memory-per-job` in the recipe if the figure is too high.",
        )

    def _say_how_far(self, roll: Roll) -> None:
        running, failed = len(self._board.running), sum(a.word == "failed" for a in self.attempts.values())
        parts = [
            f"{len(self.attempts)} of {self._all_cells} done",
            f"{running} on {count(len(self._board.seats), 'worker')}",
            f"{len(self._board.waiting)} waiting",
            *([f"{failed} failed"] if failed else []),
            *(
                [f"{count(roll.asking, 'worker')} still to say what {'it is' if roll.asking == 1 else 'they are'}"]
                if roll.asking
                else []
            ),
        ]
        if (said := ", ".join(parts)) != self._said:
            self._said = said
            self.progress.phase("farm", said)

    # Wheels

    @contextmanager
    def _deliveries(self) -> Iterator[Callable[[str, Answer], None]]:
        """Give what fetches a wheel beside the loop, so that no worker waits for it."""
        with ThreadPoolExecutor(_DELIVERIES, thread_name_prefix="deliver") as pool:

            def deliver(cell: str, answer: Answer) -> None:
                pool.submit(self._deliver, self.left[cell], answer)

            yield deliver

    def _deliver(self, cell: FleetCell, answer: Answer) -> None:
        """Fetch a wheel, remember what it cost, and tell the loop. Runs in a thread of its own."""
        progress = self.progress_of(cell.identifier)
        try:
            if answer.pushed == "OTHER":
                say_other(cell.request, answer.fingerprint, answer.sha256, progress)
            result: Outcome | CudawheelError = fetch_done(
                cell.request, answer.fingerprint, progress, cached=answer.cached
            )
            key = key_of(jobs_of(cell.request)[0], answer.fingerprint)
            self.history.add(key, from_plain(answer.costs))
        except CudawheelError as error:
            result = error
        except Exception as error:  # noqa: BLE001 - or the loop would wait for ever
            result = RemoteStoreError("the wheel did not arrive", why=f"{type(error).__name__}: {error}")
        self.inbox.put(_Delivered(cell=cell.identifier, result=result))

    def _wait_for_arrivals(self) -> None:
        while self._arriving:
            message = self.inbox.get()
            if isinstance(message, _Delivered):
                self._arriving.discard(message.cell)
                self._settle(message.cell, message.result)

    @property
    def _all_cells(self) -> str:
        return count(len(self.attempts) + len(self.left), "cell")

    def _made(self) -> str:
        made = sum(attempt.word != "failed" for attempt in self.attempts.values())
        where = f"{self.fleet.request.wheelhouse} and in the shared store"
        return f"{made} of {self._all_cells} done; their wheels are in {where}."

    def _lost(self, error: SchedulerLostError) -> SchedulerLostError:
        return SchedulerLostError(
            error.what,
            why=f"{error.why}\n{self._made()}",
            remedy="Start it and its workers again, then the same command: it goes on with what is left.",
        )

    def _interrupted(self) -> InterruptedBuildError:
        """Say what becomes of what was begun: unlike on one machine, it is not ended."""
        running = [f"{cell} on {self._telling.label(worker)}" for cell, worker in self._board.running.items()]
        more = [f"and {len(running) - _MOST_NAMED} more"] * (len(running) > _MOST_NAMED)
        named = ", ".join([*running[:_MOST_NAMED], *more])
        begun = f"What a worker has begun is built to its end there, and into the shared store: {named}."
        return InterruptedBuildError(
            "stopped before the end",
            why="\n".join([self._made(), *([begun] if running else [])]),
            remedy="The same command goes on with what is left.",
        )


def _lethal(cell: str, workers: Sequence[str]) -> LethalCellError:
    return LethalCellError(
        f"{len(workers)} workers were lost while they built {cell}; it is set aside",
        why=f"lost: {', '.join(workers)}; the last of them had nothing else to do",
        remedy="Look into the logs of these workers: memory that ran out beside cudawheel's guard, a time limit of the "
        "queue, or a machine that is not well. The same command tries it again.",
    )
