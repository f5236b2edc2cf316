"""CUDA toolkits against GPUs and torch, C++ compilers against nvcc, and the Pythons to build for."""

from __future__ import annotations

from collections.abc import Iterator

from cudawheel.data import FIRST_PACKAGED_CUDA
from cudawheel.doctor.diagnoses.words import first_cuda, gpus_of, last_cuda, listing, torch_to_build_against, why_not
from cudawheel.doctor.finding import Finding, Severity
from cudawheel.doctor.machine import Compiler, Gpu, Machine, Toolkit
from cudawheel.model.version import CudaVersion
from cudawheel.toolchain.compiler_limits import CompilerLimits, compiler_limits

_BRING = "cudawheel brings its own nvcc: nothing to install for `cudawheel build`."
_INSTALL_COMPILER = "Install one: apt install g++   (Fedora: dnf install gcc-c++; conda: conda install gxx)"


def diagnose_toolkits(machine: Machine, asked: tuple[Gpu, ...] = ()) -> Iterator[Finding]:
    """Judge toolkits; the first one is what pip builds with, so the others weigh less."""
    if not machine.toolkits:
        yield Finding(
            section="nvcc",
            code="no-toolkit",
            severity=Severity.NOTE,
            found="no CUDA toolkit is installed; pip cannot build CUDA extensions",
            remedy=(_BRING,),
        )
    gpus = gpus_of(machine, asked)
    for place, toolkit in enumerate(machine.toolkits):
        yield _toolkit(toolkit, gpus, machine, first=place == 0)


def _toolkit(toolkit: Toolkit, gpus: tuple[Gpu, ...], machine: Machine, *, first: bool) -> Finding:
    where = toolkit.home + {"PATH": " (on PATH)", "standard folder": ""}.get(toolkit.origin, f" ({toolkit.origin})")
    if toolkit.version is None:
        return Finding(
            section="nvcc",
            code="toolkit-broken",
            severity=Severity.WARNING if first else Severity.NOTE,
            found=f"{where} is no toolkit: {toolkit.fault}",
            remedy=(
                f"unset {toolkit.origin}" if toolkit.origin.startswith("CUDA") else "Install it again, or remove it.",
            ),
        )
    beyond = tuple(gpu for gpu in gpus if not toolkit.compiles_for(gpu))
    if beyond:
        return _too_new(toolkit, beyond, machine, first=first) or _too_old(toolkit, beyond, machine, first=first)
    torch = machine.environment.torch
    if first and torch and torch.cuda and torch.cuda.major != toolkit.version.major:
        return Finding(
            section="nvcc",
            code="toolkit-other-major",
            severity=Severity.WARNING,
            found=f"nvcc {toolkit.release} at {where}, and torch was built with CUDA {torch.cuda}: pip builds stop at "
            "the mismatch",
            remedy=(f"Set CUDA_HOME to a CUDA {torch.cuda.major}.x.", _BRING),
        )
    names = f", compiles for {listing(gpus)}" if gpus else f", compiles up to {max(toolkit.gpu_codes, default='?')}"
    return Finding(
        section="nvcc", code="toolkit", severity=Severity.GOOD, found=f"CUDA {toolkit.version} at {where}{names}"
    )


def _that_compile_for(machine: Machine, gpus: tuple[Gpu, ...]) -> list[str]:
    """Give the toolkits of this machine whose nvcc compiles for every GPU."""
    return [one.home for one in machine.toolkits if one.version and all(one.compiles_for(gpu) for gpu in gpus)]


def _too_new(toolkit: Toolkit, beyond: tuple[Gpu, ...], machine: Machine, *, first: bool) -> Finding | None:
    """Say up to which CUDA there was code for a GPU, and where one is; None where it is not age that counts."""
    capabilities = [gpu.capability for gpu in beyond if gpu.capability]
    ends = [last for capability in capabilities if (last := last_cuda(capability))]
    if toolkit.version is None or not ends or min(ends) >= toolkit.version:
        return None
    [reason, *_] = [why for one in capabilities if (why := why_not(one, toolkit.version))]
    others = _that_compile_for(machine, beyond)
    torch = torch_to_build_against(capabilities)
    bare = f"For pip builds: install CUDA {min(ends)} or earlier, and set CUDA_HOME to it."
    ours = f"With cudawheel: --torch {torch} --toolchain redist, which fetches an nvcc of that age."
    return Finding(
        section="nvcc",
        code="toolkit-too-new",
        severity=Severity.PROBLEM if first else Severity.NOTE,
        found=f"CUDA {toolkit.version} at {toolkit.home} cannot compile for {listing(beyond)}: {reason}",
        remedy=(f"export CUDA_HOME={others[0]}",) if others else (bare, *((ours,) if torch else ())),
    )


