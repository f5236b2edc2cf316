"""Which modules of a finished wheel must import: its packages, and the extension modules that say their own name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cudawheel.draft.metadata import table_of
from cudawheel.draft.project import Project
from cudawheel.draft.values import Doubt, Finding

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
# What makes a shared object a module that Python can import; TORCH_LIBRARY alone does not.
_INIT = re.compile(
    r"PYBIND11_MODULE|PYBIND11_PLUGIN|PyInit_|PyMODINIT_FUNC|NB_MODULE|NANOBIND_MODULE|BOOST_PYTHON_MODULE"
)
_NOT_PACKAGES = frozenset(
    {"benchmarks", "build", "csrc", "docs", "examples", "scripts", "src", "test", "tests", "tools"}
)
_MOST_READ = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Imports:
    """Modules for `[wheel] imports`, packages first: they import torch, whose libraries the extensions need."""

    names: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    doubts: tuple[Doubt, ...] = ()


def find_imports(project: Project) -> Imports:
    """Find the modules of a project's wheel."""
    packages, where = _packages(project)
    findings = [Finding(topic="imports", said=", ".join(packages), where=where)] if packages else []
    doubts = [_made_up(extension.where) for extension in project.setup.extensions if extension.name is None]
    initialised = any(_INIT.search(project.tree.text(name)) for name in project.tree.code[:_MOST_READ])
    extensions = _extensions(project, packages)
    if extensions and initialised:
        findings.append(Finding(topic="imports", said=f"extension modules {', '.join(extensions)}"))
    elif extensions:
        doubts.append(_no_init(extensions))
        extensions = ()
    names = tuple(dict.fromkeys((*packages, *extensions)))
    if not packages and extensions and project.uses_torch:
        # An extension alone does not find torch's libraries until torch is loaded.
        names = ("torch", *names)
    if not names:
        own = project.metadata.name.replace("-", "_")
        names = (own if _NAME.fullmatch(own) else "unknown",)
        doubts.append(_guessed(names[0]))
    return Imports(names=names, findings=tuple(findings), doubts=tuple(doubts))


def _packages(project: Project) -> tuple[tuple[str, ...], str]:
    """Give the top packages, and what says so: metadata of the sdist, settings, or the folders themselves."""
    for file in project.tree.matching("*.egg-info/top_level.txt"):
        listed = tuple(line.strip() for line in project.tree.text(file).split("\n") if _NAME.fullmatch(line.strip()))
        packages = tuple(name for name in listed if _is_package(project, name))
        if packages:
            return packages, file
    wheel = table_of(project.metadata.tool("scikit-build"), "wheel").get("packages")
    told = wheel if isinstance(wheel, list | dict) else ()
    listed = tuple(name for path in told if _NAME.fullmatch(name := str(path).rstrip("/").rsplit("/", 1)[-1]))
    if listed:
        return listed, "pyproject.toml"
    named = project.setup.settings.get("packages")
    plain = [str(name) for name in named if _NAME.fullmatch(str(name))] if isinstance(named, list) else []
    if plain:
        return tuple(dict.fromkeys(name.split(".")[0] for name in plain)), "setup.py"
    found = _folders(project)
    own = project.metadata.name.replace("-", "_")
    return ((own,) if own in found else found), "folders with an __init__.py"


def _is_package(project: Project, name: str) -> bool:
    ends = (f"{name}/__init__.py", f"{name}.py")
    return any(file in ends or file.endswith(tuple(f"/{end}" for end in ends)) for file in project.tree.files)


def _folders(project: Project) -> tuple[str, ...]:
    """Give the folders with an `__init__.py` at the top, or below `src` or `python`."""
    found = []
    for file in project.tree.files:
        folder, _, name = file.rpartition("/")
        package = folder.removeprefix("src/").removeprefix("python/")
        if name == "__init__.py" and re.fullmatch(r"[A-Za-z_]\w*", package) and package not in _NOT_PACKAGES:
            found.append(package)
    return tuple(found)


def _extensions(project: Project, packages: tuple[str, ...]) -> tuple[str, ...]:
    named = [extension.name for extension in project.setup.extensions if extension.name]
    if not project.way.by_cmake:
        return tuple(dict.fromkeys(name for name in named if _NAME.fullmatch(name)))
    # CMake's targets are modules of whatever folder they are installed into: usually that of the one package.
    targets = [name for name in project.cmake.modules if _NAME.fullmatch(name)]
    installed = _installed(project)
    return tuple(
        f"{installed[name]}.{name}" if installed.get(name) else f"{packages[0]}.{name}" if len(packages) == 1 else name
        for name in targets
    )


def _installed(project: Project) -> dict[str, str]:
    """Give the package that CMake installs each target into, where that is named outright."""
    found = {}
    for command in project.cmake.commands:
        if command.name == "install" and command.words[:1] == ("TARGETS",) and "DESTINATION" in command.words[:-1]:
            place = command.words[command.words.index("DESTINATION") + 1].strip("./").replace("/", ".")
            place = re.sub(r"\$\{SKBUILD_(PROJECT_NAME)\}", project.metadata.name.replace("-", "_"), place)
            for target in command.words[1 : command.words.index("DESTINATION")]:
                if _NAME.fullmatch(place):
                    found[target] = place
    return found


def _made_up(where: str) -> Doubt:
    return Doubt(
        field="wheel.imports",
        found=f"the name of the extension at {where} is made up as setup.py runs",
        edit="Add its modules, if they can be imported by name.",
    )


def _no_init(names: tuple[str, ...]) -> Doubt:
    return Doubt(
        field="wheel.imports",
        found=f"no code makes {', '.join(names)} importable: such a library is loaded by torch.ops or by hand",
        edit="Leave it out, or add it if it has an init function after all; a package that loads it proves as much.",
    )


def _guessed(name: str) -> Doubt:
    return Doubt(
        field="wheel.imports", found=f"no package was found; {name} is a guess", edit="Name what users import."
    )
