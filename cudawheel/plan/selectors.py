"""Choosing cells of a plan by globs over their identifiers, as `cp312-torch2.1[13]-*`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from fnmatch import fnmatchcase

from cudawheel.errors import SelectionError
from cudawheel.plan.plan import Cell, Plan

# How a wheel's platform tag goes on before the processor: `manylinux_2_28_x86_64`, `linux_x86_64` (PEP 600).
_PLATFORM = re.compile(r"-(?:many)?linux(?:_\d+_\d+)?_(?=[^-]*$)")
_NEAR_MISSES = 3
_REASONS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which cells of a plan are meant.

    A pattern is a shell glob over the whole identifier, case counts. The platform may be written the way wheels are
    tagged, `manylinux_x86_64`: every wheel for Linux is of such a platform, and which one is known only once it is
    built.

    Attributes:
        only: patterns of which one has to match; empty means every cell.
        skip: patterns of which none may match.
    """

    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()

    @classmethod
    def parse(cls, only: Iterable[str] = (), skip: Iterable[str] = ()) -> Selector:
        """Read patterns as a command line has them: each word may hold several, with blanks or commas between.

        Raises:
            SelectionError: `--only` is given and holds no pattern; an empty variable of a script is no wish for all.
        """
        only = tuple(only)
        chosen = _words(only)
        if only and not chosen:
            raise SelectionError(
                "--only is given and names no cell",
                why=f"its value is {only[0]!r}; a variable of a script may be empty",
                remedy="`cudawheel plan --identifiers` lists all cells. Leave --only away to select nothing.",
            )
        return cls(only=chosen, skip=_words(skip))

    @property
    def selects_all(self) -> bool:
        """Whether nothing is left out."""
        return not (self.only or self.skip)

    def matches(self, identifier: str) -> bool:
        """Whether the cell of this identifier is meant."""
        wanted = not self.only or any(_matches(identifier, pattern) for pattern in self.only)
        return wanted and not any(_matches(identifier, pattern) for pattern in self.skip)

    def choose(self, plan: Plan) -> Plan:
        """Narrow a plan to the cells that are meant, rejected ones among them.

        Raises:
            SelectionError: a pattern matches no cell, those of `only` match no cell that can be built, or nothing is
                left.
        """
        identifiers = tuple(cell.identifier for cell in plan.cells)
        for pattern in (*self.only, *self.skip):
            if not any(_matches(identifier, pattern) for identifier in identifiers):
                raise _nothing_matches(pattern, identifiers, plan.package)
        for pattern in self.only:
            _require_buildable(pattern, tuple(cell for cell in plan.cells if _matches(cell.identifier, pattern)))
        chosen = tuple(cell for cell in plan.cells if self.matches(cell.identifier))
        if self.skip and not any(cell.accepted for cell in chosen):
            raise SelectionError(
                f"--skip leaves nothing of {plan.package} to build",
                why=f"{', '.join(self.skip)}: {len(identifiers)} cells",
                remedy="`cudawheel plan --identifiers` lists what there is; skip less of it.",
            )
        return replace(plan, cells=chosen)


def _words(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(word for text in texts for word in text.replace(",", " ").split())


def _matches(identifier: str, pattern: str) -> bool:
    return fnmatchcase(identifier, _PLATFORM.sub("-", pattern))


def _require_buildable(pattern: str, cells: tuple[Cell, ...]) -> None:
    if any(cell.accepted for cell in cells):
        return
    reasons = dict.fromkeys(f"{cell.identifier}: {cell.reason}" for cell in cells)
    raise SelectionError(
        f"no cell that {pattern!r} matches can be built",
        why="\n".join(list(reasons)[:_REASONS]) + ("\n…" if len(reasons) > _REASONS else ""),
        remedy="`cudawheel plan` shows every cell, and why it is rejected.",
    )


def _nothing_matches(pattern: str, identifiers: tuple[str, ...], package: str) -> SelectionError:
    near = sorted(identifiers, key=lambda identifier: -_likeness(pattern, identifier))[:_NEAR_MISSES]
    return SelectionError(
        f"{pattern!r} matches no cell of {package}",
        why=f"nearest are {', '.join(near)}" if near else "its matrix has no cells",
        remedy="`cudawheel plan --identifiers` lists all. A pattern matches the whole identifier: end it with * where "
        "the rest does not matter.",
    )


def _likeness(pattern: str, identifier: str) -> float:
    """Say how near a pattern comes to an identifier: parts that match count for most, then how alike the texts are."""
    pairs = zip(pattern.split("-"), identifier.split("-"), strict=False)
    return sum(fnmatchcase(part, glob) for glob, part in pairs) + SequenceMatcher(None, pattern, identifier).ratio()
