"""Runners of a CI service, and which of them a build fits on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from cudawheel.data import read_json
from cudawheel.errors import MemoryBudgetError
from cudawheel.schedule.limits import GIB, machine_limit

Service = Literal["github", "gitlab"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """A kind of machine that a service gives.

    Attributes:
        label: what a job asks for it by: GitHub's label, GitLab's tag.
        memory: bytes.
    """

    label: str
    memory: int

    @property
    def room(self) -> int:
        """Bytes that a build may take there: what is left above the reserve that every build keeps."""
        return machine_limit(self.memory, self.memory).room


def runners_of(service: Service, machine: str) -> tuple[Runner, ...]:
    """Give the runners that a service has for everybody; none for a processor that it does not offer."""
    known = read_json("ci")[service]["runners"].get(machine, {})
    return tuple(Runner(label=label, memory=gibibytes * GIB) for label, gibibytes in known.items())


def smallest_for(cell: str, needed: int, runners: Iterable[Runner]) -> Runner:
    """Choose the smallest runner on which the largest compiler of a build finds room.

    Args:
        cell: whose build it is, for the error.
        needed: bytes of its largest compiler process.
        runners: what there is, in order of preference among equals.

    Raises:
        MemoryBudgetError: it fits on none.
    """
    listed = sorted(runners, key=lambda runner: runner.memory)
    for runner in listed:
        if runner.room >= needed:
            return runner
    largest = (
        f"{listed[-1].label} has {listed[-1].memory / GIB:.0f} GiB" if listed else "there is none for its processor"
    )
    raise MemoryBudgetError(
        f"no runner is large enough for {cell}, of which one compiler needs {needed / GIB:.1f} GiB",
        why=f"of the runners that are known, {largest}; a part of it stays in reserve.",
        remedy="Name a larger one by its label and memory: --runner LABEL=64G.",
    )
