"""From a source that was read to a recipe: everything that was found, put together and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cudawheel.data import FIRST_PACKAGED_CUDA, torch_releases
from cudawheel.draft.capability_list import CapabilityChoice, choose_capability_list
from cudawheel.draft.imports import Imports, find_imports
from cudawheel.draft.observations import cuda_libraries, heavy, observe
from cudawheel.draft.origin import Origin
from cudawheel.draft.project import Project, Way
from cudawheel.draft.requirements import MissingRequirements, find_missing
from cudawheel.draft.switches import Switches, find_switches
from cudawheel.draft.values import Doubt, Finding
from cudawheel.errors import DraftError, NoCudaError
from cudawheel.model.version import TorchVersion

_PYTHONS = ("3.12", "3.11", "3.10", "3.13")
_CAPABILITIES = "7.5;8.0;8.6;8.9;9.0;10.0;12.0"
_GIB_WITH_TORCH, _GIB_WITHOUT, _GIB_CUTLASS = 3.0, 1.5, 8.0
_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A recipe to be, as a document, with all that is known and not known about it.

    Attributes:
        document: the recipe's tables, in the order in which they are written.
        title: one line that says what is built and how.
        doubts: what a person has to look at; `field` names where in the document.
    """

    document: dict[str, Any]
    title: str
    origin: str
    findings: tuple[Finding, ...]
    doubts: tuple[Doubt, ...]

    @property
    def name(self) -> str:
        """Name of the package."""
        return str(self.document["package"]["name"])


def draft_recipe(project: Project, origin: Origin) -> Draft:
    """Draft the recipe of a project.

    Raises:
        DraftError: there is nothing that could be built.
        NoCudaError: nothing of it is compiled for CUDA when it is built.
    """
    _require_cuda(project, origin)
    capabilities, switches = choose_capability_list(project), find_switches(project)
    missing, imports = find_missing(project), find_imports(project)
    metadata = project.metadata
    matrix, doubts = _matrix(project)
    if metadata.name == "":
        doubts.append(
            Doubt(field="package.name", found="nothing in the source states its name", edit="Write the wheel's name.")
        )
    document: dict[str, Any] = {
        "package": {"name": metadata.name or origin.name or "unknown", "version": metadata.version or "0"},
        "sources": [origin.pin],
        "capabilities": {"request": _CAPABILITIES + ("+PTX" if capabilities.takes_ptx else "")},
        "matrix": matrix,
        "build": _build(project, capabilities, switches, missing),
        "wheel": _wheel(project, imports),
    }
    parts = (capabilities, switches, missing, imports)
    return Draft(
        document=document,
        title=f"{document['package']['name']} {document['package']['version']}: {project.way.value}",
        origin=origin.asked_for,
        findings=(*_overview(project), *origin.findings, *(f for part in parts for f in part.findings)),
        doubts=tuple(
            dict.fromkeys(
                (
                    *(*origin.doubts, *metadata.doubts, *doubts, *_of_the_way(project)),
                    *(doubt for part in parts for doubt in part.doubts),
                    *observe(project),
                )
            )
        ),
    )


def _require_cuda(project: Project, origin: Origin) -> None:
    if not project.buildable:
        raise DraftError(
            f"{origin.asked_for} is not a Python project",
            why="It has neither pyproject.toml nor setup.py at its top.",
            remedy="If the project lies in a folder of the repository, name it: URL@COMMIT#subdirectory=FOLDER.",
        )
    if project.compiles_cuda or (project.tree.cuda and project.way is Way.UNKNOWN):
        return
    when_used = project.compiled_when_used
    files = project.tree.cuda
    if files:
        why = f"It has {_few(files)}, and nothing in its build compiles them."
    else:
        why = "It has no .cu file, and its build compiles none."
    if project.setup.broken:
        why += f" Its setup.py cannot be read as Python 3: {project.setup.broken}."
    if when_used:
        why += f" {_few(when_used)} compiles code as it is used, which no wheel can carry."
    raise NoCudaError(
        f"{origin.asked_for} compiles nothing for CUDA when it is built",
        why=why,
        remedy="A wheel of it needs no factory: `pip wheel` makes it. If its CUDA code lies elsewhere, such as in a "
        "repository of its own, draft a recipe from that.",
    )


