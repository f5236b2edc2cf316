"""CW101: an object with device code was not compiled for a capability that the plan accepted."""

from __future__ import annotations

from cudawheel.audit.checks.base import Check, Subject, Violation
from cudawheel.audit.expectation import Expectation


class CapabilityMissing(Check):
    """Every object with device code carries every capability, or a GPU fails on the first kernel of the weakest."""

    code = "CW101"
    title = "capability missing"

    def run(self, subject: Subject, expectation: Expectation) -> tuple[Violation, ...]:
        """Compare the machine code and PTX of each object with the plan's."""
        return tuple(
            self.violation(
                where=item.name,
                found=f"Carries {item.device_code.capabilities}; lacks {missing}.",
                remedy="See the log for the -gencode flags that nvcc was given; the recipe has to say how this "
                "package's build takes the capability list.",
            )
            for item in subject.inspection.coded
            if (missing := expectation.capabilities - item.device_code.capabilities)
        )
