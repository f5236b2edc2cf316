"""CUDA toolkits and C++ compilers: which there are, in the order in which builds take them, and what they say."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from cudawheel.doctor.machine import Compiler, Toolkit
from cudawheel.doctor.world import World, is_folder, matching, real, runnable
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.version import CudaVersion
from cudawheel.toolchain.compiler_limits import CompilerFamily, compiler_limits
from cudawheel.toolchain.system import VARIABLES

_RELEASE = re.compile(r"release (\d+\.\d+), V(\d+(?:\.\d+)+)")
_GPU_CODE = re.compile(r"^sm_\d{2,3}[af]?$", re.MULTILINE)
_TOP = re.compile(r"^#\$ TOP=(/.+?)\s*$", re.MULTILINE)
_MACRO = re.compile(r"^#define (__\w+__) (\d+)$", re.MULTILINE)
_FAMILIES: tuple[tuple[CompilerFamily, tuple[str, str, str]], ...] = (
    # clang goes first: it claims to be gcc 4.2 too.
    ("clang", ("__clang_major__", "__clang_minor__", "__clang_patchlevel__")),
    ("gcc", ("__GNUC__", "__GNUC_MINOR__", "__GNUC_PATCHLEVEL__")),
)
_VERSIONED = re.compile(r"(?:g\+\+|clang\+\+)-\d{1,2}")
_DEFAULTS = ("c++", "g++", "clang++")


def probe_toolkits(world: World) -> tuple[Toolkit, ...]:
    """Look for toolkits as torch and CMake do: CUDA_HOME, CUDA_PATH, nvcc on PATH, the standard folders."""
    seen: set[Path] = set()
    found = []
    for origin, home in _homes(world):
        target = real(world.at(home))
        if target not in seen:
            seen.add(target)
            found.append(_ask(world, origin, home))
    return tuple(found)


def _homes(world: World) -> Iterator[tuple[str, str]]:
    for variable in VARIABLES:
        if world.environ.get(variable):
            yield variable, world.environ[variable]
    nvcc = world.which("nvcc")
    if nvcc is not None:
        yield "PATH", _home_of(world, nvcc)
    local = world.at("/usr/local")
    for home in (local / "cuda", *reversed(matching(local, "cuda-*.*")), world.at("/opt/cuda")):
        if is_folder(home):
            yield "standard folder", world.shown(home)


def _home_of(world: World, nvcc: str) -> str:
    """Give the toolkit of an nvcc on PATH, which may be a script: by the TOP that it prints, as CMake does."""
    match = _TOP.search(world.run([nvcc, "-v", "__cudawheel_no_input"]).output)
    return os.path.normpath(match[1]) if match else world.shown(real(world.at(nvcc)).parent.parent)


def _ask(world: World, origin: str, home: str) -> Toolkit:
    nvcc = f"{home.rstrip('/')}/bin/nvcc"
    if not runnable(world.at(nvcc)):
        return Toolkit(home=home, origin=origin, fault=f"there is no program {nvcc}")
    answer = world.run([nvcc, "--version"])
    match = _RELEASE.search(answer.output)
    if not answer.ok or match is None:
        said = answer.output.strip().splitlines()[-1:] or ["nothing"]
        return Toolkit(home=home, origin=origin, fault=f"{nvcc} --version says {said[0]!r}")
    version = CudaVersion.parse(match[1])
    codes = _GPU_CODE.findall(world.run([nvcc, "--list-gpu-code"]).output)
    return Toolkit(
        home=home,
        origin=origin,
        version=version,
        release=match[2],
        gpu_codes=tuple(sorted({ComputeCapability.parse(code) for code in codes})),
        limits=compiler_limits(version, world.at(home)),
    )


def probe_compilers(world: World) -> tuple[Compiler, ...]:
    """Look for C++ compilers: CXX, the defaults on PATH, and versioned ones such as g++-14."""
    seen: set[Path] = set()
    found = []
    for path in _compiler_paths(world):
        target = real(world.at(path))
        if target not in seen:
            seen.add(target)
            found.append(_identify(world, path))
    return tuple(found)


def _compiler_paths(world: World) -> Iterator[str]:
    wish = world.environ.get("CXX", "").split()
    names = ([wish[-1]] if wish else []) + list(_DEFAULTS)
    for name in names:
        path = name if name.startswith("/") else world.which(name)
        if path is not None:
            yield path
    for folder in world.search_path():
        versioned = [path.name for path in world.listed(folder) if _VERSIONED.fullmatch(path.name)]
        yield from (f"{folder.rstrip('/')}/{name}" for name in reversed(versioned))


def _identify(world: World, path: str) -> Compiler:
    # The macros are those that nvcc's own check reads; <cstdint> fails where the standard library has no headers.
    answer = world.run([path, "-dM", "-E", "-x", "c++", "-include", "cstdint", "/dev/null"])
    if not answer.ok:
        said = answer.output.strip().splitlines()[:1] or [f"exit status {answer.code}"]
        return Compiler(path=path, fault=f"it cannot preprocess C++: {said[0]}")
    macros = dict(_MACRO.findall(answer.output))
    for family, names in _FAMILIES:
        if names[0] in macros:
            return Compiler(path=path, family=family, version=tuple(int(macros.get(name, "0")) for name in names))
    return Compiler(path=path, fault="it is neither gcc nor clang")


def probe_tools(world: World) -> tuple[str, ...]:
    """Look for the other programs that builds call."""
    return tuple(name for name in ("cmake", "ninja", "git") if world.which(name))
