"""The GPUs of this machine, as the driver's own tool names them."""

from __future__ import annotations

from cudawheel.errors import CapabilityError
from cudawheel.model.capability import ComputeCapability
from cudawheel.process import capture


def visible_gpus() -> tuple[ComputeCapability, ...]:
    """Give the capabilities of the visible GPUs, sorted; empty where there is no driver or no GPU."""
    answer = capture(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"], timeout=20.0)
    if not answer.ok:
        return ()
    found = set()
    for line in answer.output.splitlines():
        try:
            found.add(ComputeCapability.parse(line))
        except CapabilityError:
            # nvidia-smi prints its complaints where the numbers belong.
            continue
    return tuple(sorted(found))
