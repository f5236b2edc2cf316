"""All diagnoses together, in the order in which a person reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cudawheel.doctor.diagnoses.extensions import diagnose_extensions
from cudawheel.doctor.diagnoses.gpu import diagnose_gpus
from cudawheel.doctor.diagnoses.memory import diagnose_memory
from cudawheel.doctor.diagnoses.places import diagnose_folders, diagnose_network
from cudawheel.doctor.diagnoses.toolkit import (
    diagnose_compilers,
    diagnose_pythons,
    diagnose_toolkits,
    diagnose_tools,
)
from cudawheel.doctor.diagnoses.torch import diagnose_torch
from cudawheel.doctor.finding import Finding, Severity
from cudawheel.doctor.machine import Gpu, Machine


def diagnose(
    machine: Machine, asked: tuple[Gpu, ...] = (), *, recipes: Mapping[str, str] | None = None
) -> tuple[Finding, ...]:
    """Judge a machine.

    Args:
        machine: what was found.
        asked: GPUs to judge for instead of the machine's own.
        recipes: recipes at hand, as `diagnose_extensions` takes them.
    """
    return (
        *diagnose_memory(machine),
        *diagnose_gpus(machine, asked),
        *diagnose_toolkits(machine, asked),
        *diagnose_compilers(machine),
        *diagnose_pythons(machine),
        *diagnose_torch(machine, asked),
        *diagnose_extensions(machine, asked, recipes=recipes),
        *diagnose_tools(machine),
        *diagnose_folders(machine),
        *diagnose_network(machine),
        *_diagnose_faults(machine),
    )


def _diagnose_faults(machine: Machine) -> Iterator[Finding]:
    """Tell which probes broke: what they look at is unknown, whatever else is said of it."""
    for fault in machine.faults:
        yield Finding(
            section="doctor",
            code="probe-failed",
            severity=Severity.WARNING,
            found=f"could not look at {' '.join(fault.split())}",
            remedy=("Report this line: a probe should live with whatever it meets.",),
        )
