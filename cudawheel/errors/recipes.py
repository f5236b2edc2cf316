"""Errors of recipes, plans and drafts."""

from __future__ import annotations

from dataclasses import dataclass

from cudawheel.errors.base import CudawheelError


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of a recipe: where (dotted path), what was found there, and what is allowed."""

    path: str
    found: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.path}: found {self.found}; {self.allowed}"


class RecipeError(CudawheelError):
    """A recipe cannot be read; `faults` holds all of them, not the first one."""

    exit_code = 3
    title = "recipe is not valid"

    def __init__(self, what: str, *, faults: tuple[Fault, ...] = (), why: str = "", remedy: str = "") -> None:
        super().__init__(what, why=why or "\n".join(str(fault) for fault in faults), remedy=remedy)
        self.faults = faults


class CapabilityError(CudawheelError):
    """A compute capability is misspelt, unknown, or not within reach of the toolkit."""

    exit_code = 4
    title = "compute capability not available"


class PlanError(CudawheelError):
    """No variant of the recipe can be built as asked."""

    exit_code = 5
    title = "nothing to build"


class SelectionError(CudawheelError):
    """`--only` or `--skip`: a pattern matches no cell of the matrix, or none is left to build."""

    exit_code = 40
    title = "no cell selected"


class DraftError(CudawheelError):
    """`recipe new`: there is nothing at hand that a recipe could be drafted from."""

    exit_code = 70
    title = "nothing to draft a recipe from"


class NoCudaError(DraftError):
    """`recipe new`: the package compiles nothing for CUDA when it is built."""

    exit_code = 71
    title = "no CUDA code to build"
