"""What a worker is, found out before it gets a cell: its cudawheel, its platform, its compilers, disk and store."""

from __future__ import annotations

import platform
import shutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cudawheel.builder.own_wheel import own_code
from cudawheel.errors import (
    CudawheelError,
    DiskFullError,
    FarmVersionError,
    HostCompilerError,
    RemoteStoreError,
    WorkerPlatformError,
)
from cudawheel.farm.cell import error_from_plain, error_to_plain
from cudawheel.farm.inputs import is_there
from cudawheel.farm.policy import Seat
from cudawheel.model.version import CudaVersion
from cudawheel.schedule.budget import BudgetRequest, measure_budget
from cudawheel.schedule.limits import GIB
from cudawheel.store.store import require_writable
from cudawheel.toolchain.compiler_limits import compiler_limits
from cudawheel.toolchain.host_compiler import find_host_compiler

MEMORY, CORES = "MEMORY", "CORES"
"""Names of the resources that a worker declares to Dask: bytes, and cores."""

# Torch with its libraries, a toolkit and a build: what a full cell takes at its worst, beside what is there already.
LEAST_DISK = 6 * GIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of every worker.

    Attributes:
        version: of the cudawheel that asks.
        code: hash of its code.
        machine: platform of the wheels, such as x86_64.
        cudas: releases of CUDA that the cells are for.
        store: address of the shared store.
        inputs: hash of something that lies in that store, by which it is recognised.
        least_disk: bytes that have to be free for a build.
    """

    version: str
    code: str
    machine: str
    cudas: tuple[str, ...]
    store: str
    inputs: str
    least_disk: int = LEAST_DISK

    @classmethod
    def ask(cls, *, machine: str, cudas: tuple[str, ...], store: str, inputs: str) -> Question:
        """Ask for workers like this machine."""
        return cls(
            version=version("cudawheel"), code=own_code(), machine=machine, cudas=cudas, store=store, inputs=inputs
        )

    def to_plain(self) -> dict[str, Any]:
        """Give it as plain values."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Question:
        """Read what `to_plain` wrote."""
        return cls(**{**plain, "cudas": tuple(plain["cudas"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """What a worker found out about itself.

    Attributes:
        address: by which Dask knows it.
        name: that it was started with, or its address.
        host: name of its machine.
        cores: that compilers may keep busy.
        memory: bytes that they may take.
        threads: cells that it runs at once.
        compilers: the host compiler that was found for each release of CUDA.
        faults: why it can build nothing, each as `error_to_plain` writes it; none where it can.
    """

    address: str
    host: str
    cores: int
    memory: int
    threads: int
    compilers: dict[str, str]
    faults: tuple[dict[str, str], ...] = ()
    name: str = ""

    @property
    def label(self) -> str:
        """What a person knows it by, and can look for."""
        return f"{self.name} ({self.address})" if self.name not in {"", self.address} else self.address

    @property
    def fit(self) -> bool:
        """Whether it may get cells."""
        return not self.faults

    @property
    def seat(self) -> Seat:
        """The worker as the policy sees it."""
        return Seat(
            name=self.address,
            label=self.label,
            host=self.host,
            cores=self.cores,
            memory=self.memory,
            most=self.threads,
            cudas=frozenset(self.compilers),
        )

    @property
    def errors(self) -> tuple[CudawheelError, ...]:
        """The faults as errors."""
        return tuple(error_from_plain(fault) for fault in self.faults)

    def to_plain(self) -> dict[str, Any]:
        """Give it as plain values."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> WorkerReport:
        """Read what `to_plain` wrote."""
        return cls(**{**plain, "faults": tuple(plain["faults"])})


def examine(
    question: Question,
    *,
    address: str,
    name: str = "",
    threads: int,
    resources: Mapping[str, float],
    cache: Path,
    environ: Mapping[str, str],
) -> WorkerReport:
    """Look at this machine as a worker.

    Args:
        question: what is asked.
        address: by which Dask knows the worker.
        name: that it was started with, or its address.
        threads: tasks that it runs at once.
        resources: what it has declared to Dask; what is missing is measured.
        cache: its folder for all that outlives a build.
        environ: its environment.
    """
    budget = measure_budget(BudgetRequest())
    compilers: dict[str, str] = {}
    checks: tuple[Callable[[], None], ...] = (
        partial(_check_version, question),
        partial(_check_platform, question),
        partial(_find_compilers, question, environ, compilers),
        partial(_check_disk, question, cache),
        partial(_check_store, question),
    )
    faults = [error_to_plain(error) for check in checks if (error := _fault(check)) is not None]
    return WorkerReport(
        address=address,
        name=name,
        host=socket.gethostname(),
        cores=int(resources.get(CORES, budget.cores)),
        memory=int(resources.get(MEMORY, budget.memory)),
        threads=threads,
        compilers=compilers,
        faults=tuple(faults),
    )


def _fault(check: Callable[[], None]) -> CudawheelError | None:
    try:
        check()
    except CudawheelError as error:
        return error
    return None


def _check_version(question: Question) -> None:
    mine = version("cudawheel")
    if mine != question.version:
        raise FarmVersionError(
            f"this worker has cudawheel {mine}, and {question.version} asks it to build",
            why="Wheels of two versions have different fingerprints, and may differ in what was proven of them.",
            remedy=f"Install cudawheel {question.version} on all machines, from the same place.",
        )
    code = own_code()
    if code != question.code:
        raise FarmVersionError(
            f"this worker has another cudawheel {mine} than the one that asks",
            why=f"their code differs: {code[:12]}… here, {question.code[:12]}… there",
            remedy="One of them is a checkout that was changed: install the same wheel of cudawheel on all machines.",
        )


def _check_platform(question: Question) -> None:
    mine = platform.machine()
    if mine != question.machine or platform.system() != "Linux":
        raise WorkerPlatformError(
            f"this worker is {platform.system()} on {mine}, and the wheels are for Linux on {question.machine}",
            remedy="Wheels are built on the platform that they run on: take workers of that platform.",
        )


def _find_compilers(question: Question, environ: Mapping[str, str], found: dict[str, str]) -> None:
    """Find a host compiler for each release of CUDA; raises HostCompilerError if there is one for none of them."""
    missing = None
    for cuda in question.cudas:
        try:
            compiler = find_host_compiler(compiler_limits(CudaVersion.parse(cuda)), environ)
        except HostCompilerError as error:  # noqa: PERF203 - each release is looked at
            missing = error
        else:
            found[cuda] = f"{compiler.family} {compiler.version}"
    if missing is not None and not found:
        raise missing


def _check_disk(question: Question, cache: Path) -> None:
    require_writable(cache)
    free = shutil.disk_usage(cache).free
    if free < question.least_disk:
        raise DiskFullError(
            f"{cache} has {free / GIB:.1f} GiB free, and a build may take {question.least_disk / GIB:.0f}",
            remedy="Make room there, or give the worker a larger disk with CUDAWHEEL_CACHE.",
        )


def _check_store(question: Question) -> None:
    if not is_there(question.store, question.inputs):
        raise RemoteStoreError(
            f"this worker finds another store at {question.store} than whoever asks",
            why=f"what was just put there, inputs/{question.inputs[:12]}…, is not to be seen",
            remedy="Name a store that all machines reach: a folder that they share, or a bucket.",
        )
