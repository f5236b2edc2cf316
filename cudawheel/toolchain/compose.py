"""Turning the tree that NVIDIA's Python packages install into a CUDA_HOME.

The packages share one tree, `site-packages/nvidia/cu13`, which compilers and CMake do not take for a toolkit: there
is no `lib64`, and libraries carry their version alone (`libcudart.so.13`), so that `-lcudart` finds nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from cudawheel.errors import ToolchainError
from cudawheel.files import disk_errors
from cudawheel.toolchain.folders import locked, staged
from cudawheel.toolchain.layout import missing_parts

_RECORD = ".composed.json"
_VERSIONED = re.compile(r"(?P<stem>.+\.so)\.[\d.]+")


def compose(tree: Path, home: Path) -> None:
    """Make `home` a CUDA_HOME of links into `tree`.

    Does nothing where `home` is up to date already; else it is replaced as a whole, so that nobody sees half of it.

    Raises:
        ToolchainError: `tree` lacks parts of a toolkit.
        StoreError: `home` cannot be written.
    """
    links = plan_links(tree.absolute())
    with locked(home):
        if not _is_current(home, links):
            with staged(home) as fresh:
                _make(fresh, links)
                _check(fresh, tree)


def plan_links(tree: Path) -> dict[str, Path]:
    """Say which links a toolkit over `tree` consists of: names relative to its home, and what they point at.

    `bin` and `lib64` become real folders. nvcc looks for its headers and libraries at `bin/..`, and the kernel takes
    that from where a linked `bin` really lies, which is the tree without `lib64`.
    """
    links: dict[str, Path] = {}
    for entry in sorted(tree.iterdir()) if tree.is_dir() else ():
        if entry.name == "bin":
            links |= {f"bin/{tool.name}": tool for tool in sorted(entry.iterdir())}
        elif entry.name in {"lib", "lib64"}:
            libraries = sorted(entry.iterdir())
            links |= {f"lib64/{library.name}": library for library in libraries}
            links |= {f"lib64/{name}": library for name, library in _unversioned(libraries)}
        elif entry.name not in {"__init__.py", "__pycache__"}:
            links[entry.name] = entry
    return links


def _unversioned(libraries: list[Path]) -> Iterator[tuple[str, Path]]:
    """Pair `libcudart.so` with `libcudart.so.13`, the shortest name where several versions lie side by side."""
    present = {library.name for library in libraries}
    for library in sorted(libraries, key=lambda path: (-len(path.name), path.name)):
        match = _VERSIONED.fullmatch(library.name)
        if match and match["stem"] not in present:
            yield match["stem"], library


def _make(home: Path, links: Mapping[str, Path]) -> None:
    for name, target in links.items():
        link = home / name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(target)
    (home / "lib").symlink_to("lib64")
    (home / _RECORD).write_text(_record(links), encoding="utf-8")


def _is_current(home: Path, links: Mapping[str, Path]) -> bool:
    record = home / _RECORD
    with disk_errors(home):
        return (
            record.is_file()
            and record.read_text(encoding="utf-8") == _record(links)
            and all((home / name).exists() for name in links)
        )


def _record(links: Mapping[str, Path]) -> str:
    return json.dumps({name: str(target) for name, target in links.items()}, indent=1)


def _check(home: Path, tree: Path) -> None:
    missing = missing_parts(home)
    if missing:
        raise ToolchainError(
            f"{tree} is not a whole CUDA toolkit",
            why=f"missing: {', '.join(missing)}",
            remedy="Build requires must hold cuda-toolkit with the extras nvcc, cccl, crt, nvvm and cudart.",
        )
