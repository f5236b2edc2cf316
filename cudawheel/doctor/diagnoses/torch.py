"""torch against the driver and the GPUs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from cudawheel.doctor.diagnoses.words import (
    first_cuda,
    gpus_of,
    install_missing,
    last_cuda,
    listing,
    torch_command,
    why_not,
)
from cudawheel.doctor.finding import Finding, Severity
from cudawheel.doctor.machine import Gpu, Machine, Torch, TorchTrial
from cudawheel.model.capability import ComputeCapability, Support
from cudawheel.model.capability_set import CapabilitySet

# PyTorch's own builds with CUDA 12.6 carry machine code for 5.0, 6.0, 7.0 and what follows up to 9.0 (torch 2.9).
_OWN_INDEX_FIRST = ComputeCapability(5, 0)

# The folder of packages of a virtual environment, or of a Python that stands by itself.
_SITE = re.compile(r"(?P<root>/.+)/lib/(?P<python>python3\.\d+)/site-packages")


def diagnose_torch(machine: Machine, asked: tuple[Gpu, ...] = ()) -> Iterator[Finding]:
    """Judge the environment's torch: whole, for CUDA, for a CUDA that the driver runs, with code for the GPUs."""
    torch = machine.environment.torch
    gpus = gpus_of(machine, asked)
    if torch is None:
        if not machine.environment.fault:
            yield _none_here(machine)
    elif torch.fault:
        yield Finding(
            section="torch",
            code="torch-broken",
            severity=Severity.PROBLEM,
            found=f"{torch.version} in {torch.site} is damaged: {torch.fault}",
            remedy=(_command(gpus, machine, torch),),
        )
    elif torch.cuda is None:
        yield _without_cuda(torch, gpus, machine)
    else:
        yield _cuda(torch, machine, gpus)
        yield from _capabilities(torch, torch.capabilities, gpus, machine)
    if torch is not None and torch.trial is not None:
        yield from _trial(torch, torch.trial, machine, gpus)


def _command(gpus: tuple[Gpu, ...], machine: Machine, torch: Torch) -> str:
    wanted = [gpu.capability for gpu in gpus if gpu.capability]
    if command := torch_command(
        wanted, newest_cuda=machine.driver.cuda, like=torch.version, pip=machine.environment.pip
    ):
        return command
    if torch_command(wanted):
        return (
            f"No torch on the package index has code for {listing(gpus)} and a CUDA that this driver runs: update the "
            "driver first."
        )
    nowhere = f"No torch on the package index has code for {listing(gpus)}"
    if all(capability >= _OWN_INDEX_FIRST and last_cuda(capability) for capability in wanted):
        return f"{nowhere}; the cu126 builds of PyTorch's own index carry 5.0 to 9.0."
    return f"{nowhere}."


def _none_here(machine: Machine) -> Finding:
    others = machine.other_torches
    elsewhere = f"; {others[0].version} is in {others[0].site}" if others else ""
    # An environment that was looked into in vain is not offered again.
    looked_into = PurePosixPath(machine.environment.python).parent.parent.name
    named = "--python PATH" if looked_into == ".venv" else "--python .venv"
    return Finding(
        section="torch",
        code="no-torch",
        severity=Severity.NOTE,
        found=f"none beside {machine.environment.python}{elsewhere}",
        remedy=(f"Look into another environment: {_python_of(others) or named}",),
    )


def _python_of(torches: tuple[Torch, ...]) -> str:
    """Give the option that looks into the first environment with a torch in it, if its Python can be told."""
    places = [match for torch in torches if (match := _SITE.fullmatch(torch.site))]
    return f"--python {places[0]['root']}/bin/{places[0]['python']}" if places else ""


def _without_cuda(torch: Torch, gpus: tuple[Gpu, ...], machine: Machine) -> Finding:
    if torch.rocm:
        return Finding(
            section="torch",
            code="torch-rocm",
            severity=Severity.PROBLEM if gpus else Severity.NOTE,
            found=f"{torch.version} is built for AMD's GPUs (ROCm {torch.rocm})",
            remedy=(_command(gpus, machine, torch),) if gpus else (),
        )
    return Finding(
        section="torch",
        code="torch-cpu",
        severity=Severity.PROBLEM if gpus else Severity.NOTE,
        found=f"{torch.version} is built for the CPU alone"
        + (f": it sees no GPU, not even {listing(gpus)}" if gpus else ""),
        remedy=(_command(gpus, machine, torch),) if gpus else (),
    )


