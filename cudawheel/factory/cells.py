"""The wheels that a whole matrix comes to: one for each cell, or one for several where the ABI allows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from cudawheel.builder.identity import candidates
from cudawheel.factory.job import Job
from cudawheel.factory.request import BuildRequest
from cudawheel.model.variant import Variant
from cudawheel.model.version import PythonVersion
from cudawheel.plan.contradictions import require_consistent
from cudawheel.plan.plan import Cell
from cudawheel.plan.selectors import Selector
from cudawheel.recipe.loading import load_recipe
from cudawheel.recipe.sources import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetCell:
    """One wheel to be made.

    Attributes:
        identifier: of the cell that it is built for.
        request: the request narrowed to that cell.
        variant: what the plan made of it.
        others: cells that the same wheel may serve, in the order of the plan; whether it does, its tags say once it is
            built.
    """

    identifier: str
    request: BuildRequest
    variant: Variant
    others: tuple[FleetCell, ...] = ()

    @property
    def identifiers(self) -> tuple[str, ...]:
        """All cells that are done with when this wheel serves them."""
        return (self.identifier, *(other.identifier for other in self.others))

    def installs(self, wheel: Path) -> bool:
        """Whether a wheel serves this cell, by what its name says: its tags, and which torch it promises.

        A source that went out of reach after the cells were put together, or came back, may promise less.
        """
        torch, abi = self.variant.torch, self.variant.abi
        promised = f".torch.{abi.promised(torch)}" if torch is not None and abi is not None else ""
        local = parse_wheel_filename(wheel.name)[1].local or ""
        return local.endswith(promised) and runs_on(wheel, self.variant.python)

    def served_by(self, wheel: Path) -> tuple[FleetCell, ...]:
        """Give those of the other cells that a wheel serves."""
        return tuple(cell for cell in self.others if cell.installs(wheel))

    def without_first(self) -> FleetCell | None:
        """Give the wheel for the other cells alone, built for the first of them; None where there are none."""
        return replace(self.others[0], others=self.others[1:]) if self.others else None

    def left_by(self, wheel: Path) -> FleetCell | None:
        """Give the wheel that has to be made besides, for the cells that a finished one does not serve; None for none.

        The lowest Python comes first, since a wheel of the limited API serves all that are higher.
        """
        left = [cell for cell in self.others if not cell.installs(wheel)]
        if not left:
            return None
        first = min(left, key=lambda cell: cell.variant.python)
        return replace(first, others=tuple(cell for cell in left if cell is not first))


def runs_on(wheel: Path, python: PythonVersion) -> bool:
    """Whether a Python of this release installs a wheel, as far as interpreter and ABI go."""
    version = (python.major, python.minor)
    known = (
        *cpython_tags(version, platforms=["any"]),
        *compatible_tags(version, f"cp{version[0]}{version[1]}", ["any"]),
    )
    pairs = {(tag.interpreter, tag.abi) for tag in known}
    tags: Iterable[Tag] = parse_wheel_filename(wheel.name)[3]
    return any((tag.interpreter, tag.abi) in pairs for tag in tags)


def fleet_cells(
    request: BuildRequest, selector: Selector | None = None, source: Source | None = None
) -> tuple[FleetCell, ...]:
    """Say which wheels a request for a whole matrix comes to, in the order of the plan.

    Where the recipe promises torch's stable ABI, one wheel may serve every torch whose CUDA has the same major version
    (NVIDIA, "CUDA minor version compatibility"); it is built for the cell that a single build would choose.

    Args:
        request: what a person asks for; its selection narrows the matrix.
        selector: narrows it further, by identifiers.
        source: that of the recipe's sources which is built; None for the first that may be tried.

    Raises:
        RecipeError: cells of the recipe contradict each other.
        SelectionError: the selector matches nothing.
        PlanError: no variant can be built as asked.
        CapabilityError: none for want of the capabilities.
    """
    loaded = load_recipe(request.recipe)
    require_consistent(loaded)
    first = Job(request, loaded, source or candidates(loaded, request.source)[0])
    plan = (selector or Selector()).choose(first.plan)
    if not plan.variants:
        plan.choose(request.machine)  # says why
    cells = [_cell(request, cell) for cell in plan.cells if cell.accepted]
    if first.settings.abi.stable_since is None:
        return tuple(cells)
    chosen = plan.choose(request.machine).identifier
    groups: dict[int, list[FleetCell]] = {}
    for cell in cells:
        groups.setdefault(cell.variant.cuda.major, []).append(cell)
    return tuple(_as_one(group, chosen) for group in groups.values())


def _cell(request: BuildRequest, cell: Cell) -> FleetCell:
    assert cell.variant is not None  # noqa: S101 - accepted cells have one
    at = cell.variant
    selection = replace(request.selection, python=at.python, torch=at.torch, cuda=at.cuda)
    return FleetCell(identifier=cell.identifier, request=replace(request, selection=selection), variant=at)


def _as_one(group: Sequence[FleetCell], chosen: str) -> FleetCell:
    """Give the wheel of a group: of the chosen cell if it is among them, else of one for the same Python, or the first.

    The group is never empty.
    """
    python = chosen.split("-", 1)[0]
    own = [cell for cell in group if cell.identifier == chosen or cell.identifier.startswith(f"{python}-")]
    first = next((cell for cell in own if cell.identifier == chosen), (own or [*group])[0])
    return replace(first, others=tuple(cell for cell in group if cell is not first))
