"""Asking all workers of a cluster what they are, without building anything."""

from __future__ import annotations

import queue
import time

from cudawheel.errors import FarmError
from cudawheel.farm.cell import error_to_plain
from cudawheel.farm.cluster import Answered, Cluster, Message, connect, in_words
from cudawheel.farm.inputs import everywhere, put
from cudawheel.farm.probe import Question, WorkerReport

_SECONDS = 60.0
_MARK = b"cudawheel farm check\n"


def ask_all(scheduler: str, store: str, *, machine: str, cudas: tuple[str, ...]) -> tuple[WorkerReport, ...]:
    """Give what every worker says of itself, in order of their addresses.

    Args:
        scheduler: address of Dask's scheduler.
        store: address of the store that all share, where a small file is left by which workers recognise it.
        machine: platform of the wheels, such as x86_64.
        cudas: releases of CUDA that there should be a host compiler for.

    Raises:
        FarmError: no scheduler answers.
        RemoteStoreError: the store cannot be written.
    """
    store = everywhere(store)
    question = Question.ask(machine=machine, cudas=cudas, store=store, inputs=put(store, _MARK))
    inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
    reports: dict[str, WorkerReport] = {}
    with connect(scheduler, "cudawheel-check", inbox.put) as cluster:
        asked = {f"cudawheel-check-{time.time_ns()}-{worker}": worker for worker in sorted(cluster.workers())}
        for key, worker in asked.items():
            cluster.start(key, "look_at_yourself", question.to_plain(), worker, {})
        deadline = time.monotonic() + _SECONDS
        while len(reports) < len(asked) and (left := deadline - time.monotonic()) > 0:
            try:
                message = inbox.get(timeout=left)
            except queue.Empty:
                break
            if isinstance(message, Answered) and message.key in asked:
                reports[asked[message.key]] = _report(asked[message.key], message)
        for key, worker in asked.items():
            if worker not in reports:
                reports[worker] = _without(worker, _silence(cluster, key, worker))
    return tuple(reports[worker] for worker in sorted(reports))


def _silence(cluster: Cluster, key: str, worker: str) -> FarmError:
    others = [task for task in cluster.tasks_of(worker) if task != key]
    return FarmError(
        f"it has not answered within {_SECONDS:.0f} s",
        why=f"it is at work on {in_words(others)}" if others else "",
        remedy="It answers once that is done." if others else "Look into its log.",
    )


def _report(worker: str, message: Answered) -> WorkerReport:
    if message.value is not None:
        return WorkerReport.from_plain(message.value)
    fault = FarmError(
        "it does not understand the question", why=message.fault, remedy="Install the same cudawheel on all machines."
    )
    return _without(worker, fault)


def _without(worker: str, fault: FarmError) -> WorkerReport:
    """Give the report of a worker that has given none."""
    return WorkerReport(
        address=worker, host="", cores=0, memory=0, threads=0, compilers={}, faults=(error_to_plain(fault),)
    )
