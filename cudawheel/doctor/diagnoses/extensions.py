"""The installed world: every distribution with device code, against the GPUs it has to run on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from cudawheel.doctor.diagnoses.words import gpus_of, listing, torch_command
from cudawheel.doctor.finding import Finding, Severity
from cudawheel.doctor.machine import Extension, Gpu, Machine
from cudawheel.model.capability import Support

_MOST_FILES = 3
# Released together with torch, with device code for the same GPUs.
_FROM_THE_INDEX = frozenset({"torchaudio", "torchvision"})


def diagnose_extensions(
    machine: Machine, asked: tuple[Gpu, ...] = (), *, recipes: Mapping[str, str] | None = None
) -> Iterator[Finding]:
    """Judge every extension.

    Args:
        machine: what was found.
        asked: GPUs that a person asked about instead of this machine's.
        recipes: recipes at hand: normalised name of the distribution, and the recipe's file.
    """
    gpus = gpus_of(machine, asked)
    own = tuple(one for one in machine.environment.extensions if one.name.startswith("nvidia"))
    for extension in machine.environment.extensions:
        if extension not in own:
            yield _judge(extension, gpus, recipes or {}, machine.environment.pip)
    if own:
        yield _cuda_libraries(own, gpus, machine.environment.pip)
    if not machine.environment.extensions and not machine.environment.fault:
        yield Finding(
            section="extensions",
            code="no-extensions",
            severity=Severity.NOTE,
            found="no package with device code but torch's and CUDA's own",
        )


def _cuda_libraries(own: tuple[Extension, ...], gpus: tuple[Gpu, ...], pip: str) -> Finding:
    """Judge CUDA's own libraries together: they come with torch, and are mended with it."""
    bad = [
        (library, gpu)
        for library in own
        for gpu in gpus
        if gpu.capability and library.support(gpu.capability) is Support.NONE
    ]
    if bad:
        names = listing(dict.fromkeys(library.name for library, _ in bad))
        lacking = listing(dict.fromkeys(str(gpu) for _, gpu in bad))
        return Finding(
            section="extensions",
            code="cuda-libraries-no-kernel-image",
            severity=Severity.PROBLEM,
            found=f"{names} of CUDA's own libraries: `no kernel image is available` on {lacking}",
            remedy=(torch_command([gpu.capability for gpu in gpus if gpu.capability], pip=pip),),
        )
    through_ptx = [
        library.name
        for library in own
        if any(gpu.capability and library.support(gpu.capability) is Support.PTX for gpu in gpus)
    ]
    on = f" run on {listing(gpus)}" if gpus else " carry device code"
    ptx = f", {listing(through_ptx)} by PTX" if through_ptx else ""
    return Finding(
        section="extensions",
        code="cuda-libraries",
        severity=Severity.GOOD,
        found=f"{len(own)} of CUDA's own libraries{on}{ptx}: {', '.join(one.name for one in own)}",
    )


def _judge(extension: Extension, gpus: tuple[Gpu, ...], recipes: Mapping[str, str], pip: str) -> Finding:
    label = f"{extension.name} {extension.version}"
    if not extension.files:
        return Finding(
            section="extensions",
            code="extension-unreadable",
            severity=Severity.WARNING,
            found=f"{label}: {extension.fault}",
            remedy=_mend(extension, gpus, recipes, pip),
        )
    found = f"{label} carries {extension.capabilities}"
    without = tuple(gpu for gpu in gpus if gpu.capability and extension.support(gpu.capability) is Support.NONE)
    through_ptx = tuple(gpu for gpu in gpus if gpu.capability and extension.support(gpu.capability) is Support.PTX)
    if without:
        return Finding(
            section="extensions",
            code="extension-no-kernel-image",
            severity=Severity.PROBLEM,
            found=f"{found}: `no kernel image is available` on {listing(without)}",
            remedy=_mend(extension, gpus, recipes, pip),
        )
    if through_ptx:
        return Finding(
            section="extensions",
            code="extension-ptx",
            severity=Severity.WARNING,
            found=f"{found}: on {listing(through_ptx)} only its PTX, compiled by the driver at first use",
            remedy=_mend(extension, gpus, recipes, pip),
        )
    return _native(extension, found, gpus)


def _native(extension: Extension, found: str, gpus: tuple[Gpu, ...]) -> Finding:
    partly = [(gpu, files) for gpu in gpus if gpu.capability and (files := extension.left_out(gpu.capability))]
    if partly:
        gpu, files = partly[0]
        names = [PurePosixPath(file.name).name for file in files[:_MOST_FILES]]
        more = f" and {len(files) - _MOST_FILES} more" if len(files) > _MOST_FILES else ""
        return Finding(
            section="extensions",
            code="extension-partly",
            severity=Severity.NOTE,
            found=f"{found}: runs on {gpu}, but for what is in {', '.join(names)}{more}",
        )
    on = f": native on {listing(gpus)}" if gpus else ""
    return Finding(section="extensions", code="extension", severity=Severity.GOOD, found=f"{found}{on}")


def _mend(extension: Extension, gpus: tuple[Gpu, ...], recipes: Mapping[str, str], pip: str) -> tuple[str, ...]:
    """Give the command that builds it anew for the GPUs, by a recipe where there is one."""
    wanted = ";".join(str(gpu.capability) for gpu in gpus)
    recipe = recipes.get(normalised(extension.name))
    if recipe is not None:
        return (f"cudawheel build {recipe}" + (f' --capabilities "{wanted}"' if wanted else ""),)
    if extension.name in _FROM_THE_INDEX:
        return (f"{pip} install --force-reinstall --no-deps {extension.name}   (the one that belongs to this torch)",)
    variable = f'TORCH_CUDA_ARCH_LIST="{wanted}" ' if wanted else ""
    options = "--no-build-isolation --no-deps --force-reinstall"
    return (f"{variable}{pip} install {options} --no-binary {extension.name} {extension.name}",)


def normalised(name: str) -> str:
    """Spell a distribution's name in the one way in which it is compared (PEP 503, and underscores as in wheels)."""
    return name.replace("-", "_").replace(".", "_").casefold()
