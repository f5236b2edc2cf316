"""What a build needs and pyproject.toml does not name."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from cudawheel.draft.project import Project, Way
from cudawheel.draft.values import Doubt, Finding

# Modules whose distribution bears another name.
_DISTRIBUTIONS = {
    "Cython": "cython",
    "distutils": "setuptools",
    "git": "gitpython",
    "jinja2": "jinja2",
    "pkg_resources": "setuptools",
    "setuptools_scm": "setuptools-scm",
    "skbuild": "scikit-build",
    "yaml": "pyyaml",
}
# torch and nvcc come by themselves; the others are the standard library's or nobody's.
_BY_ITSELF = frozenset({"torch", "__future__"})
# The last releases with pkg_resources (setuptools' history, v82).
_WITH_PKG_RESOURCES = "setuptools>=77,<82"


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingRequirements:
    """Build requirements that a recipe has to add."""

    requires: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    doubts: tuple[Doubt, ...] = ()


def find_missing(project: Project) -> MissingRequirements:
    """Compare what setup.py imports, and what its way of building needs, with what pyproject.toml names."""
    findings: list[Finding] = []
    doubts: list[Doubt] = []
    wanted: dict[str, str] = {}
    metadata = project.metadata
    if metadata.build_requires is None:
        findings.append(Finding(topic="requires", said="pyproject.toml names no build requirements"))
        wanted.update({"setuptools": "setuptools>=77", "wheel": "wheel"})
    perhaps: list[str] = []
    for module, where in project.setup.imports.items():
        distribution = _distribution(module, project)
        if not distribution or metadata.needs(distribution) or distribution in wanted:
            continue
        if module not in project.setup.always:
            perhaps.append(f"{distribution} ({where})")
            continue
        wanted[distribution] = distribution
        findings.append(Finding(topic="requires", said=f"{distribution} is imported and not named", where=where))
    if perhaps:
        doubts.append(_perhaps(perhaps))
    if "pkg_resources" in project.setup.imports:
        wanted["setuptools"] = _WITH_PKG_RESOURCES
    for distribution, why in _of_the_way(project):
        if not metadata.needs(distribution) and distribution not in wanted:
            wanted[distribution] = distribution
            findings.append(Finding(topic="requires", said=f"{distribution}: {why}"))
    return MissingRequirements(requires=tuple(wanted.values()), findings=tuple(findings), doubts=tuple(doubts))


def _perhaps(names: list[str]) -> Doubt:
    return Doubt(
        field="build.requires",
        found=f"imported only in some cases, and not named: {', '.join(names)}",
        edit="Add those whose import is reached in this build.",
    )


def _distribution(module: str, project: Project) -> str:
    """Name the distribution of a module; empty for the standard library, torch, and what lies in the project."""
    name = _DISTRIBUTIONS.get(module)
    local = project.tree.has(f"{module}.py") or any(file.startswith(f"{module}/") for file in project.tree.files)
    if name is None and (module in sys.stdlib_module_names or module in _BY_ITSELF or local):
        return ""
    return name or canonicalize_name(module)


def _of_the_way(project: Project) -> list[tuple[str, str]]:
    needed: list[tuple[str, str]] = []
    if project.way is Way.TORCH_NINJA:
        needed.append(("ninja", "without it torch's builder compiles one file after another"))
    if project.way in {Way.CMAKE, Way.SKBUILD}:
        needed += [("cmake", "setup.py starts it"), ("ninja", "CMake's generator, where it is there")]
    if project.way in {Way.CMAKE, Way.SKBUILD, Way.SKBUILD_CORE}:
        needed += [
            (name, f"CMake looks for it at {project.cmake.packages[name].where}")
            for name in ("pybind11", "nanobind")
            if name in project.cmake.packages
        ]
    return needed
