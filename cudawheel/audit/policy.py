"""The audit's policy, read from `cudawheel/data/audit_policy.json` and from auditwheel's manylinux policies."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources

_LOADERS = ("ld-linux*", "ld64.so.*")  # auditwheel leaves the dynamic loader out in code, not in its policy


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeLibrary:
    """A library that is there when an extension of torch is imported.

    Attributes:
        pattern: what its file is called.
        provider: "torch", "cuda" (a package that torch requires) or "driver".
        why: why a wheel must not bring its own.
        source: where that is known from.
        may_be_bundled: whether bringing one is harmless after all.
    """

    pattern: str
    provider: str
    why: str
    source: str
    may_be_bundled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the checks judge by.

    Attributes:
        runtime_libraries: libraries that torch, its requirements or the driver bring.
        manylinux_libraries: libraries that every Linux desktop has (PEP 600), the dynamic loader among them.
        versioned_libraries: system libraries whose symbols all carry versions.
        interpreter_symbols: patterns of symbols that Python itself gives.
        cxx_runtime_symbols: matches symbols of the C++ runtime.
        torch_symbols: matches symbols that only torch can define.
    """

    runtime_libraries: tuple[RuntimeLibrary, ...]
    manylinux_libraries: tuple[str, ...]
    versioned_libraries: tuple[str, ...]
    interpreter_symbols: tuple[str, ...]
    cxx_runtime_symbols: re.Pattern[str]
    torch_symbols: re.Pattern[str]

    def find_runtime(self, library: str) -> RuntimeLibrary | None:
        """Find the entry for a library's file name, if it is one that others bring."""
        return next((entry for entry in self.runtime_libraries if fnmatchcase(library, entry.pattern)), None)

    @property
    def runtime_patterns(self) -> tuple[str, ...]:
        """The patterns of all libraries that others bring."""
        return tuple(entry.pattern for entry in self.runtime_libraries)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name matches any of some fnmatch patterns, upper and lower case distinguished."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


@cache
def load_policy() -> Policy:
    """Read the policy; it is a part of cudawheel, so a fault in it is a bug and raises as such."""
    text = resources.files("cudawheel").joinpath("data", "audit_policy.json").read_text("utf-8")
    data = json.loads(text)
    return Policy(
        runtime_libraries=tuple(RuntimeLibrary(**entry) for entry in data["runtime_libraries"]),
        manylinux_libraries=(*_LOADERS, *_read_manylinux()),
        versioned_libraries=tuple(data["versioned_libraries"]["patterns"]),
        interpreter_symbols=tuple(data["interpreter_symbols"]["patterns"]),
        cxx_runtime_symbols=_any_of(data["cxx_runtime_symbols"]["patterns"]),
        torch_symbols=_any_of(data["torch_symbols"]["patterns"]),
    )


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


def _read_manylinux() -> tuple[str, ...]:
    """Give the libraries that any manylinux policy allows; the platform tag says which of the policies holds."""
    text = resources.files("auditwheel.policy").joinpath("manylinux-policy.json").read_text("utf-8")
    return tuple(sorted({library for policy in json.loads(text) for library in policy["lib_whitelist"]}))
