"""What a diagnosis says: what was found, whether it is good, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class Severity(IntEnum):
    """How bad a finding is; a higher one outweighs a lower one."""

    GOOD = 0
    NOTE = 1
    WARNING = 2
    PROBLEM = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding.

    Attributes:
        section: what it is about: `memory`, `GPU`, `nvcc` and so on.
        code: its own name, which stays the same from release to release.
        found: what was found, one line.
        remedy: what to do, a line for each step; empty where there is nothing to do.
    """

    section: str
    code: str
    severity: Severity
    found: str
    remedy: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give it as plain values."""
        return {
            "section": self.section,
            "code": self.code,
            "severity": self.severity.name.lower(),
            "found": self.found,
            "remedy": list(self.remedy),
        }


def worst(findings: Iterable[Finding]) -> Severity:
    """Give the highest severity; good where there is nothing."""
    return max((finding.severity for finding in findings), default=Severity.GOOD)
