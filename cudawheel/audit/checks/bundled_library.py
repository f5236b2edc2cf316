"""CW202: a wheel brings a library of torch, CUDA or the driver."""

from __future__ import annotations

from cudawheel.audit.checks.base import Check, Subject, Violation
from cudawheel.audit.expectation import Expectation
from cudawheel.audit.policy import load_policy


class BundledLibrary(Check):
    """A second copy of a library that torch loads itself breaks what the two copies ought to share."""

    code = "CW202"
    title = "bundled runtime library"

    def run(self, subject: Subject, expectation: Expectation) -> tuple[Violation, ...]:  # noqa: ARG002 - no exceptions
        """Compare every member's file name with the policy."""
        policy = load_policy()
        found = []
        for member in subject.wheel.members:
            entry = policy.find_runtime(member.name.rpartition("/")[2])
            if entry is not None and not entry.may_be_bundled:
                found.append(
                    self.violation(
                        where=member.name,
                        found=f"Belongs to {entry.provider}. {entry.why}",
                        remedy="Stop the build from installing it, or exclude it from whatever copies libraries into "
                        "the wheel (auditwheel repair --exclude).",
                    )
                )
        return tuple(found)
