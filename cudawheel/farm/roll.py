"""The workers of a cluster: who is there, who has been asked what it is, and who is fit to build."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cudawheel.errors import CudawheelError, FarmError, FarmVersionError, UnfitWorkersError
from cudawheel.farm.cluster import Answered, Cluster, Dropped, in_words
from cudawheel.farm.policy import Seat
from cudawheel.farm.probe import Question, WorkerReport
from cudawheel.model.progress import Progress

# A look takes a second; only a worker that has other work of the same cluster may take longer, until that is done.
_ANSWER_SECONDS = 120.0
# So long without an answer, and somebody wants to know why.
_SOON_SECONDS = 3.0
# Workers come one after the other: those of which all are unfit may still be joined by one that is not.
_UNFIT_SECONDS = 15.0


@dataclass(slots=True)
class Roll:
    """The workers.

    Args:
        cluster: theirs.
        question: what each of them is asked.
        progress: told who gets no cells, and why.
        patience: seconds to wait for a worker where there is none that can build.
        clock: gives seconds.
    """

    cluster: Cluster
    question: Question
    progress: Progress
    patience: float
    clock: Callable[[], float] = time.monotonic
    _known: set[str] = field(init=False, default_factory=set)
    _asked: dict[str, tuple[str, float]] = field(init=False, default_factory=dict)
    _explained: set[str] = field(init=False, default_factory=set)
    _labels: dict[str, str] = field(init=False, default_factory=dict)
    _unfit: dict[str, tuple[CudawheelError, ...]] = field(init=False, default_factory=dict)
    _compilers: dict[str, str] = field(init=False, default_factory=dict)
    _looks: int = field(init=False, default=0)
    _idle_since: float | None = field(init=False, default=None)

    @property
    def asking(self) -> int:
        """How many workers have not answered yet."""
        return len(self._asked)

    def look(self, *, idle: bool) -> tuple[str, ...]:
        """Look who is there, and ask whoever is new.

        Args:
            idle: whether nobody builds anything, for want of workers.

        Returns:
            The workers that are gone.

        Raises:
            SchedulerLostError: the scheduler does not answer.
            FarmError: there has been no worker for too long.
            UnfitWorkersError: there are workers, and none of them can build.
        """
        there = self.cluster.workers()
        gone = tuple(sorted(self._known - there))
        for worker in gone:
            self.strike(worker)
        for worker in sorted(there - self._known):
            self._ask(worker)
        self._look_after_the_silent()
        self._require_somebody(idle=idle)
        return gone

    def strike(self, worker: str) -> bool:
        """Take out a worker that is gone; gives whether it was known."""
        if worker not in self._known:
            return False
        self._known.discard(worker)
        self._unfit.pop(worker, None)
        for key in [key for key, (asked, _) in self._asked.items() if asked == worker]:
            del self._asked[key]
            self.cluster.stop(key)
        return True

    def answer(self, message: Answered | Dropped) -> Seat | None:
        """Take in what a worker says of itself; gives it if it is fit to build."""
        worker, _ = self._asked.pop(message.key, ("", 0.0))
        if not worker:
            return None
        self.cluster.stop(message.key)
        if isinstance(message, Dropped):
            self._known.discard(worker)  # asked once more at the next look, if it is still there
            return None
        if message.value is None:
            self._refuse(worker, (_cannot_even_answer(message.fault, self.question),))
            return None
        report = WorkerReport.from_plain(message.value)
        self._labels[worker] = report.label
        if not report.fit:
            self._refuse(worker, report.errors)
            return None
        self._note_other_compilers(report)
        return report.seat

    def _ask(self, worker: str) -> None:
        self._known.add(worker)
        self._looks += 1
        key = f"cudawheel-look-{id(self):x}-{self._looks}"
        self._asked[key] = (worker, self.clock())
        self.cluster.start(key, "look_at_yourself", self.question.to_plain(), worker, {})

    def _look_after_the_silent(self) -> None:
        """Say why a worker does not answer where it has other work, and refuse it where it has none."""
        for key, (worker, since) in list(self._asked.items()):
            silent = self.clock() - since
            late = silent > _ANSWER_SECONDS
            if silent < _SOON_SECONDS or (key in self._explained and not late):
                continue
            others = [task for task in self.cluster.tasks_of(worker) if task != key]
            if others and key not in self._explained:
                self.progress.note(
                    f"the worker {worker} is still at work on {in_words(others)}, which an earlier run or somebody "
                    "else has sent there; it gets cells once that is done"
                )
            self._explained.add(key)
            if late and others:
                self._asked[key] = (worker, self.clock())
            elif late:
                del self._asked[key]
                self.cluster.stop(key)
                fault = FarmError(f"it has not answered for {_ANSWER_SECONDS:.0f} s", remedy="Look into its log.")
                self._refuse(worker, (fault,))

    def _refuse(self, worker: str, errors: Sequence[CudawheelError]) -> None:
        self._unfit[worker] = tuple(errors)
        for error in errors:
            reason = error.why.splitlines()[0] if error.why else error.title
            self.progress.note(f"the worker {self._label(worker)} gets no cells: {error.what} ({reason})")

    def _label(self, worker: str) -> str:
        return self._labels.get(worker, worker)

    def _note_other_compilers(self, report: WorkerReport) -> None:
        """Say it where host compilers differ: the wheels work, and their fingerprints are not the same."""
        for cuda, compiler in report.compilers.items():
            first = self._compilers.setdefault(cuda, compiler)
            if compiler != first:
                self.progress.note(
                    f"the worker {report.label} has {compiler} for CUDA {cuda}, another one {first}: fingerprints "
                    "differ, so a run that goes on later may build a cell once more"
                )

    def _require_somebody(self, *, idle: bool) -> None:
        if not idle or self._asked or self._known - self._unfit.keys():
            self._idle_since = None
            return
        now = self.clock()
        if self._idle_since is None:
            self._idle_since = now
        waited = now - self._idle_since
        if self._unfit and waited >= min(self.patience, _UNFIT_SECONDS):
            raise self._all_unfit()
        if not self._unfit and waited >= self.patience:
            raise FarmError(
                f"no worker has come to {self.cluster.address} within {self.patience:.0f} s",
                remedy=f"Start some: cudawheel farm worker {self.cluster.address}",
            )

    def _all_unfit(self) -> UnfitWorkersError:
        lines = [
            f"{self._label(worker)}: {error.what}" for worker, errors in sorted(self._unfit.items()) for error in errors
        ]
        remedies = dict.fromkeys(error.remedy for errors in self._unfit.values() for error in errors if error.remedy)
        count = "the only worker" if len(self._unfit) == 1 else f"none of the {len(self._unfit)} workers"
        return UnfitWorkersError(
            f"{count} {'cannot' if len(self._unfit) == 1 else 'can'} build these cells",
            why="\n".join(lines),
            remedy="\n".join(remedies),
        )


def _cannot_even_answer(fault: str, question: Question) -> FarmVersionError:
    return FarmVersionError(
        "it has no cudawheel that understands the question",
        why=fault,
        remedy=f"Install cudawheel {question.version} with its extra `farm` on the scheduler and on all workers, all "
        "from the same place.",
    )
