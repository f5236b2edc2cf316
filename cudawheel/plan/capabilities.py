"""Which of the requested compute capabilities a CUDA release can compile, and why not the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cudawheel.data import CapabilitySpan, capability_spans
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.capability_request import CapabilityContext, CapabilityRequest
from cudawheel.model.capability_set import CapabilitySet
from cudawheel.model.version import CudaVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of one requested capability.

    Attributes:
        cubin: machine code was asked for.
        ptx: PTX was asked for.
        reason: why it is rejected; empty when it is accepted.
    """

    capability: ComputeCapability
    cubin: bool
    ptx: bool
    reason: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the wheel will carry it."""
        return not self.reason


def compilable(cuda: CudaVersion) -> tuple[ComputeCapability, ...]:
    """Give the capabilities without suffix that nvcc of this release compiles, from the table."""
    spans = capability_spans()
    return tuple(sorted(c for c, span in spans.items() if not c.suffix and not rejection(c, cuda, spans)))


def removed(cuda: CudaVersion) -> tuple[ComputeCapability, ...]:
    """Give the capabilities without suffix that only earlier CUDA releases compile; renamed ones are not among them."""
    spans = capability_spans()
    return tuple(
        sorted(c for c, span in spans.items() if not c.suffix and not span.successor and span.last and span.last < cuda)
    )


def rejection(
    capability: ComputeCapability, cuda: CudaVersion, spans: Mapping[ComputeCapability, CapabilitySpan]
) -> str:
    """Say why a CUDA release cannot compile for a capability; empty when it can."""
    span = spans.get(capability)
    if span is None:
        return "no CUDA release is known to compile for it"
    if cuda < span.first:
        return f"needs CUDA {span.first}, this is {cuda}"
    if span.last is not None and cuda > span.last:
        renamed = f"; it is called {span.successor} since" if span.successor else ""
        removed_in = CudaVersion(span.last.major + 1, 0)
        return f"removed in CUDA {removed_in}, last in {span.last}{renamed}"
    return ""


def judge(request: CapabilityRequest, cuda: CudaVersion, context: CapabilityContext) -> tuple[Verdict, ...]:
    """Accept or reject every capability of a request for one CUDA release, lowest first.

    Raises:
        CapabilityError: a word of the request stands for nothing here, such as `native` without a GPU.
    """
    asked = request.expand(context)
    return tuple(
        Verdict(
            capability=capability,
            cubin=capability in asked.cubins,
            ptx=capability in asked.ptx,
            reason=rejection(capability, cuda, capability_spans()),
        )
        for capability in sorted({*asked.cubins, *asked.ptx})
    )


def accepted(verdicts: tuple[Verdict, ...]) -> CapabilitySet:
    """Collect what the verdicts let through."""
    return CapabilitySet.of(
        (verdict.capability for verdict in verdicts if verdict.accepted and verdict.cubin),
        (verdict.capability for verdict in verdicts if verdict.accepted and verdict.ptx),
    )
