"""CW201: an object needs a library that a user cannot be expected to have."""

from __future__ import annotations

from packaging.utils import canonicalize_name

from cudawheel.audit.checks.base import Check, Subject, Violation
from cudawheel.audit.expectation import Expectation
from cudawheel.audit.policy import load_policy, matches


class UnexpectedLibrary(Check):
    """DT_NEEDED names only libraries of manylinux, torch, CUDA, the wheel itself, or the recipe's list.

    torch brings CUDA's libraries along. A wheel that is built without torch has to require them itself.
    """

    code = "CW201"
    title = "unexpected library"

    def run(self, subject: Subject, expectation: Expectation) -> tuple[Violation, ...]:
        """Compare what each object needs with what will be there."""
        policy = load_policy()
        own = {member.name.rpartition("/")[2] for member in subject.wheel.members}
        expected = (*policy.manylinux_libraries, *_brought(subject, expectation), *expectation.allowed_libraries)
        return tuple(
            self.violation(
                where=item.name,
                found=f"Needs {library}, which {_nobody(expectation)} brings.",
                remedy="Link it statically or leave it out; if users are to have it, add it to the recipe's allowed "
                f"external libraries{_or_require(expectation)}.",
            )
            for item in subject.inspection.objects
            for library in item.linkage.needed
            if library not in own and not matches(library, expected)
        )


def _brought(subject: Subject, expectation: Expectation) -> tuple[str, ...]:
    """Give the patterns of what torch, its requirements, those of the wheel, and the driver bring."""
    policy = load_policy()
    if expectation.torch is not None:
        return policy.runtime_patterns
    names = {canonicalize_name(requirement.name) for requirement in subject.wheel.requirements}
    # NVIDIA's packages of libraries: nvidia-cublas and its like, or all of them by way of cuda-toolkit.
    cuda = any(name == "cuda-toolkit" or name.startswith("nvidia-") for name in names)
    providers = {"driver", "cuda"} if cuda else {"driver"}
    return tuple(entry.pattern for entry in policy.runtime_libraries if entry.provider in providers)


def _nobody(expectation: Expectation) -> str:
    return "neither Linux, torch nor CUDA" if expectation.torch is not None else "neither Linux nor a requirement of it"


def _or_require(expectation: Expectation) -> str:
    return "" if expectation.torch is not None else ", or, if CUDA has it, its package to cuda-libraries"
