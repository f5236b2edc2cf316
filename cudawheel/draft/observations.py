"""What else in a source makes a build fail or a wheel useless elsewhere, told before anybody waits for a compiler."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cudawheel.draft.cmake import Command
from cudawheel.draft.project import Project
from cudawheel.draft.values import Doubt

_CUTLASS = re.compile(r"#\s*include\s*[<\"](cutlass|cute)/")
_THIS_MACHINE = re.compile(r"-m(arch|tune|cpu)=native")
# Extras of cuda-toolkit with libraries that code is linked to; cublasLt comes with cublas, and so on. The runtime is
# linked statically, unless a package says otherwise.
_LIBRARIES = ("cublas", "cufft", "curand", "cusolver", "cusparse", "npp", "nvjitlink", "nvjpeg", "nvrtc")
_PKG_RESOURCES = re.compile(r"^\s*(import|from) pkg_resources\b", re.MULTILINE)
_MOST_READ = 400


def observe(project: Project) -> Iterator[Doubt]:
    """Give doubts about the network, missing files, flags for one machine, and code that is heavy to compile."""
    yield from _network(project)
    yield from _missing(project)
    yield from _unread(project)
    yield from _this_machine(project)
    if _is_heavy(project):
        yield Doubt(
            field="build.memory-per-job",
            found="the code includes CUTLASS, whose templates take a compiler much more memory than torch's headers",
            edit="8 GiB is assumed; write what the first build measured.",
        )
    yield from _at_run_time(project)
    if project.stable_abi_alone:
        yield Doubt(
            field="build.abi",
            found="of torch's headers only those of its stable ABI are included",
            edit='If it keeps to them, write "torch-stable >= X.Y": one wheel then serves all later torch releases, '
            "and the audit checks that.",
        )
    if not project.tree.cuda:
        yield Doubt(
            field="sources",
            found="the build speaks of CUDA, and the source has no .cu file of its own",
            edit="If its CUDA code is generated, or lies in a submodule that this source lacks, choose another source.",
        )


def heavy(project: Project) -> bool:
    """Whether the code includes CUTLASS."""
    return _is_heavy(project)


def cuda_libraries(project: Project) -> tuple[str, ...]:
    """Give the libraries of CUDA that are linked, by the names that cuda-toolkit's extras have."""
    words = {word for command in project.cmake.commands for word in command.words if word.startswith("CUDA::")}
    linked = {word.removeprefix("CUDA::").removesuffix("_static").lower() for word in words}
    named = project.setup.libraries
    return tuple(name for name in _LIBRARIES if any(one.startswith(name) for one in (*linked, *named)))


def _is_heavy(project: Project) -> bool:
    return any(_CUTLASS.search(project.tree.text(name)) for name in project.tree.code[:_MOST_READ])


def _network(project: Project) -> Iterator[Doubt]:
    # A package that is told to build here does not go and look for a wheel that others built.
    told = any(read.name.endswith("FORCE_BUILD") for _, read in project.setup.environment)
    if project.setup.network and not told:
        yield Doubt(
            field="build",
            found=f"{', '.join(project.setup.network[:4])} fetches something, and a build has no network",
            edit="If that code runs in this build, name what it fetches in build.requires, or take it out by a patch.",
        )
    fetched = [_fetch(command) for command in project.cmake.fetches] if project.cmake_counts else []
    if fetched:
        yield Doubt(
            field="build",
            found=f"CMake fetches {'; '.join(fetched)}; and a build has no network",
            edit="Bring it otherwise: in build.requires if an index has it, by a patch that adds it, or from a git "
            "source that has it as a submodule.",
        )


def _fetch(command: Command) -> str:
    condition = f" where {' and '.join(command.conditions)}" if command.conditions else ""
    return f"{command.words[0] if command.words else 'something'} ({command.where}{condition})"


def _missing(project: Project) -> Iterator[Doubt]:
    """Name sources that setup.py compiles and the source does not have: what a MANIFEST.in forgot."""
    for extension in project.setup.extensions:
        lacking = [name for name in extension.sources if "*" not in name and not _there(project, name)]
        if lacking:
            yield Doubt(
                field="sources",
                found=f"{extension.where} compiles {', '.join(lacking[:4])}, and the source does not have "
                f"{'it' if len(lacking) == 1 else 'them'}",
                edit="Use a git source if the sdist forgot its files.",
            )


def _at_run_time(project: Project) -> Iterator[Doubt]:
    """Name modules of the package that import what nothing installs beside it."""
    if project.metadata.runs_with("setuptools"):
        return
    names = [name for name in project.tree.files if name.endswith(".py") and name != "setup.py"]
    spots = [name for name in names[:_MOST_READ] if _PKG_RESOURCES.search(project.tree.text(name))]
    if spots:
        yield Doubt(
            field="wheel.imports",
            found=f"{', '.join(spots[:4])} imports pkg_resources, which setuptools no longer brings and the package "
            "does not require",
            edit="Where that is one of the modules that users import, replace it by importlib.metadata.",
        )


def _unread(project: Project) -> Iterator[Doubt]:
    """Name files that setup.py opens and the source does not have."""
    lacking = [
        f"{name} ({where})" for name, where in project.setup.opened if name[0] != "." and not _there(project, name)
    ]
    if lacking:
        yield Doubt(
            field="sources",
            found=f"setup.py opens {', '.join(lacking[:4])}, which the source does not have",
            edit="Unless that is written first, or caught: use a git source, or add the file by a patch.",
        )


def _there(project: Project, name: str) -> bool:
    plain = name.removeprefix("./")
    return project.tree.has(plain) or any(file.endswith(f"/{plain.lstrip('/')}") for file in project.tree.files)


def _this_machine(project: Project) -> Iterator[Doubt]:
    spots = [f"{file}:{line}" for file, line, text in project.setup.strings if _THIS_MACHINE.search(text)]
    spots += [command.where for command in project.cmake.commands if any(map(_THIS_MACHINE.search, command.words))]
    if spots:
        yield Doubt(
            field="build.replacements",
            found=f"{', '.join(spots[:4])} compiles for the processor of this machine alone",
            edit="Take -march=native and its like out: on an older processor such a wheel ends with SIGILL.",
        )
