"""A Dask scheduler and workers, each a process of its own, with a toolkit in name and no package index."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil
from fake_tools import write_toolkit
from small_packages import write_wheel

TORCHES = ("2.11", "2.12", "2.13", "2.14")
"""Releases of torch that are built with the CUDA that the toolkit claims to be."""

_ADDRESS = re.compile(r"Scheduler at:\s+(tcp://\S+)")
_SECONDS = 240.0

_Found = TypeVar("_Found")


def write_surroundings(folder: Path) -> dict[str, str]:
    """Write a toolkit, a torch of each release and a folder of wheels; gives the environment in which they are used."""
    links = folder / "links"
    for release in TORCHES:
        write_wheel(links, "torch", f"{release}.0")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_", "CUDA"))}
    return {
        **plain,
        "CUDA_HOME": str(write_toolkit(folder / "cuda")),
        "UV_OFFLINE": "1",
        "UV_NO_CONFIG": "1",
        "UV_FIND_LINKS": str(links),
        "UV_CACHE_DIR": str(folder / "uv-cache"),
        "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "30s",
    }


@dataclass
class DaskFarm:
    """What runs.

    Attributes:
        folder: where logs and caches lie.
        environ: of whoever builds.
        scheduler: its process.
        address: its address.
        workers: their processes, by name.
    """

    folder: Path
    environ: Mapping[str, str]
    scheduler: subprocess.Popen[str] = field(init=False)
    address: str = field(init=False)
    workers: dict[str, subprocess.Popen[str]] = field(init=False, default_factory=dict)

    def start(self) -> None:
        """Start the scheduler, and wait until it has an address."""
        options = ("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        self.scheduler = self._program("scheduler", *options)
        log = self.folder / "scheduler.log"
        found = wait_until(lambda: _ADDRESS.search(log.read_text(encoding="utf-8")))
        self.address = found[1]

    def add_worker(self, name: str, *options: str, **changes: str) -> None:
        """Start a worker with a cache of its own; options are Dask's, changes those of its environment."""
        words = ("worker", self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard", "--name", name)
        place = ("--host", "127.0.0.1", "--local-directory", str(self.folder / f"dask-{name}"))
        resources = () if "--resources" in options else ("--resources", "CORES=1 MEMORY=4e9")
        cache = {"CUDAWHEEL_CACHE": str(self.folder / f"cache-{name}")}
        self.workers[name] = self._program(name, *words, *place, *resources, *options, **{**cache, **changes})

    def worker_of(self, pid: int) -> str:
        """Give the name of the worker among whose descendants a process is."""
        above = {process.pid for process in psutil.Process(pid).parents()}
        return next(name for name, worker in self.workers.items() if worker.pid in above)

    def kill(self, name: str) -> None:
        """Kill a worker as the kernel would."""
        self.workers[name].kill()
        self.workers[name].wait(_SECONDS)

    def stop(self) -> None:
        """End everything that was started."""
        for process in (*self.workers.values(), self.scheduler):
            if process.poll() is None:
                process.terminate()
        for process in (*self.workers.values(), self.scheduler):
            end(process)

    def _program(self, name: str, *words: str, **changes: str) -> subprocess.Popen[str]:
        with (self.folder / f"{name}.log").open("w", encoding="utf-8") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *words],
                env={**self.environ, **changes},
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )


@contextmanager
def dask_farm(folder: Path) -> Iterator[DaskFarm]:
    """Give a farm without workers; all that was started ends with the block."""
    farm = DaskFarm(folder=folder, environ=write_surroundings(folder))
    farm.start()
    try:
        yield farm
    finally:
        farm.stop()


def end(process: subprocess.Popen[str]) -> None:
    """Wait for a process that was asked to end; kill it if it does not."""
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_SECONDS)


def wait_until(condition: Callable[[], _Found | None]) -> _Found:
    """Wait for something to be true; gives what it is."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise TimeoutError("it never came true")
