"""Evidence of what ran on a GPU: the kernels that the driver recorded, and what was copied to and fro."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a call did.

    Attributes:
        kernels: their names, demangled, in order.
        to_host: bytes copied from the GPU.
        to_device: bytes copied to the GPU.
    """

    kernels: tuple[str, ...]
    to_host: int
    to_device: int

    def within(self, libraries: Sequence[Path]) -> tuple[str, ...]:
        """Give those kernels whose names stand in some of the shared objects, which register them by name."""
        code = [path.read_bytes() for path in libraries]
        names = dict.fromkeys(base_name(kernel) for kernel in self.kernels)
        return tuple(name for name in names if name and any(name.encode() in part for part in code))


def base_name(kernel: str) -> str:
    """Give the bare name of a kernel: `count` of `void (anonymous namespace)::count<256>(float const*)`."""
    plain = kernel.replace("(anonymous namespace)::", "").removeprefix("void ")
    found = _IDENTIFIER.search(re.split(r"[<(\[]", plain, maxsplit=1)[0].strip())
    return found.group() if found else ""


def trace(call: Callable[[], object]) -> Trace | None:
    """Record a call; None where the driver lets nobody record.

    Raises:
        Exception: whatever the call raises.
    """
    if torch.profiler.ProfilerActivity.CUDA not in torch.profiler.supported_activities():
        return None
    # What records is set up at its first use, and may miss what happens meanwhile.
    return _record(call) or _record(call)


def _record(call: Callable[[], object]) -> Trace | None:
    probe = torch.zeros(16, device="cuda")
    torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
            probe.add_(1)
            call()
            torch.cuda.synchronize()
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    kernels = tuple(event["name"] for event in events if event.get("cat") == "kernel")
    copies = [(event["name"], event["args"].get("bytes", 0)) for event in events if event.get("cat") == "gpu_memcpy"]
    if not kernels:
        return None
    return Trace(
        kernels=kernels,
        to_host=sum(size for name, size in copies if "DtoH" in name),
        to_device=sum(size for name, size in copies if "HtoD" in name),
    )
