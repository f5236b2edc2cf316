"""The C++ compiler behind nvcc: found, asked what it is, and measured against what nvcc accepts."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cudawheel import process
from cudawheel.errors import HostCompilerError
from cudawheel.toolchain.candidates import Rejection, tried
from cudawheel.toolchain.compiler_limits import CompilerFamily, CompilerLimits

_DEFAULTS = ("c++", "g++", "clang++")
_VERSIONED: tuple[tuple[CompilerFamily, str], ...] = (("gcc", "g++"), ("clang", "clang++"))
_C_COMPANIONS = {"clang++": "clang", "g++": "gcc", "c++": "cc"}
_DRIVER = re.compile(r"clang\+\+|g\+\+|c\+\+")
_MACRO = re.compile(r"^#define (__\w+__) (\d+)$", re.MULTILINE)
_SECONDS = 20.0

_INSTALL = """Install one:
  Debian, Ubuntu   apt install g++
  Fedora, RHEL     dnf install gcc-c++
  conda            conda install -c conda-forge gxx"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCompiler:
    """A C++ compiler that nvcc accepts.

    Attributes:
        cxx: the C++ driver.
        cc: the C driver of the same installation, where there is one.
        family: whose it is.
        version: in full, such as `12.2.0`.
        notes: why it and not the machine's default, where that is so.
    """

    cxx: Path
    cc: Path | None
    family: CompilerFamily
    version: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.family} {self.version} ({self.cxx})"


class _Identity(NamedTuple):
    family: CompilerFamily
    version: tuple[int, int, int]

    def __str__(self) -> str:
        return f"{self.family} {'.'.join(map(str, self.version))}"


def find_host_compiler(limits: CompilerLimits, environ: Mapping[str, str]) -> HostCompiler:
    """Find a C++ compiler that nvcc accepts.

    CXX is a wish that is granted or refused. Without it c++, g++ and clang++ are looked at, and after them the
    versioned ones such as g++-14, newest first.

    Raises:
        HostCompilerError: there is none, or only ones that nvcc does not accept.
    """
    wish = environ.get("CXX", "").strip()
    path = environ.get("PATH", os.defpath)
    rejections: list[Rejection] = []
    for origin, cxx in _wished(wish, path) if wish else _on_path(limits, path):
        found = _examine(cxx, limits, path)
        if isinstance(found, _Identity):
            return HostCompiler(
                cxx=cxx,
                cc=_c_companion(cxx),
                family=found.family,
                version=".".join(map(str, found.version)),
                notes=tuple(f"passed over {rejection}" for rejection in rejections),
            )
        rejections.append(Rejection(origin=origin, candidate=str(cxx), reason=found))
    raise _none_fits(limits, rejections, wish=wish, path=path)


def _wished(wish: str, path: str) -> Iterator[tuple[str, Path]]:
    words = shlex.split(wish)
    if len(words) > 1:
        # CUDAHOSTCXX and nvcc's -ccbin take a program and nothing else.
        raise HostCompilerError(
            f"CXX is {wish!r}, which is more than a compiler",
            why="nvcc takes the path of its host compiler, without launchers or flags.",
            remedy=f"Set CXX to the compiler alone, such as {words[-1]}.",
        )
    found = shutil.which(words[0], path=path)
    if found:
        yield "CXX", Path(found)


def _on_path(limits: CompilerLimits, path: str) -> Iterator[tuple[str, Path]]:
    versioned = (
        f"{driver}-{major}"
        for family, driver in _VERSIONED
        for major in range(limits.of(family).high, limits.of(family).low - 1, -1)
    )
    seen: set[Path] = set()
    for name in (*_DEFAULTS, *versioned):
        found = shutil.which(name, path=path)
        if found and Path(found).resolve() not in seen:
            seen.add(Path(found).resolve())
            yield "PATH", Path(found)


def _examine(cxx: Path, limits: CompilerLimits, path: str) -> _Identity | str:
    """Say what `cxx` is if nvcc accepts it, or the reason why it does not do."""
    # One call shows the macros that nvcc's own check reads, and fails where the standard library has no headers.
    command = (cxx, "-dM", "-E", "-x", "c++", "-include", "cstdint", "/dev/null")
    answer = process.capture(command, env={"PATH": path, "LC_ALL": "C"}, timeout=_SECONDS)
    if not answer.ok:
        last = answer.output.strip().splitlines()[-1:] or ["it said nothing"]
        return f"it cannot preprocess C++ (exit status {answer.code}): {last[0]}"
    identity = _identify(dict(_MACRO.findall(answer.output)))
    if identity is None:
        return "it is neither gcc nor clang"
    allowed = limits.of(identity.family)
    if identity.version[0] in allowed:
        return identity
    how = "new" if identity.version[0] > allowed.high else "old"
    return f"{identity} is too {how} for CUDA {limits.cuda}, which accepts {identity.family} {allowed}"


def _identify(macros: Mapping[str, str]) -> _Identity | None:
    """Read the family and version; clang is asked first, because it claims to be gcc 4.2 too."""
    spellings: tuple[tuple[CompilerFamily, tuple[str, str, str]], ...] = (
        ("clang", ("__clang_major__", "__clang_minor__", "__clang_patchlevel__")),
        ("gcc", ("__GNUC__", "__GNUC_MINOR__", "__GNUC_PATCHLEVEL__")),
    )
    for family, names in spellings:
        if names[0] in macros:
            major, minor, patch = (int(macros.get(name, "0")) for name in names)
            return _Identity(family, (major, minor, patch))
    return None


def _c_companion(cxx: Path) -> Path | None:
    """Give the C driver beside a C++ one: `x86_64-conda-linux-gnu-g++` -> `x86_64-conda-linux-gnu-gcc`."""
    companion = cxx.with_name(_DRIVER.sub(lambda match: _C_COMPANIONS[match[0]], cxx.name, count=1))
    return companion if companion != cxx and companion.is_file() else None


def _none_fits(limits: CompilerLimits, rejections: list[Rejection], *, wish: str, path: str) -> HostCompilerError:
    if not rejections:
        looked_for = f"CXX={wish}" if wish else f"{', '.join(_DEFAULTS)}, and versioned ones such as g++-14"
        return HostCompilerError(
            "there is no C++ compiler",
            why=f"looked on PATH for {looked_for}",
            remedy=f"{_INSTALL}\n{_accepts(limits)}",
        )
    others = [str(cxx) for _, cxx in _on_path(limits, path) if isinstance(_examine(cxx, limits, path), _Identity)]
    remedy = (
        f"Point to one that fits and is already here: CXX={others[0]}"
        if others
        else f"Install an older one and point to it, such as: apt install g++-{limits.gcc.high}, then "
        f"CXX=g++-{limits.gcc.high}"
    )
    return HostCompilerError(
        f"no C++ compiler here fits CUDA {limits.cuda}",
        why=f"looked at:\n{tried(rejections)}",
        remedy=f"{remedy}\n{_accepts(limits)}",
    )


def _accepts(limits: CompilerLimits) -> str:
    return f"CUDA {limits.cuda} accepts {limits}."
