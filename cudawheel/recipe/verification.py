"""How the wheels of a recipe are verified, and which faults of a source are known."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

SuiteName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
Link = Annotated[str, StringConstraints(pattern=r"^https://\S+$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class KnownDefect(_Section):
    """A check that this source is known to fail. It is reported as known; what counts as right stays the same."""

    check: str = Field(min_length=1)
    """Name of the check; a shell pattern such as `grid_interp *` stands for several."""
    device: Literal["cpu", "cuda", "*"] = "*"
    """Where it fails."""
    evidence: Link
    """Where the fault can be read: a line of the source, or an issue."""
    why: str = Field(min_length=1)
    """What is wrong, in a sentence."""


class VerifySettings(_Section):
    """What is computed to prove a wheel."""

    suite: SuiteName
    """The suite of checks: one of cudawheel's own, or one that a package offers as an entry point."""
