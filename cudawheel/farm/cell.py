"""A cell on its way to a worker, and the answer on its way back: plain values, which any version can at least read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import cudawheel.errors
from cudawheel.data import capability_names
from cudawheel.errors import BuildError, CudawheelError
from cudawheel.factory.request import BuildRequest
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.capability_request import CapabilityRequest
from cudawheel.model.counting import count
from cudawheel.model.version import CudaVersion, PythonVersion, TorchVersion
from cudawheel.plan.plan import Machine, Selection
from cudawheel.schedule.budget import BudgetRequest
from cudawheel.toolchain.toolchain import ToolchainKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A cell to be built on some worker.

    Attributes:
        cell: its name.
        run: name of the run that it belongs to, under which its progress is told.
        recipe: name of the recipe's file.
        inputs: hash of the archive with the recipe and all files that it refers to.
        store: address of the shared store, where the archive lies and the wheel goes.
        python: version, or empty for any; so for torch and CUDA.
        capabilities: the list asked for, or empty for the recipe's.
        machine: platform of the wheel, such as x86_64.
        machine_python: version of whoever asks.
        gpus: capabilities that `native` stands for, which are those where it was asked.
        toolchain: where nvcc comes from.
        redist_url: a mirror of NVIDIA's archives, or empty.
        source: label of the only source to use, or empty.
        reuse: whether a wheel that was built before will do.
        cores: how many compilers may run at once.
        memory: bytes that a person allows for all of them, or 0.
        force: try even where one compiler does not fit.
        compiler_cache: whether compilers run behind sccache.
        network: whether the package's backend may use the network.
    """

    cell: str
    run: str
    recipe: str
    inputs: str
    store: str
    python: str
    torch: str
    cuda: str
    capabilities: str
    machine: str
    machine_python: str
    gpus: tuple[str, ...]
    toolchain: str
    redist_url: str
    source: str
    reuse: bool
    cores: int
    memory: int
    force: bool
    compiler_cache: bool
    network: bool

    @classmethod
    def of(cls, cell: str, request: BuildRequest, *, run: str, inputs: str, cores: int) -> Order:
        """Write down what a request asks for, less what is the worker's own: its folders and its environment."""
        selection, machine = request.selection, request.machine
        return cls(
            cell=cell,
            run=run,
            recipe=request.recipe.name,
            inputs=inputs,
            store=request.remote,
            python=_text(selection.python),
            torch=_text(selection.torch),
            cuda=_text(selection.cuda),
            capabilities=_text(selection.capabilities),
            machine=machine.machine,
            machine_python=str(machine.python),
            gpus=tuple(map(str, machine.gpus)),
            toolchain=request.toolchain,
            redist_url=request.redist_url,
            source=request.source or "",
            reuse=request.reuse,
            cores=cores,
            memory=request.allowed.memory or 0,
            force=request.allowed.force,
            compiler_cache=request.compiler_cache,
            network=request.network,
        )

    def request(
        self, *, recipe_folder: Path, cache: Path, wheelhouse: Path, environ: Mapping[str, str]
    ) -> BuildRequest:
        """Give the request as it is made on a worker.

        Args:
            recipe_folder: where the archive was laid out.
            cache: the worker's.
            wheelhouse: a folder that nobody needs afterwards.
            environ: the worker's environment.
        """
        capabilities = CapabilityRequest.parse(self.capabilities, capability_names()) if self.capabilities else None
        selection = Selection(
            python=PythonVersion.parse(self.python) if self.python else None,
            torch=TorchVersion.parse(self.torch) if self.torch else None,
            cuda=CudaVersion.parse(self.cuda) if self.cuda else None,
            capabilities=capabilities,
            toolchain=self.toolchain,
        )
        machine = Machine(
            machine=self.machine,
            python=PythonVersion.parse(self.machine_python),
            gpus=tuple(map(ComputeCapability.parse, self.gpus)),
        )
        return BuildRequest(
            recipe=recipe_folder / self.recipe,
            selection=selection,
            machine=machine,
            toolchain=cast("ToolchainKind", self.toolchain),
            redist_url=self.redist_url,
            source=self.source or None,
            wheelhouse=wheelhouse,
            cache=cache,
            reuse=self.reuse,
            remote=self.store if self.reuse else "",
            allowed=BudgetRequest(
                memory=self.memory or None,
                jobs=self.cores,
                force=self.force,
                jobs_by=f"the {count(self.cores, 'core')} that the farm gave this cell",
            ),
            compiler_cache=self.compiler_cache,
            network=self.network,
            environ=environ,
        )

    def to_plain(self) -> dict[str, Any]:
        """Give it as plain values."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Order:
        """Read what `to_plain` wrote."""
        return cls(**{**plain, "gpus": tuple(plain["gpus"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a worker says of a cell that it has tried.

    Attributes:
        fingerprint: of the wheel; empty where there is none.
        sha256: of the wheel that the worker has.
        cached: whether it was built before.
        pushed: what came of putting it into the shared store, in words.
        built: whether this worker compiled it just now.
        costs: what its compilers took, as rows of plain values.
        error: what stood in the way, or None.
    """

    fingerprint: str = ""
    sha256: str = ""
    cached: bool = False
    pushed: str = ""
    built: bool = False
    costs: tuple[tuple[Any, ...], ...] = ()
    error: dict[str, str] | None = None

    def to_plain(self) -> dict[str, Any]:
        """Give it as plain values."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Answer:
        """Read what `to_plain` wrote."""
        return cls(**{**plain, "costs": tuple(map(tuple, plain["costs"]))})


def error_to_plain(error: CudawheelError) -> dict[str, str]:
    """Give an error as plain values."""
    return {"class": type(error).__name__, "what": error.what, "why": error.why, "remedy": error.remedy}


def error_from_plain(plain: Mapping[str, str], *, where: str = "") -> CudawheelError:
    """Read what `error_to_plain` wrote; an error of a class that is not known here is one of the build.

    Args:
        plain: the values.
        where: of which worker this is, to be said with the evidence.
    """
    kind = getattr(cudawheel.errors, plain.get("class", ""), BuildError)
    if not (isinstance(kind, type) and issubclass(kind, CudawheelError)):
        kind = BuildError
    why = "\n".join(filter(None, (plain.get("why", ""), f"on the worker {where}" if where else "")))
    return kind(plain.get("what", "a worker failed"), why=why, remedy=plain.get("remedy", ""))


def _text(value: object) -> str:
    return "" if value is None else str(value)