def _cuda(torch: Torch, machine: Machine, gpus: tuple[Gpu, ...]) -> Finding:
    """Judge torch's CUDA by the driver's: a later major one does not start (CUDA Compatibility, minor versions)."""
    driver = machine.driver
    found = f"{torch.version}, built with CUDA {torch.cuda}"
    if torch.cuda and driver.cuda and torch.cuda.major > driver.cuda.major:
        return Finding(
            section="torch",
            code="driver-too-old",
            severity=Severity.PROBLEM,
            found=f"{found}; driver {driver.version} runs CUDA up to {driver.cuda}, so torch sees no GPU",
            remedy=(f"Update NVIDIA's driver to one for CUDA {torch.cuda}, or:", _command(gpus, machine, torch)),
        )
    runs = f"; the driver runs it (up to {driver.cuda})" if driver.cuda else ""
    return Finding(section="torch", code="torch", severity=Severity.GOOD, found=f"{found}{runs}")


def _capabilities(
    torch: Torch, carried: CapabilitySet | None, gpus: tuple[Gpu, ...], machine: Machine
) -> Iterator[Finding]:
    if carried is None:
        return
    found = f"carries {carried}"
    if not carried:
        yield Finding(
            section="torch",
            code="torch-without-code",
            severity=Severity.PROBLEM,
            found="it calls itself a CUDA build and carries no device code",
            remedy=(_command(gpus, machine, torch),),
        )
    elif not gpus:
        yield Finding(section="torch", code="torch-carries", severity=Severity.GOOD, found=found)
    for gpu in gpus if carried else ():
        yield _on_gpu(torch, found, gpu, _support(carried, gpu.capability), machine)


def _support(carried: CapabilitySet, capability: ComputeCapability | None) -> Support:
    return carried.support(capability) if capability else Support.NONE


def _on_gpu(torch: Torch, found: str, gpu: Gpu, support: Support, machine: Machine) -> Finding:
    if support is Support.NATIVE:
        found = f"{found}: native on {gpu}"
        return Finding(section="torch", code="torch-native", severity=Severity.GOOD, found=found)
    if support is Support.PTX:
        return Finding(
            section="torch",
            code="torch-ptx",
            severity=Severity.WARNING,
            found=f"{found}: on {gpu} only its PTX, which the driver compiles at first use, for minutes",
            remedy=(_command((gpu,), machine, torch),),
        )
    needed = first_cuda(gpu.capability) if gpu.capability else None
    because = ""
    if needed and torch.cuda and torch.cuda < needed:
        because = f"; that needs a torch built with CUDA {needed} or later"
    elif gpu.capability and last_cuda(gpu.capability) and torch.cuda and (why := why_not(gpu.capability, torch.cuda)):
        because = f"; {why}"
    return Finding(
        section="torch",
        code="torch-no-kernel-image",
        severity=Severity.PROBLEM,
        found=f"{found}: `no kernel image is available` on {gpu}{because}",
        remedy=(_command((gpu,), machine, torch),),
    )


def _trial(torch: Torch, trial: TorchTrial, machine: Machine, gpus: tuple[Gpu, ...]) -> Iterator[Finding]:
    if trial.error:
        whole = f"See all of it: {machine.environment.python} -c 'import torch'"
        yield Finding(
            section="torch",
            code="torch-import-fails",
            severity=Severity.PROBLEM,
            found=f"it cannot be imported: {trial.error}",
            remedy=(install_missing(trial.error, machine.environment) or _command(gpus, machine, torch), whole),
        )
    elif machine.driver.gpus and torch.cuda and not trial.available:
        yield Finding(
            section="torch",
            code="torch-sees-no-gpu",
            severity=Severity.PROBLEM,
            found=f"it imports, and does not see what the driver sees: {listing(machine.driver.gpus)}",
            remedy=(f"{machine.environment.python} -c 'import torch; torch.cuda.init()'",),
        )
    else:
        sees = f"sees {listing(trial.devices)}" if trial.devices else "sees no GPU"
        found = f"imports in {trial.seconds:.1f} s and {sees}"
        yield Finding(section="torch", code="torch-imports", severity=Severity.GOOD, found=found)
