"""Demands, leases and reports with everything filled in that a test does not care about."""

from __future__ import annotations

from cudawheel.schedule.demand import Cost, Demand, Kind, Lease
from cudawheel.schedule.history import Compilation, CostKey
from cudawheel.schedule.limits import GIB
from cudawheel.schedule.recovery import Report

# What nvcc takes, in its own proportions: a part that is the same for any number of passes, and one for each of them.
FIXED, PER_PASS = 59.0, 31.0
# Of the former, what can run beside the passes.
BESIDE = 0.15


def make_key(
    package: str = "demo", *, fingerprint: str = "f", cuda: str = "13.0", torch: str = "2.11", memory: int = GIB
) -> CostKey:
    return CostKey(package=package, fingerprint=fingerprint, cuda=cuda, torch=torch, memory=memory)


def make_demand(
    source: str = "kernel.cu",
    *,
    kind: Kind = "device",
    passes: int = 1,
    memory: int = GIB,
    fixed: float = FIXED,
    per_pass: float = PER_PASS,
    beside: float = 0.0,
    most_threads: int = 1 << 16,
    alone: bool = False,
) -> Demand:
    return Demand(
        build="demo",
        source=source,
        kind=kind,
        passes=passes,
        cost=Cost(memory=memory, fixed=fixed, per_pass=per_pass, beside=beside),
        most_threads=most_threads,
        alone=alone,
    )


def make_lease(demand: Demand, threads: int = 1, *, started: float = 0.0, resident: int = 0) -> Lease:
    return Lease(demand=demand, threads=threads, started=started, resident=resident)


def make_report(
    *, code: int = 0, signal: int = 0, peak: int = GIB, cpu_seconds: float = 90.0, starved: bool = False
) -> Report:
    return Report(code=code, signal=signal, peak=peak, cpu_seconds=cpu_seconds, seconds=60.0, starved=starved)


def make_compilation(
    source: str = "kernel.cu",
    *,
    kind: Kind = "device",
    passes: int = 1,
    peak: int = GIB,
    cpu_seconds: float = 90.0,
) -> Compilation:
    return Compilation(
        source=source, kind=kind, passes=passes, threads=1, peak=peak, cpu_seconds=cpu_seconds, seconds=60.0
    )
