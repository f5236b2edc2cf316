"""CW401: METADATA does not require the torch that the binary was built for."""

from __future__ import annotations

from packaging.requirements import Requirement

from cudawheel.audit.checks.base import Check, Subject, Violation
from cudawheel.audit.expectation import Expectation


class TorchRequirement(Check):
    """One unconditional requirement on torch, as wide as the ABI promise and no wider.

    It is what lets pip and uv choose the right wheel for a pinned torch, and keeps them from another one.
    """

    code = "CW401"
    title = "torch requirement"

    def run(self, subject: Subject, expectation: Expectation) -> tuple[Violation, ...]:
        """Compare METADATA's requirement with that of the promise; without torch there is none."""
        if not expectation.requirement:
            return ()
        wanted = Requirement(expectation.requirement)
        present = [requirement for requirement in subject.wheel.requirements if requirement.name.lower() == "torch"]
        if [(item.specifier, item.marker) for item in present] == [(wanted.specifier, None)]:
            return ()
        found = "; ".join(str(requirement) for requirement in present)
        return (
            self.violation(
                where=f"{subject.wheel.dist_info}/METADATA",
                found=f"Requires {found}, not {wanted}." if found else f"Does not require {wanted}.",
                remedy="Have cudawheel rewrite the wheel; if the promise itself is wrong, change abi in the recipe.",
            ),
        )
