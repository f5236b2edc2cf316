"""CW303: debug sections that nobody was meant to download."""

from __future__ import annotations

from cudawheel.audit.checks.base import Check, Subject, Violation, shorten
from cudawheel.audit.expectation import Expectation


class DebugResidue(Check):
    """Debug sections can be several times as large as the code, and hold paths of the build machine."""

    code = "CW303"
    title = "debug residue"

    def run(self, subject: Subject, expectation: Expectation) -> tuple[Violation, ...]:  # noqa: ARG002 - no exceptions
        """Look for sections that only a debugger reads."""
        return tuple(
            self.violation(
                where=item.name,
                found=f"Holds {shorten(list(item.debug_sections))}.",
                remedy="Build without -g (CMAKE_BUILD_TYPE=Release; CFLAGS and CXXFLAGS ending in -g0), or have the "
                "build strip what it installs.",
            )
            for item in subject.inspection.objects
            if item.debug_sections
        )
