"""The files of a source, read with care: nothing outside of it, nothing enormous, nothing run."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

# Larger files are data or generated code; no setup.py or CMakeLists.txt comes near it.
_MOST_BYTES = 2 << 20
_MOST_FILES = 50_000
# Folders that are not built: examples, and what is brought along from elsewhere.
_NOT_BUILT = frozenset(
    {".git", ".github", "benchmark", "benchmarks", "doc", "docs", "example", "examples", "test", "tests"}
)
_FROM_ELSEWHERE = frozenset(
    {
        *("3rdparty", "external", "extern", "submodules", "third-party", "third_party", "thirdparty"),
        # Projects that many bring along under their own name.
        *("composable_kernel", "cub", "cutlass", "eigen", "glm", "pybind11", "thrust"),
    }
)
_CUDA = (".cu", ".cuh")
_CODE = (".cu", ".cuh", ".cpp", ".cc", ".cxx", ".c", ".h", ".hpp")


@dataclass(frozen=True)
class SourceTree:
    """A folder with the source of one project.

    Attributes:
        root: the folder; paths given and returned are relative to it, with `/`.
    """

    root: Path

    @cached_property
    def files(self) -> tuple[str, ...]:
        """All regular files, sorted; links are left out, since they may lead anywhere."""
        found: list[str] = []
        for path in self.root.rglob("*"):
            if path.is_file() and not path.is_symlink():
                found.append(path.relative_to(self.root).as_posix())
            if len(found) >= _MOST_FILES:
                break
        return tuple(sorted(found))

    @cached_property
    def cuda(self) -> tuple[str, ...]:
        """CUDA files of the package itself, headers last."""
        own = (name for name in self.files if name.endswith(_CUDA) and _own(name))
        return tuple(sorted(own, key=lambda name: name.endswith(".cuh")))

    @property
    def brought_along(self) -> tuple[str, ...]:
        """CUDA files of other projects that lie in this one."""
        return tuple(name for name in self.files if name.endswith(_CUDA) and _parts(name) & _FROM_ELSEWHERE)

    @cached_property
    def code(self) -> tuple[str, ...]:
        """C++ and CUDA files of the package itself."""
        return tuple(name for name in self.files if name.endswith(_CODE) and _own(name))

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return name in self._set

    def matching(self, pattern: str) -> tuple[str, ...]:
        """Give the files whose path matches a shell pattern; `*` crosses folders."""
        return tuple(fnmatch.filter(self.files, pattern))

    def text(self, name: str) -> str:
        """Read a file; empty where there is none, or it is larger than two mebibytes."""
        if name not in self._texts:
            path = self.root / name
            small = name in self._set and path.stat().st_size <= _MOST_BYTES
            text = path.read_text(encoding="utf-8", errors="replace") if small else ""
            self._texts[name] = text.replace("\r\n", "\n")
        return self._texts[name]

    @cached_property
    def _texts(self) -> dict[str, str]:
        """What was read already: the same files are asked for many things."""
        return {}

    @cached_property
    def _set(self) -> frozenset[str]:
        return frozenset(self.files)


def _parts(name: str) -> set[str]:
    return {part.lower() for part in name.split("/")[:-1]}


def _own(name: str) -> bool:
    return not _parts(name) & (_NOT_BUILT | _FROM_ELSEWHERE)
