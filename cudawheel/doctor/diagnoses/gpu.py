"""The driver, the GPUs, and the variables that hide them or leave them out of a build."""

from __future__ import annotations

from collections.abc import Iterator

from cudawheel.data import capability_names, known_for
from cudawheel.doctor.diagnoses.words import arch_list, gib, gpus_of, listing
from cudawheel.doctor.finding import Finding, Severity
from cudawheel.doctor.machine import Driver, DriverState, Gpu, Machine
from cudawheel.errors import CapabilityError
from cudawheel.model.capability import Support
from cudawheel.model.capability_request import CapabilityContext, CapabilityRequest

_MISMATCH = "mismatch"
_NO_GPUS = ("", "-1", "none", "NoDevFiles")


def diagnose_gpus(machine: Machine, asked: tuple[Gpu, ...] = ()) -> Iterator[Finding]:
    """Judge the driver and its GPUs.

    Args:
        machine: what was found.
        asked: GPUs that a person asked about instead of this machine's.
    """
    if asked:
        names = listing(asked)
        yield Finding(section="GPU", code="gpu-asked", severity=Severity.NOTE, found=f"judged for {names}, as asked")
    elif machine.driver.state is not DriverState.WORKS:
        yield _no_driver(machine)
    else:
        yield from _gpus(machine.driver, machine)
    yield from _hidden(machine)
    yield from _arch_list(machine, gpus_of(machine, asked))


def _no_driver(machine: Machine) -> Finding:
    driver, wsl = machine.driver, machine.wsl
    if driver.state is DriverState.BROKEN:
        restart = "Restart the computer: the driver was updated while it ran."
        again = "Restart the computer; if that does not help, install the driver again."
        return Finding(
            section="GPU",
            code="driver-broken",
            severity=Severity.PROBLEM,
            found=f"NVIDIA's driver does not work: {driver.fault}",
            remedy=(restart if _MISMATCH in driver.fault.casefold() else again, "Then: nvidia-smi"),
        )
    if wsl is not None and wsl.version > 1:
        return Finding(
            section="GPU",
            code="driver-wsl",
            severity=Severity.PROBLEM,
            found="Windows lends its GPU (/dev/dxg), and NVIDIA's library for WSL is missing"
            if wsl.gpu_device
            else "Windows lends no GPU: there is no /dev/dxg",
            remedy=("Update NVIDIA's driver in Windows, and nothing in Linux. Then in PowerShell: wsl --shutdown",),
        )
    if driver.device_files:
        return Finding(
            section="GPU",
            code="driver-not-visible",
            severity=Severity.PROBLEM,
            found=f"/dev has a GPU, and NVIDIA's library does not answer: {driver.fault}",
            remedy=("In a container: start it with --gpus all. Elsewhere: install NVIDIA's driver again.",),
        )
    return Finding(
        section="GPU",
        code="driver-absent",
        severity=Severity.NOTE,
        found="no NVIDIA driver: wheels can be built here, kernels cannot run",
        remedy=("Name the GPU that you build for: --gpu 'RTX 5070 Ti'",),
    )


def _gpus(driver: Driver, machine: Machine) -> Iterator[Finding]:
    about = f"driver {driver.version or 'of unknown version'}" + (f", CUDA up to {driver.cuda}" if driver.cuda else "")
    if not driver.gpus:
        yield Finding(
            section="GPU",
            code="no-gpu",
            severity=Severity.WARNING,
            found=f"{about}; it sees no GPU",
            remedy=("Is one plugged in, and lent to this container or virtual machine? lspci | grep -i nvidia",),
        )
    for gpu in driver.gpus:
        yield _gpu(gpu, about)
    gpus = gpus_of(machine, ())
    if len(gpus) > 1:
        names = listing(gpus)
        yield Finding(
            section="GPU",
            code="gpus-differ",
            severity=Severity.WARNING,
            found=f"GPUs of different generations, {names}: code for one alone does not run on the other",
            remedy=(
                f'For a bare pip: export TORCH_CUDA_ARCH_LIST="{arch_list(gpus)}"',
                "cudawheel builds for both with --capabilities native.",
            ),
        )


def _gpu(gpu: Gpu, about: str) -> Finding:
    if gpu.capability is None:
        return Finding(
            section="GPU",
            code="gpu-lost",
            severity=Severity.PROBLEM,
            found=f"{gpu.name} does not answer: {gpu.fault or 'no compute capability'}",
            remedy=("Restart the computer; see what the kernel says of it: sudo dmesg | grep -i nvrm",),
        )
    memory = f", {gib(gpu.memory)}" if gpu.memory else ""
    return Finding(
        section="GPU",
        code="gpu",
        severity=Severity.GOOD,
        found=f"{gpu.name}: capability {gpu.capability}{memory}; {about}",
    )


def _hidden(machine: Machine) -> Iterator[Finding]:
    text = machine.variables.get("CUDA_VISIBLE_DEVICES")
    if text is not None and text.strip() in _NO_GPUS:
        yield Finding(
            section="GPU",
            code="gpus-hidden",
            severity=Severity.WARNING,
            found=f"CUDA_VISIBLE_DEVICES={text!r} hides every GPU from CUDA",
            remedy=("unset CUDA_VISIBLE_DEVICES",),
        )


def _arch_list(machine: Machine, gpus: tuple[Gpu, ...]) -> Iterator[Finding]:
    """Judge TORCH_CUDA_ARCH_LIST: builds follow it without a look at the GPUs."""
    text = machine.variables.get("TORCH_CUDA_ARCH_LIST", "")
    if not text.strip():
        return
    context = CapabilityContext(
        known=tuple(sorted(known_for())), native=tuple(g.capability for g in gpus if g.capability)
    )
    try:
        carried = CapabilityRequest.parse(text, capability_names()).expand(context)
    except CapabilityError as error:
        why = f"cannot be read: {error.what}; builds of torch extensions stop at it"
    else:
        left_out = tuple(g for g in gpus if g.capability and carried.support(g.capability) is Support.NONE)
        why = f"leaves out {listing(left_out)}; what is built under it ends with `no kernel image`" if left_out else ""
    if why:
        mended = f'export TORCH_CUDA_ARCH_LIST="{arch_list(gpus)}"' if gpus else "unset TORCH_CUDA_ARCH_LIST"
        yield Finding(
            section="GPU",
            code="arch-list",
            severity=Severity.WARNING,
            found=f"TORCH_CUDA_ARCH_LIST={text!r} {why}",
            remedy=(mended,),
        )
