"""Which C++ compilers an nvcc accepts: its own header says so, and a table stands in before there is one."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Literal

from cudawheel.model.version import CudaVersion

CompilerFamily = Literal["gcc", "clang"]

# The conditions that lead to `#error -- unsupported GNU version!` and `unsupported clang version!`.
_GCC_ABOVE = re.compile(r"#if\s+__GNUC__\s*>\s*(\d+)")
_CLANG_FROM = re.compile(r"#if\s+\(__clang_major__\s*>=\s*(\d+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Major versions from `low` to `high`, both included."""

    low: int
    high: int

    def __contains__(self, major: int) -> bool:
        return self.low <= major <= self.high

    def __str__(self) -> str:
        return f"{self.low} to {self.high}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompilerLimits:
    """The host compilers that one CUDA release accepts."""

    cuda: CudaVersion
    gcc: Range
    clang: Range

    def of(self, family: CompilerFamily) -> Range:
        """Give the limits of one family."""
        return {"gcc": self.gcc, "clang": self.clang}[family]

    def __str__(self) -> str:
        return f"gcc {self.gcc} or clang {self.clang}"


def compiler_limits(cuda: CudaVersion, home: Path | None = None) -> CompilerLimits:
    """Say which host compilers CUDA `cuda` accepts.

    Args:
        cuda: a release that the table does not know is taken for the latest known one before it.
        home: the toolkit, where there is one: its own `crt/host_config.h` then decides on the upper limits.
    """
    table = _table()
    known = max((release for release in table if release <= cuda), default=min(table))
    limits = replace(table[known], cuda=cuda)
    return limits if home is None else _as_header_says(limits, home / "include" / "crt" / "host_config.h")


def _as_header_says(limits: CompilerLimits, header: Path) -> CompilerLimits:
    """Replace the upper limits; the header's lower ones are far below what the rest of CUDA compiles with."""
    text = header.read_text(encoding="utf-8", errors="replace") if header.is_file() else ""
    gcc, clang = _GCC_ABOVE.search(text), _CLANG_FROM.search(text)
    return replace(
        limits,
        gcc=replace(limits.gcc, high=int(gcc[1])) if gcc else limits.gcc,
        clang=replace(limits.clang, high=int(clang[1]) - 1) if clang else limits.clang,
    )


@functools.cache
def _table() -> Mapping[CudaVersion, CompilerLimits]:
    text = files("cudawheel").joinpath("data", "host_compilers.json").read_text(encoding="utf-8")
    table = {}
    for release, families in json.loads(text)["releases"].items():
        cuda = CudaVersion.parse(release)
        gcc, clang = (Range(low=low, high=high) for low, high in (families["gcc"], families["clang"]))
        table[cuda] = CompilerLimits(cuda=cuda, gcc=gcc, clang=clang)
    return table
