"""The suite for torchmcubes: marching cubes and trilinear interpolation, on the CPU and on CUDA devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cudawheel.verify.suite import Check, Sabotage


class TorchmcubesSuite:
    """Checks of both functions against references that share no code and no case table with them."""

    # The last three are what cudawheel.triposr needs to decode a fitted scene.
    requires = ("numpy", "scipy", "scikit-image", "safetensors", "pydantic", "pyyaml")

    def subject(self, *, quick: bool) -> Any:  # noqa: ANN401 - it imports torch, which is not to be needed here
        """Import the wheel."""
        from cudawheel.verify.suites.torchmcubes.subject import load  # noqa: PLC0415

        return load(quick=quick)

    def checks(self, subject: Any) -> Sequence[Check]:  # noqa: ANN401, ARG002
        """Give all checks; those of the fitted scenes say so where the scenes are missing."""
        from cudawheel.verify.suites.torchmcubes import (  # noqa: PLC0415
            arguments,
            gpu,
            interpolation,
            origin,
            scenes,
            shapes,
            surface,
        )

        parts = (origin, surface, shapes, scenes, arguments, interpolation, gpu)
        return tuple(check for part in parts for check in part.CHECKS)

    def controls(self, subject: Any) -> Sequence[Sabotage]:  # noqa: ANN401, ARG002
        """Give the faults that must be noticed."""
        from cudawheel.verify.suites.torchmcubes.controls import CONTROLS  # noqa: PLC0415

        return CONTROLS


SUITE = TorchmcubesSuite()
