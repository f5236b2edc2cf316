"""The suite for chamferdist: nearest neighbours between point clouds, and the chamfer distance, on CPU and CUDA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cudawheel.verify.suite import Check, Sabotage


class ChamferdistSuite:
    """Checks against brute force in float64."""

    requires = ("numpy",)

    def subject(self, *, quick: bool) -> Any:  # noqa: ANN401 - it imports torch, which is not to be needed here
        """Import the wheel."""
        from cudawheel.verify.suites.chamferdist.subject import load  # noqa: PLC0415

        return load(quick=quick)

    def checks(self, subject: Any) -> Sequence[Check]:  # noqa: ANN401, ARG002
        """Give all checks."""
        from cudawheel.verify.suites.chamferdist import arguments, chamfer, gpu, gradients, nearest  # noqa: PLC0415

        return tuple(check for part in (nearest, chamfer, gradients, arguments, gpu) for check in part.CHECKS)

    def controls(self, subject: Any) -> Sequence[Sabotage]:  # noqa: ANN401, ARG002
        """Give the faults that must be noticed."""
        from cudawheel.verify.suites.chamferdist.controls import CONTROLS  # noqa: PLC0415

        return CONTROLS


SUITE = ChamferdistSuite()
