"""What a person asks of the factory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cudawheel.plan.plan import Machine, Selection
from cudawheel.schedule.budget import BudgetRequest
from cudawheel.toolchain.toolchain import ToolchainKind

LockMode = Literal["use", "add", "renew"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One call of `cudawheel build`.

    Attributes:
        recipe: the file.
        selection: what the matrix is narrowed to.
        machine: the facts of this machine.
        toolchain: where nvcc comes from.
        redist_url: where NVIDIA's archives lie, for toolchain `redist`; empty for NVIDIA's own address.
        source: label of the only source to use, or None for all in order.
        wheelhouse: where the finished wheel goes.
        cache: where everything that outlives a build is kept.
        reuse: whether a wheel that was built before will do.
        remote: address of a store elsewhere that is asked before anything is built; empty for none.
        trusted: files of public keys, one of which must have signed what comes from there; without any, none needs to.
        allowed: what of the machine may be used.
        compiler_cache: whether compilers run behind sccache.
        network: whether the package's backend may use the network.
        lock: what becomes of the recipe's lock: it is used as it stands, gets an entry where it has none, or gets a new
            one.
        signing_key: file of the private key that provenance is signed with, or None.
        environ: the person's environment.
    """

    recipe: Path
    selection: Selection
    machine: Machine
    toolchain: ToolchainKind
    redist_url: str
    source: str | None
    wheelhouse: Path
    cache: Path
    reuse: bool
    remote: str = ""
    trusted: tuple[Path, ...] = ()
    allowed: BudgetRequest = field(default_factory=BudgetRequest)
    compiler_cache: bool = False
    network: bool = False
    lock: LockMode = "use"
    signing_key: Path | None = None
    environ: Mapping[str, str]
