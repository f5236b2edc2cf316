"""The GPUs of this machine, as the driver's own tool names them."""

from __future__ import annotations

import re

from cudawheel.model.capability import ComputeCapability
from cudawheel.process import capture

_NUMBER = re.compile(r"^\s*(\d+\.\d)\s*$", re.MULTILINE)


def visible_gpus() -> tuple[ComputeCapability, ...]:
    """Give the capabilities of the visible GPUs, sorted; empty where there is no driver or no GPU."""
    answer = capture(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"], timeout=20.0)
    if not answer.ok:
        return ()
    # Complaints are printed where the numbers belong, so whatever is no number is passed over.
    numbers = _NUMBER.findall(answer.output)
    return tuple(sorted({ComputeCapability.parse(number) for number in numbers}))
