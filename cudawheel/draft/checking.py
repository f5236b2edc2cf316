"""Checking a recipe without building it: its cells, its sources, and what its sources say against it."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from cudawheel.builder.patching import apply_changes
from cudawheel.builder.sources import FetchedSource, fetch, lay_out
from cudawheel.draft.project import read_project
from cudawheel.draft.tree import SourceTree
from cudawheel.draft.writing import EDIT, UNSURE
from cudawheel.errors import (
    CudawheelError,
    NoCudaError,
    PatchError,
    PlanError,
    RecipeError,
    SourceUnreachableError,
)
from cudawheel.model.progress import Progress
from cudawheel.plan.plan import Machine, Plan, Selection, make_plan
from cudawheel.plan.selectors import Selector
from cudawheel.recipe.loading import LoadedRecipe
from cudawheel.recipe.matrix_faults import matrix_faults
from cudawheel.recipe.recipe import Recipe
from cudawheel.recipe.settings import BuildSettings, CapabilityVariable
from cudawheel.recipe.sources import PathSource, Source

_LEFT = re.compile(rf"\s*#\s?({UNSURE}|{EDIT})\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong with a recipe.

    Attributes:
        path: dotted path of the field, or the label of a source.
        exit_code: with which a build would end for it; 0 for a warning.
    """

    path: str
    found: str
    remedy: str
    exit_code: int

    @property
    def is_error(self) -> bool:
        """Whether a build would fail, rather than give something that was not meant."""
        return self.exit_code != 0

    def to_json(self) -> dict[str, Any]:
        """Give it as plain values."""
        severity = "error" if self.is_error else "warning"
        code = self.exit_code or None
        return {"path": self.path, "severity": severity, "exit_code": code, "found": self.found, "remedy": self.remedy}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What came of checking one recipe.

    Attributes:
        cells: identifiers of what can be built.
        rejected: how many cells cannot.
        reached: labels of the sources that were fetched.
    """

    package: str
    problems: tuple[Problem, ...]
    cells: tuple[str, ...] = ()
    rejected: int = 0
    reached: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """That of the first error; 0 where there is none."""
        return next((problem.exit_code for problem in self.problems if problem.is_error), 0)


def check_recipe(
    loaded: LoadedRecipe,
    machine: Machine,
    *,
    selector: Selector,
    cache: Path,
    progress: Progress,
    index_url: str = "",
    offline: bool = False,
) -> Checked:
    """Check a recipe that loads.

    Args:
        machine: for whom cells are named.
        selector: patterns that have to match something.
        cache: where what is fetched is kept, for the build as well.
        offline: leave out what needs the network; folders and patches beside the recipe are looked at all the same.
    """
    recipe = loaded.recipe
    found = [*_contradictions(recipe), *_left_of_draft(loaded.path)]
    plans: list[Plan] = []
    reached: list[str] = []
    for source in recipe.sources:
        settings = recipe.settings_for(source)
        found += _settings(recipe, source, settings)
        try:
            plans.append(make_plan(recipe, settings, Selection(), machine))
        except CudawheelError as error:
            found.append(_of(error, "capabilities.request"))
        found += _files_beside(loaded, source, settings)
        if not offline or isinstance(source, PathSource):
            problems = list(
                _source(loaded, source, settings=settings, cache=cache, progress=progress, index_url=index_url)
            )
            found += problems
            reached += [] if any(p.exit_code == SourceUnreachableError.exit_code for p in problems) else [source.label]
    found += _plans(recipe, plans)
    if plans:
        found += _selected(selector, plans[0])
    return Checked(
        package=f"{recipe.package.name} {recipe.package.version}",
        problems=tuple(dict.fromkeys(_settled(found, reached))),
        cells=tuple(cell.identifier for cell in plans[0].cells if cell.accepted) if plans else (),
        rejected=sum(not cell.accepted for cell in plans[0].cells) if plans else 0,
        reached=tuple(reached),
    )


def _contradictions(recipe: Recipe) -> Iterator[Problem]:
    for fault in matrix_faults(recipe.matrix):
        yield Problem(path=fault.path, found=fault.found, remedy=fault.allowed, exit_code=RecipeError.exit_code)


def _selected(selector: Selector, plan: Plan) -> Iterator[Problem]:
    try:
        selector.choose(plan)
    except CudawheelError as error:
        yield _of(error, "--only")


def _settled(problems: list[Problem], reached: list[str]) -> Iterator[Problem]:
    """Make warnings of sources that cannot be reached where another one can: a build would take that."""
    for problem in problems:
        spare = reached and problem.exit_code == SourceUnreachableError.exit_code
        yield replace(problem, exit_code=0) if spare else problem


def _of(error: CudawheelError, path: str) -> Problem:
    # That no source could be reached is said of the one that was asked for; why is what matters.
    parts = (error.why,) if isinstance(error, SourceUnreachableError) and error.why else (error.what, error.why)
    found = ": ".join(part for part in parts if part)
    return Problem(path=path, found=found, remedy=error.remedy, exit_code=error.exit_code)


def _settings(recipe: Recipe, source: Source, settings: BuildSettings) -> Iterator[Problem]:
    """Compare settings with one another: two that ask for opposite things make every cell wrong."""
    where = "build" if not source.build.model_fields_set else f"sources.{source.label}.build"
    code = RecipeError.exit_code
    style = settings.capability_list
    if isinstance(style, CapabilityVariable) and style.variable in settings.environment:
        found = f"{style.variable} is the capability list and has a value of its own, too"
        yield Problem(path=f"{where}.environment", found=found, remedy="Take it out of `environment`.", exit_code=code)
    fixed = [
        text for text in (*settings.environment.values(), *settings.config_settings) if "CUDA_ARCHITECTURES" in text
    ]
    if fixed:
        found = f"{fixed[0]} fixes the capabilities beside [capabilities]"
        yield Problem(path=where, found=found, remedy="Leave it to `capability-list`.", exit_code=code)
    for text in (*settings.requires, *settings.overrides):
        requirement = Requirement(text)
        if canonicalize_name(requirement.name) != "torch":
            continue
        for torch in recipe.matrix.torch or ():
            # Any patch release of the cell's torch will do.
            if not requirement.specifier.contains(Version(f"{torch}.99")) and not requirement.specifier.contains(
                f"{torch}.0"
            ):
                found = f"{text} contradicts the cells of torch {torch}"
                remedy = "Take it out: each cell brings its torch. Or take that torch out of the matrix."
                yield Problem(path=f"{where}.requires", found=found, remedy=remedy, exit_code=code)


def _plans(recipe: Recipe, plans: list[Plan]) -> Iterator[Problem]:
    """Find what the matrix names and no cell can be built of."""
    cells = [cell for plan in plans for cell in plan.cells]
    if cells and not any(cell.accepted for cell in cells):
        reasons = dict.fromkeys(cell.reason for cell in cells)
        remedy = "`cudawheel plan` shows every cell."
        yield Problem(path="matrix", found="; ".join(reasons), remedy=remedy, exit_code=PlanError.exit_code)
        return
    for name, values in (("python", [p.tag for p in recipe.matrix.python]), ("torch", recipe.matrix.torch or ())):
        for value in values:
            part = f"torch{value}" if name == "torch" else str(value)
            mine = [cell for cell in cells if part in cell.identifier.split("-")]
            if mine and not any(cell.accepted for cell in mine):
                found = f"{value} names cells of which none can be built: {mine[0].reason}"
                yield Problem(path=f"matrix.{name}", found=found, remedy="Take it out.", exit_code=PlanError.exit_code)
    carried = {v.capability for cell in cells if cell.accepted for v in cell.verdicts if v.accepted}
    dropped = {v.capability: v.reason for cell in cells for v in cell.verdicts if not v.accepted}
    for capability, reason in sorted(dropped.items()):
        if capability not in carried:
            found = f"{capability} is in no wheel: {reason}"
            yield Problem(
                path="capabilities.request", found=found, remedy="Take it out, or choose another CUDA.", exit_code=0
            )


def _files_beside(loaded: LoadedRecipe, source: Source, settings: BuildSettings) -> Iterator[Problem]:
    for patch in settings.patches:
        if not (loaded.folder / patch).is_file():
            found = f"{patch} is not beside the recipe, and source {source.label} needs it"
            yield Problem(path="build.patches", found=found, remedy="Correct the path.", exit_code=PatchError.exit_code)
    check = loaded.recipe.wheel.check
    if check is not None and not (loaded.folder / check).is_file():
        found = f"{check} is not beside the recipe"
        yield Problem(path="wheel.check", found=found, remedy="Correct the path.", exit_code=RecipeError.exit_code)


def _source(
    loaded: LoadedRecipe, source: Source, *, settings: BuildSettings, cache: Path, progress: Progress, index_url: str
) -> Iterator[Problem]:
    """Fetch a source, change it as the recipe says, and compare it with what the recipe says of it."""
    where = f"sources.{source.label}"
    try:
        fetched = fetch(loaded, (source,), cache, progress, index_url=index_url)
        with tempfile.TemporaryDirectory(prefix="cudawheel-check-") as name:
            yield from _content(loaded, fetched, settings, Path(name) / "source", where)
    except CudawheelError as error:
        yield _of(error, where)


def _changes(loaded: LoadedRecipe, settings: BuildSettings, project: Path, where: str) -> Iterator[Problem]:
    """Change a source as the recipe says, one change after the other, so that each that does not apply is found."""
    none = settings.model_copy(update={"patches": (), "replacements": ()})
    changes = [none.model_copy(update={"patches": (patch,)}) for patch in settings.patches]
    changes += [none.model_copy(update={"replacements": (replacement,)}) for replacement in settings.replacements]
    for change in changes:
        yield from _change(loaded, change, project, where)


def _change(loaded: LoadedRecipe, change: BuildSettings, project: Path, where: str) -> Iterator[Problem]:
    try:
        apply_changes(change, patches_folder=loaded.folder, project=project)
    except PatchError as error:
        yield _of(error, where)


def _left_of_draft(path: Path) -> Iterator[Problem]:
    """Find the comments of a draft that nobody has settled."""
    lines = path.read_text(encoding="utf-8").splitlines()
    left = [(match[1], number) for number, line in enumerate(lines, 1) if (match := _LEFT.match(line))]
    if not left:
        return
    counts = Counter(word for word, _ in left)
    said = " and ".join(f"{counts[word]} {word}" for word in (UNSURE, EDIT) if counts[word])
    numbers = ", ".join(str(number) for _, number in left)
    found = f"{said} of the draft {'is' if len(left) == 1 else 'are'} left: line{'s' * (len(left) != 1)} {numbers}"
    yield Problem(path="comments", found=found, remedy="Settle each and take its comment out.", exit_code=0)


def _content(
    loaded: LoadedRecipe, fetched: FetchedSource, settings: BuildSettings, into: Path, where: str
) -> Iterator[Problem]:
    recipe = loaded.recipe
    folder = lay_out(fetched, loaded, settings.model_copy(update={"patches": (), "replacements": ()}), into)
    unfit = list(_changes(loaded, settings, folder, where))
    yield from unfit
    project = read_project(SourceTree(folder))
    metadata = project.metadata
    if not project.buildable:
        found = "it has neither pyproject.toml nor setup.py"
        yield Problem(path=where, found=found, remedy="Correct `subdirectory`.", exit_code=RecipeError.exit_code)
        return
    if metadata.name and metadata.name != recipe.package.name:
        found = f"the source calls itself {metadata.name}, the recipe {recipe.package.name}"
        remedy = "Correct package.name: a wheel of another name is refused."
        yield Problem(path="package.name", found=found, remedy=remedy, exit_code=RecipeError.exit_code)
    # What is read is no proof of what a build gives: a setup.py may make its version up.
    others = [f"{claim.where} {claim.version}" for claim in metadata.claims if claim.public != recipe.package.version]
    if others:
        found = f"{where} says {', '.join(others)}, the recipe {recipe.package.version}"
        yield Problem(path="package.version", found=found, remedy="Make sure which one the wheel gets.", exit_code=0)
    # Where a change does not apply, it may be the one that switches CUDA on.
    if not unfit and settings.cuda == "required" and not project.compiles_cuda and not project.tree.cuda:
        found = "nothing in the source is compiled for CUDA, and `cuda` is required"
        remedy = "Choose the source that has the CUDA code."
        yield Problem(path=where, found=found, remedy=remedy, exit_code=NoCudaError.exit_code)
    for python in recipe.matrix.python:
        if not metadata.allows_python(str(python)):
            found = f"the source wants Python {metadata.requires_python}, which {python} is not"
            yield Problem(
                path="matrix.python", found=found, remedy=f"Take {python} out.", exit_code=PlanError.exit_code
            )
