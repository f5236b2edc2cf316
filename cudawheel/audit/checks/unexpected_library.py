"""CW201: an object needs a library that a user cannot be expected to have."""

from __future__ import annotations

from cudawheel.audit.checks.base import Check, Subject, Violation
from cudawheel.audit.expectation import Expectation
from cudawheel.audit.policy import load_policy, matches


class UnexpectedLibrary(Check):
    """DT_NEEDED names only libraries of manylinux, torch, CUDA, the wheel itself, or the recipe's list."""

    code = "CW201"
    title = "unexpected library"

    def run(self, subject: Subject, expectation: Expectation) -> tuple[Violation, ...]:
        """Compare what each object needs with what will be there."""
        policy = load_policy()
        own = {member.name.rpartition("/")[2] for member in subject.wheel.members}
        expected = (*policy.manylinux_libraries, *policy.runtime_patterns, *expectation.allowed_libraries)
        return tuple(
            self.violation(
                where=item.name,
                found=f"Needs {library}, which neither Linux, torch nor CUDA brings.",
                remedy="Link it statically or leave it out; if users are to have it, add it to the recipe's allowed "
                "external libraries.",
            )
            for item in subject.inspection.objects
            for library in item.linkage.needed
            if library not in own and not matches(library, expected)
        )
