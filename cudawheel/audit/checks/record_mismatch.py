"""CW302: RECORD and the members disagree."""

from __future__ import annotations

from cudawheel.audit.checks.base import Check, Subject, Violation
from cudawheel.audit.expectation import Expectation


class RecordMismatch(Check):
    """RECORD lists each file with its hash; installers refuse or warn where it does not."""

    code = "CW302"
    title = "RECORD mismatch"

    def run(self, subject: Subject, expectation: Expectation) -> tuple[Violation, ...]:  # noqa: ARG002 - no exceptions
        """Hash every member."""
        return tuple(
            self.violation(
                where=mismatch.path,
                found=f"RECORD says {mismatch.expected}, found {mismatch.found}.",
                remedy="The wheel was changed after it was built. Build it again, and change it with cudawheel alone.",
            )
            for mismatch in subject.wheel.verify_record()
        )