def _too_old(toolkit: Toolkit, beyond: tuple[Gpu, ...], machine: Machine, *, first: bool) -> Finding:
    """Say which CUDA a GPU needs, and where one is."""
    needs = {gpu.capability: first_cuda(gpu.capability) for gpu in beyond if gpu.capability}
    others = _that_compile_for(machine, beyond)
    known = [needed for needed in needs.values() if needed]
    old = bool(known) and toolkit.version is not None and toolkit.version < max(known)
    reason = (
        f"needs CUDA {max(known)} or later" if old else f"is not among those that CUDA {toolkit.version} compiles for"
    )
    return Finding(
        section="nvcc",
        code="toolkit-too-old" if old else "toolkit-without-gpu",
        severity=Severity.PROBLEM if first else Severity.NOTE,
        found=f"CUDA {toolkit.version} at {toolkit.home} cannot compile for {listing(beyond)}, which {reason}",
        remedy=(f"export CUDA_HOME={others[0]}",) if others else ("Install a later CUDA for pip builds.", _BRING),
    )


def diagnose_compilers(machine: Machine) -> Iterator[Finding]:
    """Judge C++ compilers by the nvcc that would call them."""
    limits = _limits(machine)
    working = [compiler for compiler in machine.compilers if not compiler.fault]
    for compiler in machine.compilers:
        if compiler.fault:
            yield Finding(
                section="C++",
                code="compiler-broken",
                severity=Severity.NOTE if working else Severity.PROBLEM,
                found=f"{compiler.path}: {compiler.fault}",
                remedy=(_INSTALL_COMPILER,),
            )
    if not machine.compilers:
        yield Finding(
            section="C++",
            code="no-compiler",
            severity=Severity.PROBLEM,
            found="no C++ compiler on PATH; nvcc cannot do without one",
            remedy=(_INSTALL_COMPILER,),
        )
    if working:
        yield _compiler(working, limits)


def _limits(machine: Machine) -> CompilerLimits:
    """Give the limits of the nvcc that builds: this machine's first, or else the one that cudawheel brings."""
    own = next((toolkit.limits for toolkit in machine.toolkits if toolkit.limits), None)
    torch = machine.environment.torch
    brought: CudaVersion = torch.cuda if torch and torch.cuda else FIRST_PACKAGED_CUDA
    return own or compiler_limits(brought)


def _compiler(working: list[Compiler], limits: CompilerLimits) -> Finding:
    first = working[0]
    accepted = [compiler for compiler in working if compiler.accepted_by(limits)]
    if first in accepted:
        return Finding(
            section="C++",
            code="compiler",
            severity=Severity.GOOD,
            found=f"{first} at {first.path}; CUDA {limits.cuda} takes {limits}",
        )
    high = limits.of(first.family or "gcc").high
    how = "newer" if first.version and first.version[0] > high else "older"
    found = f"{first} at {first.path} is {how} than CUDA {limits.cuda} takes: {limits}"
    if accepted:
        return Finding(
            section="C++",
            code="compiler-not-first",
            severity=Severity.WARNING,
            found=f"{found}; {accepted[0]} is here too",
            remedy=(f"export CXX={accepted[0].path} CUDAHOSTCXX={accepted[0].path}   (cudawheel finds it by itself)",),
        )
    return Finding(
        section="C++",
        code=f"compiler-too-{'new' if how == 'newer' else 'old'}",
        severity=Severity.PROBLEM,
        found=found,
        remedy=(f"apt install g++-{limits.gcc.high} && export CXX=g++-{limits.gcc.high}",),
    )


def diagnose_pythons(machine: Machine) -> Iterator[Finding]:
    """Judge the Pythons that extensions can be compiled for."""
    environment = machine.environment
    if environment.fault:
        yield Finding(
            section="Python",
            code="python-broken",
            severity=Severity.PROBLEM,
            found=f"{environment.python} does not answer: {environment.fault}",
            remedy=("Name another with --python, such as the folder of a virtual environment.",),
        )
    version = ".".join(environment.version.split(".")[:2])
    whole = [python for python in machine.pythons if python.headers]
    versions = list(dict.fromkeys(python.version for python in whole))
    others = f"; {listing(versions)} can be built for" if set(versions) - {version} else ""
    if version and version not in versions:
        yield Finding(
            section="Python",
            code="python-headers",
            severity=Severity.WARNING,
            found=f"{environment.version} at {environment.python}; no Python.h of {version} was found{others}",
            remedy=(f"apt install python{version}-dev   (or: uv python install {version})",),
        )
    elif version:
        found = f"{environment.version} at {environment.python}{others}"
        yield Finding(section="Python", code="python", severity=Severity.GOOD, found=found)


def diagnose_tools(machine: Machine) -> Iterator[Finding]:
    """Judge the other programs of builds, which cudawheel brings and a bare pip does not."""
    missing = [name for name in ("cmake", "ninja", "git") if name not in machine.tools]
    if not missing:
        yield Finding(section="tools", code="tools", severity=Severity.GOOD, found="cmake, ninja and git are on PATH")
        return
    verb = "is" if len(missing) == 1 else "are"
    packages = " ".join({"ninja": "ninja-build"}.get(name, name) for name in missing)
    yield Finding(
        section="tools",
        code="tools-missing",
        severity=Severity.NOTE,
        found=f"{listing(missing)} {verb} not on PATH; cudawheel brings cmake and ninja, a bare pip may not",
        remedy=(f"apt install {packages}",),
    )
