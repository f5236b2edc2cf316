"""Words that several diagnoses use."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cudawheel.data import capability_spans, torch_releases
from cudawheel.doctor.machine import Environment, Gpu, Machine
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.version import CudaVersion, TorchVersion
from cudawheel.plan.capabilities import rejection
from cudawheel.schedule.limits import GIB

_MISSING = re.compile(r"No module named '(?P<module>\w+)")


def gib(size: float) -> str:
    """Write bytes as gibibytes: a whole number where it is one."""
    text = f"{size / GIB:.1f}".removesuffix(".0")
    return f"{text} GiB"


def listing(words: Iterable[object], joint: str = "and") -> str:
    """Join words: `a, b and c`."""
    *others, last = map(str, words)
    return f"{', '.join(others)} {joint} {last}" if others else last


def gpus_of(machine: Machine, asked: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
    """Give the GPUs that things have to run on: those asked about, or else this machine's, one of each capability."""
    by_capability: dict[ComputeCapability, Gpu] = {}
    for gpu in asked or machine.driver.gpus:
        if gpu.capability is not None:
            by_capability.setdefault(gpu.capability, gpu)
    return tuple(by_capability[capability] for capability in sorted(by_capability))


def first_cuda(capability: ComputeCapability) -> CudaVersion | None:
    """Give the first CUDA that compiles for a capability, if it is known."""
    span = capability_spans().get(capability)
    return span.first if span else None


def last_cuda(capability: ComputeCapability) -> CudaVersion | None:
    """Give the last CUDA that compiles for a capability; None while it is supported, or where it is not known."""
    span = capability_spans().get(capability)
    return span.last if span else None


def why_not(capability: ComputeCapability, cuda: CudaVersion) -> str:
    """Say why a CUDA compiles nothing for a capability, as a plan says it; empty where it does."""
    return rejection(capability, cuda, capability_spans())


def torch_to_build_against(capabilities: Iterable[ComputeCapability]) -> TorchVersion | None:
    """Give the newest torch of the package index whose CUDA compiles for every capability."""
    wanted = tuple(capabilities)
    fitting = [
        version
        for version, release in torch_releases().items()
        if not any(why_not(capability, release.cuda) for capability in wanted)
    ]
    return max(fitting, default=None)


def torch_command(
    capabilities: Iterable[ComputeCapability],
    *,
    newest_cuda: CudaVersion | None = None,
    like: str = "",
    pip: str = "pip",
) -> str:
    """Give the command that installs a torch of the package index with code for every capability; empty if none has.

    The same minor version is best, since extensions are built for it: what pip knows under its number may have been
    built with another CUDA than what is installed. Otherwise it is the newest.

    Args:
        capabilities: what it has to run on; none means any.
        newest_cuda: what the driver can run, if that is known: torch's CUDA may not be of a later major release.
        like: the version that is installed.
        pip: how the environment's pip is called.
    """
    wanted = tuple(capabilities)
    fitting = [
        version
        for version, release in torch_releases().items()
        if all(any(own.cubin_runs_on(one) for own in release.capabilities) for one in wanted)
        and (newest_cuda is None or release.cuda.major <= newest_cuda.major)
    ]
    same = [version for version in fitting if like.startswith(f"{version}.")]
    return f'{pip} install --force-reinstall "torch=={max(same or fitting)}.*"' if fitting else ""


def arch_list(gpus: Iterable[Gpu]) -> str:
    """Write capabilities as TORCH_CUDA_ARCH_LIST takes them, lowest first."""
    return ";".join(str(gpu.capability) for gpu in gpus)


def install_missing(fault: str, environment: Environment) -> str:
    """Give the command that installs a module that an import did not find; empty where it failed otherwise."""
    match = _MISSING.search(fault)
    # Most packages are called as their module is; which one is meant only their documentation says.
    return f"{environment.pip} install {match['module']}   (or the package that brings it)" if match else ""