def _few(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _matrix(project: Project) -> tuple[dict[str, Any], list[Doubt]]:
    doubts: list[Doubt] = []
    pythons = [version for version in _PYTHONS if project.metadata.allows_python(version)]
    if not pythons:
        pythons = list(_PYTHONS)
        found = (
            f"the package wants Python {project.metadata.requires_python}, and none of {', '.join(_PYTHONS)} is that"
        )
        doubts.append(Doubt(field="matrix.python", found=found, edit="Name Pythons that it allows."))
    packaged = [str(torch) for torch, release in torch_releases().items() if release.cuda >= FIRST_PACKAGED_CUDA]
    torches = [torch for torch in packaged if project.metadata.allows_torch(torch)]
    if not torches:
        torches = packaged
        bounds = {
            str(found) for found in (project.metadata.needs("torch"), project.metadata.runs_with("torch")) if found
        }
        found = f"the package wants {' and '.join(sorted(bounds))}, which none of torch {', '.join(packaged)} is"
        doubts.append(Doubt(field="matrix.torch", found=found, edit="Name torch releases that it allows."))
    if not project.uses_torch:
        cudas = dict.fromkeys(str(torch_releases()[TorchVersion.parse(torch)].cuda) for torch in packaged)
        return {"python": pythons, "cuda": list(cudas)}, [doubt for doubt in doubts if doubt.field != "matrix.torch"]
    return {"python": pythons, "torch": torches}, doubts


def _build(
    project: Project, capabilities: CapabilityChoice, switches: Switches, missing: MissingRequirements
) -> dict[str, Any]:
    style = capabilities.style
    listed: Any = style
    if not isinstance(style, str):
        listed = {"variable": style.variable, "item": style.item, "separator": style.separator}
    without = _GIB_WITH_TORCH if project.uses_torch else _GIB_WITHOUT
    build: dict[str, Any] = {"cuda": "required"}
    if project.uses_torch:
        build["abi"] = "torch-minor"
    build["capability-list"] = listed
    if switches.config_settings:
        build["config-settings"] = switches.config_settings
    if missing.requires:
        build["requires"] = list(missing.requires)
    if switches.environment:
        build["environment"] = switches.environment
    build["memory-per-job"] = _GIB_CUTLASS if heavy(project) else without
    lines = (*switches.lines, *capabilities.lines)
    if lines:
        build["replacements"] = [
            {"file": line.file, "old": line.old, "new": line.new, **({"hits": line.hits} if line.hits > 1 else {})}
            for line in lines
        ]
    return build


def _wheel(project: Project, imports: Imports) -> dict[str, Any]:
    wheel: dict[str, Any] = {"imports": list(imports.names)}
    openmp = "OpenMP" in project.cmake.packages or any("fopenmp" in text for _, _, text in project.setup.strings)
    if openmp:
        wheel["external-libraries"] = ["libgomp.so.1"]
    libraries = cuda_libraries(project)
    if libraries and not project.uses_torch:
        # Where there is torch, it brings them.
        wheel["cuda-libraries"] = list(libraries)
    return wheel


def _overview(project: Project) -> tuple[Finding, ...]:
    backend = project.metadata.backend
    cuda = project.tree.cuda
    findings = [
        Finding(topic="backend", said=f"{project.way.value}{f' ({backend})' if backend else ', named by nothing'}"),
        Finding(topic="CUDA sources", said=f"{len(cuda)}: {_few(cuda)}" if cuda else "none of its own"),
        Finding(topic="torch", said="it is built against" if project.uses_torch else "nothing is built against it"),
    ]
    if project.setup.without_ninja:
        said = "ninja is switched off, so that one file is compiled after another"
        findings.append(Finding(topic="backend", said=said, where=project.setup.without_ninja[0]))
    if project.tree.brought_along:
        said = f"{len(project.tree.brought_along)} more of other projects lie in it"
        findings.append(Finding(topic="CUDA sources", said=said))
    return tuple(findings)


def _of_the_way(project: Project) -> tuple[Doubt, ...]:
    if project.way is Way.UNKNOWN:
        found = f"the backend {project.metadata.backend!r} is not known here"
        edit = "Read its documentation: how it takes capabilities, what switches CUDA on, how settings are passed."
        return (Doubt(field="build", found=found, edit=edit),)
    if project.setup.broken:
        found = f"setup.py cannot be read as Python 3: {project.setup.broken}"
        return (Doubt(field="build", found=found, edit="Nothing of it is in this draft; read it yourself."),)
    if project.setup.present and project.way is Way.SETUPTOOLS:
        found = "setup.py compiles CUDA code in a way of its own"
        edit = "Read how it starts nvcc: that decides about capabilities and about how many compilers run."
        return (Doubt(field="build", found=found, edit=edit),)
    return ()
