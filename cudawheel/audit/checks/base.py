"""What a check is: a code, a title, and a run that looks at a wheel and returns what is wrong with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cudawheel.audit.expectation import Expectation
from cudawheel.audit.inspection import Inspection
from cudawheel.audit.platform_tag import PlatformTag
from cudawheel.wheel.reading import Wheel


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A wheel under audit, read once for all checks.

    Attributes:
        wheel: its names, METADATA and RECORD.
        inspection: its ELF files.
        platform: the platform tag that it has earned.
    """

    wheel: Wheel
    inspection: Inspection
    platform: PlatformTag


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One thing that is wrong with a wheel.

    Attributes:
        code: of the check that found it, `CW101`.
        title: of that check.
        where: the member, or the wheel's file name.
        found: what is there, and what ought to be.
        remedy: what to change.
    """

    code: str
    title: str
    where: str
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.code} {self.title}: {self.where}: {self.found} {self.remedy}"


class Check(ABC):
    """One rule. Codes are part of the interface: a number is never given to another rule.

    The hundreds are device code (1), linking (2), the wheel's form (3), and ABI promises (4).
    """

    code: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def run(self, subject: Subject, expectation: Expectation) -> tuple[Violation, ...]:
        """Give every violation of the rule; none if the wheel keeps it."""

    def violation(self, *, where: str, found: str, remedy: str) -> Violation:
        """Make a violation of this rule."""
        return Violation(code=self.code, title=self.title, where=where, found=found, remedy=remedy)


def shorten(names: Sequence[str], most: int = 5) -> str:
    """List names for a message, the first few of many."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
