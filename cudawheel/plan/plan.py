"""The plan of a recipe: every cell of its matrix, accepted with its capabilities or rejected with the reason.

Needs neither a toolkit nor a GPU: what depends on this machine comes in as arguments.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from cudawheel.data import FIRST_PACKAGED_CUDA, TorchRelease, torch_releases
from cudawheel.errors import CapabilityError, PlanError
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.capability_request import CapabilityContext, CapabilityRequest
from cudawheel.model.capability_set import CapabilitySet
from cudawheel.model.variant import Variant
from cudawheel.model.version import CudaVersion, PythonVersion, TorchVersion
from cudawheel.plan.capabilities import Verdict, accepted, compilable, judge, removed
from cudawheel.plan.variables import capability_variables
from cudawheel.recipe.recipe import Recipe
from cudawheel.recipe.settings import BuildSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What the person narrows the matrix to; None leaves a dimension open."""

    python: PythonVersion | None = None
    torch: TorchVersion | None = None
    cuda: CudaVersion | None = None
    capabilities: CapabilityRequest | None = None
    toolchain: str = "package"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The facts of this machine that a plan depends on."""

    machine: str
    python: PythonVersion
    gpus: tuple[ComputeCapability, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of the matrix: a variant with its verdicts, and the reason if it is rejected."""

    identifier: str
    variant: Variant | None
    verdicts: tuple[Verdict, ...] = ()
    reason: str = ""

    @property
    def accepted(self) -> bool:
        """Whether it can be built."""
        return self.variant is not None

    def to_json(self) -> dict[str, Any]:
        """Give the cell as plain values for `cudawheel plan --json`."""
        return {
            "identifier": self.identifier,
            "accepted": self.accepted,
            "reason": self.reason or None,
            "capabilities": [
                {
                    "capability": str(verdict.capability),
                    "machine_code": verdict.cubin,
                    "ptx": verdict.ptx,
                    "accepted": verdict.accepted,
                    "reason": verdict.reason or None,
                }
                for verdict in self.verdicts
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Every cell of a recipe's matrix, in the recipe's order of preference."""

    package: str
    cells: tuple[Cell, ...] = field(repr=False)

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The variants that can be built."""
        return tuple(cell.variant for cell in self.cells if cell.variant is not None)

    def choose(self, machine: Machine) -> Cell:
        """Choose the one cell to build: the first for this machine's own Python, else the first of all.

        Raises:
            PlanError: every cell is rejected; the reasons are in the error.
        """
        buildable = [cell for cell in self.cells if cell.variant is not None]
        own = [cell for cell in buildable if cell.variant is not None and cell.variant.python == machine.python]
        if not buildable:
            raise self._nothing_to_build()
        return (own or buildable)[0]

    def _nothing_to_build(self) -> PlanError | CapabilityError:
        grouped: dict[str, list[str]] = {}
        for cell in self.cells:
            grouped.setdefault(cell.reason, []).append(cell.identifier)
        reasons = "\n".join(f"{_few(identifiers)}: {reason}" for reason, identifiers in grouped.items())
        # Cells with verdicts came furthest: but for the capabilities they could be built.
        if any(cell.verdicts for cell in self.cells):
            return CapabilityError(
                f"CUDA cannot compile {self.package} for the capabilities asked for",
                why=reasons,
                remedy="Leave those capabilities out, or choose a torch with another CUDA; `cudawheel plan` shows all.",
            )
        return PlanError(
            f"no variant of {self.package} can be built as asked",
            why=reasons,
            remedy="`cudawheel plan` shows the whole matrix; choose with --python, --torch and --cuda.",
        )

    def to_json(self) -> dict[str, Any]:
        """Give the plan as plain values for `cudawheel plan --json`."""
        return {"package": self.package, "cells": [cell.to_json() for cell in self.cells]}


def _few(identifiers: list[str]) -> str:
    return identifiers[0] if len(identifiers) == 1 else f"{identifiers[0]} and {len(identifiers) - 1} more"


def make_plan(recipe: Recipe, settings: BuildSettings, selection: Selection, machine: Machine) -> Plan:
    """Lay out a recipe's matrix for one of its sources; without torch in it, each Python meets each CUDA.

    Args:
        recipe: whose matrix it is.
        settings: `[build]` as it holds for the source.
        selection: what the matrix is narrowed to.
        machine: for whom `native` is spelt out, and what the variants are named after.

    Raises:
        CapabilityError: the request holds a word that stands for nothing on this machine.
    """
    cells = tuple(_cells(recipe, settings, selection, machine))
    return Plan(package=f"{recipe.package.name} {recipe.package.version}", cells=cells)


def _cells(recipe: Recipe, settings: BuildSettings, selection: Selection, machine: Machine) -> Iterator[Cell]:
    pythons = (selection.python,) if selection.python else recipe.matrix.python
    if not recipe.with_torch:
        cudas = (selection.cuda,) if selection.cuda else recipe.matrix.cuda
        for cuda, python in itertools.product(cudas, pythons):
            yield _cell(recipe, settings, selection, machine, (python, None, cuda))
        return
    torches = (selection.torch,) if selection.torch else recipe.matrix.torch
    for torch, python in itertools.product(torches, pythons):
        release = torch_releases().get(torch)
        if release is None:
            known = ", ".join(str(version) for version in torch_releases())
            reason = f"torch {torch} is not known here; known are {known}"
            yield Cell(identifier=f"{python.tag}-torch{torch}-{machine.machine}", variant=None, reason=reason)
            continue
        for cuda in (selection.cuda,) if selection.cuda else recipe.matrix.cuda or (release.cuda,):
            yield _cell(recipe, settings, selection, machine, (python, torch, cuda))


def _cell(
    recipe: Recipe,
    settings: BuildSettings,
    selection: Selection,
    machine: Machine,
    at: tuple[PythonVersion, TorchVersion | None, CudaVersion],
) -> Cell:
    python, torch, cuda = at
    release = None if torch is None else torch_releases()[torch]
    variant = Variant(
        python=python,
        torch=torch,
        cuda=cuda,
        capabilities=CapabilitySet(),
        abi=None if torch is None else settings.abi,
        machine=machine.machine,
    )
    reason = _rejection(variant, release, selection)
    if reason:
        return Cell(identifier=variant.identifier, variant=None, reason=reason)
    request = selection.capabilities or recipe.capabilities.request
    context = CapabilityContext(
        known=compilable(cuda),
        removed=removed(cuda),
        native=machine.gpus,
        torch=CapabilitySet.of(() if release is None else release.capabilities),
    )
    verdicts = judge(request, cuda, context)
    refused = [verdict for verdict in verdicts if not verdict.accepted]
    # A capability that a person asks for on the command line is never dropped behind their back.
    strict = selection.capabilities is not None or recipe.capabilities.unavailable == "fail"
    if (refused and strict) or not accepted(verdicts):
        reason = "; ".join(f"{verdict.capability}: {verdict.reason}" for verdict in refused)
        return Cell(identifier=variant.identifier, variant=None, verdicts=verdicts, reason=reason)
    whole = replace(variant, capabilities=accepted(verdicts))
    try:
        capability_variables(settings, whole.capabilities)
    except CapabilityError as error:
        reason = f"{error.what}; {error.remedy}"
        return Cell(identifier=variant.identifier, variant=None, verdicts=verdicts, reason=reason)
    return Cell(identifier=whole.identifier, variant=whole, verdicts=verdicts)


def _rejection(variant: Variant, release: TorchRelease | None, selection: Selection) -> str:
    if release is None and selection.torch is not None:
        return f"the package is built without torch, so that there is none for torch {selection.torch}"
    if release is not None and variant.cuda != release.cuda:
        return f"torch {variant.torch} on the package index is built with CUDA {release.cuda}, not {variant.cuda}"
    if release is not None and not release.python_first <= variant.python <= release.python_last:
        return f"torch {variant.torch} has wheels for Python {release.python_first} to {release.python_last}"
    if selection.toolchain == "package" and variant.cuda < FIRST_PACKAGED_CUDA:
        return f"the package index has no nvcc for CUDA {variant.cuda}; use --toolchain system or redist"
    since = variant.abi.stable_since if variant.abi is not None else None
    if since is not None and variant.torch is not None and variant.torch < since:
        return f"the recipe promises torch's stable ABI from {since} on"
    return ""
