"""A Dask cluster, as far as a farm needs it: who is there, start this there, and tell me what happens.

The farm decides which cell goes where, and names the worker to Dask. Dask carries orders and answers, holds the
declared memory and cores for them, notices which workers are gone, and refuses to run two cells in the same memory,
whoever sends them. Results are a few hundred bytes; wheels do not come this way.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cudawheel.errors import ExtraMissingError, SchedulerLostError
from cudawheel.farm.probe import CORES, MEMORY
from cudawheel.farm.reach import CONNECT_SECONDS, no_scheduler, require_scheduler

# A scheduler that is busy for so long serves nobody.
_ANSWER_SECONDS = 30.0
# A worker whose process stands still is not waited for.
_LOOK_SECONDS = 5.0
_BUILD = re.compile(r"cudawheel-[0-9a-f]{12}-(?P<cell>.+)-\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A task is done: `value` is what it gave, or None where it failed for the reason `fault`."""

    key: str
    value: Mapping[str, Any] | None
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A task was taken off by somebody else than us, or with the scheduler."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A worker has left; in order, if `expected`."""

    worker: str
    expected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A worker tells how far a cell is."""

    message: Mapping[str, Any]


Message = Answered | Dropped | Gone | Heard


class Cluster(Protocol):
    """What the farm speaks to. Messages come in any thread."""

    @property
    def address(self) -> str:
        """Of the scheduler."""

    def workers(self) -> frozenset[str]:
        """Give the addresses of the workers; raises SchedulerLostError if the scheduler does not say."""

    def start(
        self, key: str, function: str, plain: Mapping[str, Any], worker: str, resources: Mapping[str, float]
    ) -> None:
        """Run a function of `farm.work` on a worker; its end comes as a message with this key."""

    def stop(self, key: str) -> None:
        """Want the answer of a task no more."""

    def tasks_of(self, worker: str) -> tuple[str, ...]:
        """Give the keys of what a worker is at work on, whoever sent it and is gone; nothing where it does not say."""


class DaskCluster:
    """A cluster behind the address of its scheduler.

    Args:
        client: Dask's.
        run: name under which the workers tell how far they are.
        post: where messages go.
    """

    def __init__(self, client: Any, run: str, post: Callable[[Message], None]) -> None:  # noqa: ANN401 - Dask is an extra
        self._client = client
        self._post = post
        self._futures: dict[str, Any] = {}
        client.subscribe_topic(run, lambda event: post(Heard(message=event[1])))
        client.subscribe_topic("all", self._on_event)

    @property
    def address(self) -> str:
        """Of the scheduler."""
        return str(self._client.scheduler.address)

    def workers(self) -> frozenset[str]:
        """Give the addresses of the workers.

        Raises:
            SchedulerLostError: the scheduler does not say.
        """
        try:
            if self._client.status not in {"running", "connecting"}:
                raise ConnectionError(f"the connection is {self._client.status}")
            return frozenset(self._client.sync(self._client.scheduler.ncores, callback_timeout=_ANSWER_SECONDS))
        except (OSError, TimeoutError, RuntimeError, AttributeError) as error:
            raise SchedulerLostError(
                f"the scheduler at {self._client_address()} does not answer any more",
                why=f"{type(error).__name__}: {error}".rstrip(": "),
            ) from error

    def start(
        self, key: str, function: str, plain: Mapping[str, Any], worker: str, resources: Mapping[str, float]
    ) -> None:
        """Run a function of `farm.work` on a worker; its end comes as a message with this key."""
        from cudawheel.farm import work  # noqa: PLC0415 - where it is named it would be imported on every start

        future = self._client.submit(
            getattr(work, function),
            dict(plain),
            key=key,
            workers=[worker],
            allow_other_workers=False,
            resources=dict(resources) or None,
            retries=0,
            pure=False,
        )
        self._futures[key] = future
        future.add_done_callback(self._on_done)

    def stop(self, key: str) -> None:
        """Want the answer of a task no more."""
        future = self._futures.pop(key, None)
        if future is not None:
            with contextlib.suppress(Exception):  # whether the scheduler is still there does not matter
                future.release()

    def tasks_of(self, worker: str) -> tuple[str, ...]:
        """Give the keys of what a worker is at work on, whoever sent it and is gone; nothing where it does not say."""
        from cudawheel.farm import work  # noqa: PLC0415 - as above

        # The scheduler forgets a task whose client is gone, and the worker goes on with it, so the worker is asked.
        # What is run in this way waits for no free thread, as tasks do.
        run = self._client._run  # noqa: SLF001 - `run` has no limit of time
        try:
            found = self._client.sync(
                run, work.in_hand, workers=[worker], on_error="return", callback_timeout=_LOOK_SECONDS
            )
        except Exception:  # noqa: BLE001 - a worker that has just left is an error of Dask's own; the next look sees it
            return ()
        keys = found.get(worker) if isinstance(found, Mapping) else None
        return tuple(keys) if isinstance(keys, list) else ()

    def close(self) -> None:
        """Take everything back that is not done."""
        for key in list(self._futures):
            self.stop(key)

    def _client_address(self) -> str:
        return str(getattr(getattr(self._client, "scheduler", None), "address", "")) or "its address"

    def _on_done(self, future: Any) -> None:  # noqa: ANN401 - as above
        key = str(future.key)
        if self._futures.pop(key, None) is None:
            return
        if future.status == "finished":
            try:
                self._post(Answered(key=key, value=future.result(timeout=_ANSWER_SECONDS)))
            except Exception as error:  # noqa: BLE001 - whatever keeps an answer from coming, it did not come
                self._post(Answered(key=key, value=None, fault=_spell(error)))
        elif future.status == "error":
            self._post(Answered(key=key, value=None, fault=_spell(future.exception(timeout=_ANSWER_SECONDS))))
        else:
            self._post(Dropped(key=key))

    def _on_event(self, event: tuple[float, Any]) -> None:
        message = event[1]
        if isinstance(message, Mapping) and message.get("action") == "remove-worker":
            self._post(Gone(worker=str(message["worker"]), expected=bool(message.get("expected"))))


@contextlib.contextmanager
def connect(address: str, run: str, post: Callable[[Message], None]) -> Iterator[DaskCluster]:
    """Connect to the scheduler of a cluster.

    Args:
        address: such as `tcp://HOST:8786`.
        run: name under which the workers tell how far they are.
        post: where messages go.

    Raises:
        ExtraMissingError: Dask is not installed.
        FarmError: nobody answers there.
    """
    try:
        from distributed import Client  # noqa: PLC0415 - an extra
        from distributed.comm import resolve_address  # noqa: PLC0415 - of the same
    except ImportError as error:
        raise ExtraMissingError(
            "--scheduler needs packages that are not installed", why=str(error), extra="farm"
        ) from error
    require_scheduler(address)
    with quiet_logs():
        try:
            # A client of an address that Dask cannot read hangs when it is thrown away.
            resolve_address(address)
            client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False, name="cudawheel")
        except (OSError, TimeoutError, ValueError, TypeError, ImportError) as error:
            raise no_scheduler(address, error) from error
        cluster = DaskCluster(client, run, post)
        try:
            yield cluster
        finally:
            cluster.close()
            with contextlib.suppress(Exception):  # a scheduler that is gone needs no farewell
                client.close(timeout=2)


@contextlib.contextmanager
def quiet_logs(*more: str) -> Iterator[None]:
    """Keep Dask from printing what becomes an error of ours, such as that it tries to connect again.

    Args:
        more: names of loggers to keep quiet besides.
    """
    names = ("distributed.client", "distributed.core", "distributed.comm", *more)
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def build_key(run: str, cell: str, start: int) -> str:
    """Name the task that is a try at a cell."""
    return f"{run}-{cell}-{start}"


def in_words(keys: Iterable[str]) -> str:
    """Say what tasks are: the cell that one builds, else Dask's name of it."""
    return ", ".join(found["cell"] if (found := _BUILD.fullmatch(key)) else key for key in keys)


def _spell(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ") if error is not None else "no reason was given"


def resources_of(cores: int, memory: int) -> dict[str, float]:
    """Give what a cell takes of a worker's resources, in Dask's words."""
    return {CORES: cores, **({MEMORY: memory} if memory else {})}
