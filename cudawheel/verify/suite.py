"""What a suite is: checks of a wheel, and ways of breaking it that they must notice.

A suite for another package is an object with the members of `Suite`, named by an entry point of the group
`cudawheel.suites`. The module that holds it has to import without torch, since its requirements are read where none is
installed; the rest is imported inside its methods, in the environment where the wheel runs.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Protocol

from cudawheel.errors import VerificationSetupError
from cudawheel.verify.suites import SUITES

ENTRY_POINTS = "cudawheel.suites"
BOTH = ("cpu", "cuda")


class WrongError(Exception):
    """Raised by a check: the wheel's answer has no sense that could be measured. Its text says what was found."""


class UnprovenError(Exception):
    """Raised by a check: it cannot be tried here. Its text says why, and what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a check measured; it has passed where no figure is above its tolerance.

    Attributes:
        values: figures by name, with the unit in the name.
        tolerance: the largest value allowed, for those figures that decide.
        detail: what was found, in words.
        pictures: by file name without suffix, functions that draw: arrays of shape (height, width, 3), uint8. They
            are called only where pictures are wanted.
    """

    values: Mapping[str, float]
    tolerance: Mapping[str, float]
    detail: str = ""
    pictures: Mapping[str, Callable[[], Any]] = field(default_factory=dict)

    @property
    def exceeded(self) -> tuple[str, ...]:
        """Names of the figures that are above their tolerance, or are no numbers."""
        return tuple(
            name for name, limit in self.tolerance.items() if math.isnan(self.values[name]) or self.values[name] > limit
        )

    def explain(self) -> str:
        """Give the detail, and what is wrong with the figures if anything is."""
        wrong = (f"{name}: {self.values[name]:.6g}, at most {self.tolerance[name]:.6g}" for name in self.exceeded)
        return "; ".join(part for part in (self.detail, *wrong) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One claim about the wheel, and how it is tried.

    Attributes:
        name: short, and stable: recipes name known defects by it.
        claim: what it proves, a sentence.
        run: gets the subject and "cpu" or "cuda".
        devices: those on which it means something.
    """

    name: str
    claim: str
    run: Callable[[Any, str], Measured]
    devices: tuple[str, ...] = BOTH

    @property
    def needs_gpu(self) -> bool:
        """Whether the CPU can prove nothing of it."""
        return self.devices == ("cuda",)


@dataclass(slots=True)
class Changes:
    """How often a broken kernel gave another answer than the wheel did."""

    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sabotage:
    """A negative control: the wheel with one fault put in.

    Attributes:
        name: of the fault.
        what: the fault, a sentence.
        breaks: gets the subject, and a counter in which the broken functions note each answer that they change; gives
            the subject with the fault.
        checks: names of the checks that are to notice; one of them is enough.
        devices: those on which it is tried.
    """

    name: str
    what: str
    breaks: Callable[[Any, Changes], Any]
    checks: tuple[str, ...]
    devices: tuple[str, ...] = BOTH


class Suite(Protocol):
    """The checks for one package's wheels."""

    @property
    def requires(self) -> tuple[str, ...]:
        """Requirements beside the wheel and torch."""
        ...

    def subject(self, *, quick: bool) -> Any:  # noqa: ANN401 - each suite has its own
        """Import the wheel and give what the checks try; `quick` asks for small sizes."""
        ...

    def checks(self, subject: Any) -> Sequence[Check]:  # noqa: ANN401
        """Give the checks, in the order in which they are shown."""
        ...

    def controls(self, subject: Any) -> Sequence[Sabotage]:  # noqa: ANN401
        """Give the faults that must be noticed."""
        ...


def load_suite(name: str) -> Suite:
    """Find a suite by its name: our own, then those of entry points.

    Raises:
        VerificationSetupError: there is none of that name, or it cannot be imported.
    """
    others = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in SUITES and name not in others:
        raise VerificationSetupError(
            f"no suite is named {name!r}",
            why=f"There are {', '.join(sorted({*SUITES, *others}))}.",
            remedy=f"Write one (docs/verifying.md) and name it in an entry point of the group {ENTRY_POINTS}.",
        )
    try:
        if name in others and name not in SUITES:
            found: Suite = others[name].load()
        else:
            module, _, attribute = SUITES[name].partition(":")
            found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as missing:
        raise VerificationSetupError(f"the suite {name!r} cannot be imported", why=repr(missing)) from missing
    return found


def requirements_of(name: str) -> tuple[str, ...]:
    """Give what a suite needs beside the wheel and torch, as requirements that pip understands.

    Raises:
        VerificationSetupError: there is no suite of that name, or it cannot be imported.
    """
    return load_suite(name).requires
