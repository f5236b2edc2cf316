"""Checks that only a GPU can answer, and that the wheel has code for one."""

from __future__ import annotations

import torch

from cudawheel.verify.suite import Check, Measured, UnprovenError
from cudawheel.verify.suites.chamferdist.subject import Subject, cloud, judge_all, report, run
from cudawheel.verify.suites.evidence import Calls, look_for_device_code, look_for_kernels

_HELD_BACK = 100_000_000  # clock cycles that a stream sleeps, about 60 ms: long beside what is launched meanwhile


def device_code(subject: Subject, device: str) -> Measured:  # noqa: ARG001 - every check is called alike
    """Look for device code in the wheel."""
    return look_for_device_code(subject.libraries)


def kernels_ran(subject: Subject, device: str) -> Measured:
    """Look for the kernels of the search, and of its gradient."""
    # A CPU path that sorts as it goes takes some tenths of a second for so many pairs.
    here = [torch.from_numpy(cloud(seed, 2, 900, 3)).requires_grad_() for seed in (60, 61)]
    there = [points.detach().to(device).requires_grad_() for points in here]

    def search(points: list[torch.Tensor]) -> object:
        return subject.knn(points[0], points[1], None, None, 1)

    def differentiate(points: list[torch.Tensor]) -> object:
        return torch.autograd.grad(subject.chamfer(points[0], points[1]), points)

    size = sum(points.nbytes for points in here)
    functions = {
        "neighbours": Calls(here=lambda: search(here), there=lambda: search(there), size=size),
        "gradients": Calls(here=lambda: differentiate(here), there=lambda: differentiate(there), size=size),
    }
    return look_for_kernels(functions, subject.libraries)


def streams(subject: Subject, device: str) -> Measured:
    """Search in a stream of its own, for points that arrive there late."""
    one, other = cloud(62, 2, 300, 3), cloud(63, 2, 400, 3)
    first, second = torch.from_numpy(one).to(device), torch.from_numpy(other).to(device)
    subject.knn(first, second, None, None, 2)
    late = torch.zeros_like(second)
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(_HELD_BACK)  # noqa: SLF001 - the one way to hold a stream back
        late.copy_(second)
        answer = subject.knn(first, late, None, None, 2)
    torch.cuda.synchronize()
    return report(judge_all(one, other, answer, first, 2), "with points that arrive late")


def second_device(subject: Subject, device: str) -> Measured:
    """Search on another GPU than the current one."""
    if torch.cuda.device_count() == 1:
        raise UnprovenError("needs a second GPU, and there is one")
    before = torch.cuda.current_device()
    try:
        faults = run(subject, cloud(64, 2, 60, 3), cloud(65, 2, 70, 3), 2, f"{device}:{torch.cuda.device_count() - 1}")
        after = torch.cuda.current_device()
    finally:
        torch.cuda.set_device(before)
    measured = report(faults, f"with device {before} as the current one")
    changed = {"current device changed": float(after != before)}
    return Measured(
        values={**measured.values, **changed},
        tolerance={**measured.tolerance, "current device changed": 0},
        detail=measured.detail,
    )


CHECKS = (
    Check(name="device code", claim="The wheel carries device code.", run=device_code, devices=("cpu",)),
    Check(
        name="kernels ran",
        claim="On the GPU the wheel's own kernels do the work, forwards and backwards, and the CPU does not.",
        run=kernels_ran,
        devices=("cuda",),
    ),
    Check(
        name="streams",
        claim="Work goes to the current stream: what arrives there late is waited for.",
        run=streams,
        devices=("cuda",),
    ),
    Check(
        name="second device",
        claim="Points on another GPU than the current one are worked on there, and the current one stays what it was.",
        run=second_device,
        devices=("cuda",),
    ),
)
