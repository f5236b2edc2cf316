"""CW102: a wheel without device code where CUDA is required, as builds leave that find no toolkit and go on."""

from __future__ import annotations

from cudawheel.audit.checks.base import Check, Subject, Violation
from cudawheel.audit.expectation import Expectation


class DeviceCodeAbsent(Check):
    """A build that fell back to CPU code in silence is a failed build."""

    code = "CW102"
    title = "device code absent"

    def run(self, subject: Subject, expectation: Expectation) -> tuple[Violation, ...]:
        """Look for one object with a kernel in it."""
        if not expectation.cuda_required or subject.inspection.coded:
            return ()
        hollow = [item.name for item in subject.inspection.objects if item.device_code.containers]
        found = (
            f"{', '.join(hollow)} has fatbins, but no kernel in any of them."
            if hollow
            else f"None of its {len(subject.inspection.objects)} ELF files has a fatbin."
        )
        return (
            self.violation(
                where=subject.wheel.path.name,
                found=found,
                remedy="The build did not find CUDA, or was told to leave it out: search its log for 'CUDA', and set "
                "the package's own switch (such as FORCE_CUDA=1) in the recipe. If this package is meant to do "
                'without, write cuda = "optional".',
            ),
        )
