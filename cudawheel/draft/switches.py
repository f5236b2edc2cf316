"""Switches that decide whether a package builds its CUDA part, and how a recipe sets them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from cudawheel.draft.capability_list import is_capability_variable, may_be_set
from cudawheel.draft.environment_reads import EnvironmentRead
from cudawheel.draft.project import Project, Way
from cudawheel.draft.values import Doubt, Finding, Line

_CUDA = frozenset({"CUDA", "GPU", "NVCC"})
# What is written together with these: WITHCUDA, NOCUDA.
_TOGETHER = re.compile(r"(BUILD|DISABLE|ENABLE|FORCE|NO|USE|WITH|WITHOUT)(CUDA|GPU)")
_AGAINST = frozenset({"CPU", "DISABLE", "DISABLED", "NO", "NOT", "SKIP", "WITHOUT"})
# Words that make a variable say where or which CUDA, instead of whether.
_WHERE = frozenset(
    {
        *("ARCH", "ARCHES", "ARCHS", "BIN", "CCBIN", "COMPILER", "DEBUG", "DEVICE", "DEVICES", "DIR", "DIST"),
        *("EXECUTABLE", "FLAGS", "HOME", "HOST", "INC", "INCLUDE", "LAUNCHER", "LIB", "LIBRARY", "LIST", "MAJOR"),
        *("MINOR", "NAME", "PATH", "PREFIX", "RELEASE", "ROOT", "SDK", "SUFFIX", "TAG", "THREADS", "TOOLKIT", "VER"),
        *("ARGS", "OPTIONS", "OPTS", "VERSION", "VISIBLE"),
    }
)
_NOT_CUDA = frozenset({"AMD", "HIP", "ROCM", "SYCL", "XPU", "MUSA"})
# Such packages fetch a wheel that others built, unless they are told to build.
_BUILD_HERE = re.compile(r"(^|_)FORCE_BUILD$")
# What the environment of a build fulfils: a compiler for CUDA, on Linux.
_FULFILLED = re.compile(
    r"NOT|AND|OR|DEFINED|UNIX|LINUX|TRUE|APPLE|WIN32|MSVC|CMAKE_(CUDA_COMPILER|VERSION|SYSTEM_NAME)\w*|VERSION_\w+|Linux"
    r"|STREQUAL|(?i:cuda(toolkit)?)_(FOUND|VERSION)"
)
_CMAKE_ENVIRONMENT = re.compile(r"ENV\{(\w+)\}")
_MESON_OPTION = re.compile(r"option\s*\(\s*'(\w*(?:cuda|gpu)\w*)'([^)]*)\)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """What has to be set so that the CUDA part is built.

    Attributes:
        environment: variables, with the value that turns each on.
        config_settings: PEP 517 config-settings for the backend.
        lines: of setup.py, changed so that it goes on without a GPU.
    """

    environment: dict[str, str]
    config_settings: dict[str, str]
    lines: tuple[Line, ...] = ()
    findings: tuple[Finding, ...] = ()
    doubts: tuple[Doubt, ...] = ()


def find_switches(project: Project) -> Switches:
    """Find the switches of setup.py, of CMake and of Meson."""
    environment: dict[str, str] = {}
    findings: list[Finding] = []
    doubts: list[Doubt] = []
    deciding = _deciding(project)
    for file, read in _first_reads(project):
        where = f"{file}:{read.line}"
        if _against(read.name):
            if read.on_by_default:
                _set(read, where, "0", environment, doubts)
            findings.append(
                Finding(topic="switch", said=f"{read.name} would leave CUDA out; it stays off", where=where)
            )
        elif (_for(read.name) or read.name in deciding) and read.on_by_default:
            findings.append(Finding(topic="switch", said=f"{read.name} is on by default", where=where))
        elif _for(read.name) or _BUILD_HERE.search(read.name) or read.name in deciding:
            _set(read, where, read.on or "1", environment, doubts)
            findings.append(
                Finding(topic="switch", said=f"{read.name}={read.on or '1'}{_purpose(read.name)}", where=where)
            )
    settings, more = _options(project, environment, findings)
    doubts += more
    doubts += _guards(project, environment, deciding)
    lines = tuple(_past_the_gpu(project))
    passed = {f"{file}:{number}" for file, number in project.setup.gpu_or_nothing}
    asked = [where for where in project.setup.asks_gpu if where not in passed]
    if lines:
        doubts.append(_let_past(project))
    if asked and not any(_for(name) for name in environment):
        doubts.append(_asks_gpu(asked))
    return Switches(
        environment=environment,
        config_settings=settings,
        lines=lines,
        findings=tuple(findings),
        doubts=tuple(doubts),
    )


def _past_the_gpu(project: Project) -> Iterator[Line]:
    """Give the lines that let a setup.py go on where no GPU is there: compiling needs none."""
    for file in dict.fromkeys(file for file, _ in project.setup.gpu_or_nothing):
        rows = project.tree.text(file).split("\n")
        numbers = [number for name, number in project.setup.gpu_or_nothing if name == file]
        for old in dict.fromkeys(rows[number - 1] for number in numbers):
            indent = old[: len(old) - len(old.lstrip())]
            if old.rstrip().endswith(":"):
                yield Line(file=file, old=old, new=f"{indent}if False:", hits=rows.count(old))


def _let_past(project: Project) -> Doubt:
    spots = ", ".join(f"{file}:{number}" for file, number in project.setup.gpu_or_nothing)
    return Doubt(
        field="build.replacements",
        found=f"{spots} ends the build where no GPU is there, which compiling does not need",
        edit="The replacement goes past it. Look it over.",
    )


def _first_reads(project: Project) -> Iterator[tuple[str, EnvironmentRead]]:
    """Give the variables that are read, each once: where it is compared with a value, if it is."""
    best: dict[str, tuple[str, EnvironmentRead]] = {}
    by_cmake = project.cmake.environment if project.cmake_counts else ()
    for file, read in (*project.setup.environment, *by_cmake):
        if read.written:
            continue
        if read.name not in best or (best[read.name][1].on is None and read.on is not None):
            best[read.name] = (file, read)
    yield from best.values()


def _deciding(project: Project) -> frozenset[str]:
    """Give the environment variables that CMake asks before it sets the CUDA language up, whatever their names."""
    if not project.cmake_counts or any(not command.conditions for command in project.cmake.enabling):
        return frozenset()
    conditions = (condition for command in project.cmake.enabling for condition in command.conditions)
    asked = (condition for condition in conditions if not condition.startswith("NOT "))
    return frozenset(name for condition in asked for name in _CMAKE_ENVIRONMENT.findall(condition))


def _guards(project: Project, environment: dict[str, str], deciding: frozenset[str]) -> Iterator[Doubt]:
    """Give the conditions under which CMake sets the CUDA language up, and of which nothing here decides."""
    if not project.cmake_counts or any(not command.conditions for command in project.cmake.enabling):
        return
    on = {option.name for option in project.cmake.options if option.on or _for(option.name)}
    on.update(environment, deciding)
    for command in project.cmake.enabling:
        unknown = [condition for condition in command.conditions if not _holds(condition, on)]
        if unknown:
            yield Doubt(
                field="build",
                found=f"{command.where} switches CUDA on under if({unknown[0]}), and what decides that is not known",
                edit="Read where it comes from. Set the variable in build.environment, or the option in "
                "build.config-settings, that makes it true.",
            )


def _holds(condition: str, on: set[str]) -> bool:
    """Whether a condition of CMake holds as far as it can be seen, with these names switched on."""
    words = re.findall(r"[A-Za-z_]\w*", condition)
    if condition.startswith("NOT "):  # what nobody switches on is off
        return not on.intersection(words)
    return bool(on.intersection(words)) or all(_FULFILLED.fullmatch(word) for word in words)


def _tokens(name: str) -> frozenset[str]:
    return frozenset(_TOGETHER.sub(r"\1_\2", name.upper()).split("_"))


def _about_cuda(name: str) -> bool:
    tokens = _tokens(name)
    return bool(tokens & _CUDA) and not tokens & (_WHERE | _NOT_CUDA) and not is_capability_variable(name)


def _for(name: str) -> bool:
    # "Only" leaves something out as well: it is nothing to switch on unasked.
    return _about_cuda(name) and not _tokens(name) & (_AGAINST | {"ONLY"})


def _against(name: str) -> bool:
    tokens = _tokens(name)
    spoken = bool(tokens & _AGAINST)
    return spoken and not tokens & _WHERE and (bool(tokens & _CUDA) or {"FORCE", "CPU"} <= tokens)


def _purpose(name: str) -> str:
    return " builds here instead of fetching a wheel" if _BUILD_HERE.search(name) else " forces CUDA on"


def _set(read: EnvironmentRead, where: str, value: str, environment: dict[str, str], doubts: list[Doubt]) -> None:
    if not may_be_set(read.name):
        doubts.append(
            Doubt(
                field="build.environment",
                found=f"{where} reads {read.name}, which a recipe may not set",
                edit=f"If it has to be {value}, write a replacement of that line.",
            )
        )
        return
    environment[read.name] = value
    if read.on is None and value != "0":
        doubts.append(
            Doubt(
                field="build.environment",
                found=f"which value turns {read.name} on is not to be seen at {where}; {value!r} is assumed",
                edit="Read what it is compared with.",
            )
        )


def _options(
    project: Project, environment: dict[str, str], findings: list[Finding]
) -> tuple[dict[str, str], tuple[Doubt, ...]]:
    """Turn on the options of CMake or Meson that are off."""
    if project.way is Way.MESON:
        return _meson_options(project, findings)
    wanted = {}
    for option in project.cmake.options if project.cmake_counts else ():
        if _against(option.name) and option.on:
            wanted[option.name] = "OFF"
        elif _for(option.name) and not option.on:
            wanted[option.name] = "ON"
        else:
            continue
        said = f"CMake option {option.name}, to be {wanted[option.name]}"
        findings.append(Finding(topic="switch", said=said, where=option.where))
    if not wanted:
        return {}, ()
    if project.way in {Way.SKBUILD_CORE, Way.OWN}:
        return {f"cmake.define.{name}": value for name, value in wanted.items()}, ()
    words = " ".join(f"-D{name}={value}" for name, value in wanted.items())
    reads = project.way is Way.SKBUILD or any(read.name == "CMAKE_ARGS" for _, read in project.setup.environment)
    if reads:
        environment["CMAKE_ARGS"] = words
        return {}, ()
    found = f"CMake has to be given {words}, and setup.py takes no CMAKE_ARGS"
    return {}, (
        Doubt(field="build", found=found, edit="Check whether setup.py passes it; if not, replace the default."),
    )


def _meson_options(project: Project, findings: list[Finding]) -> tuple[dict[str, str], tuple[Doubt, ...]]:
    for file in ("meson.options", "meson_options.txt"):
        for match in _MESON_OPTION.finditer(project.tree.text(file)):
            name, rest = match[1], match[2]
            feature, default = "'feature'" in rest, re.search(r"value\s*:\s*'?(\w+)", rest)
            if default and default[1] in {"true", "enabled"}:
                continue
            on = "enabled" if feature else "true"
            findings.append(Finding(topic="switch", said=f"Meson option {name}, to be {on}", where=file))
            return {"setup-args": f"-D{name}={on}"}, ()
    return {}, ()


def _asks_gpu(asked: list[str]) -> Doubt:
    return Doubt(
        field="build.environment",
        found=f"{', '.join(asked[:3])} asks whether a GPU is there, and no switch was found that builds for CUDA "
        "without one",
        edit="Read what follows from the answer; if the CUDA part hangs on it and no variable in this draft decides "
        "it, replace the question by True.",
    )
