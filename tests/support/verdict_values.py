"""Verdicts with everything filled in that a test does not care about."""

from __future__ import annotations

from typing import Any

from cudawheel.verify.verdict import Control, Finding, Status, Verdict

CAUGHT = Control(name="flipped", what="Every triangle is turned over.", caught_by=("sphere",))
ESCAPED = Control(name="shifted", what="All lies one voxel off.", caught_by=())


def finding(status: Status = "proven", device: str = "cpu", **values: Any) -> Finding:
    return Finding(**{"name": "sphere", "claim": "A sphere is round.", "status": status, "device": device, **values})


def verdict(*findings: Finding, controls: tuple[Control, ...] = (CAUGHT,), unproven: tuple[str, ...] = ()) -> Verdict:
    return Verdict(
        package="tiny-ext",
        version="1.0+cu130",
        suite="tiny",
        findings=findings,
        controls=controls,
        environment={"python": "3.12.1", "torch": "2.11.0"},
        unproven=unproven,
        wheel="tiny_ext-1.0-py3-none-any.whl",
        wheel_sha256="0" * 64,
    )
