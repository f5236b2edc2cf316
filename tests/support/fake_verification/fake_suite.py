"""A suite whose checks do what can happen to one; FAKE_CHECKS and FAKE_CONTROLS name those that it has."""

# ruff: noqa: ARG001, ARG002 - every check is called alike, whatever it needs

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cudawheel.verify.suite import BOTH, Changes, Check, Measured, Sabotage, UnprovenError, WrongError


@dataclass(frozen=True)
class Subject:
    """A function that should give 4."""

    answer: Callable[[], float]
    quick: bool


def _measure(subject: Subject, device: str) -> Measured:
    off = abs(subject.answer() - 4)
    picture = np.zeros((2, 3, 3), np.uint8)
    return Measured(values={"off": off}, tolerance={"off": 0.5}, detail="looked", pictures={"dot": lambda: picture})


def _die(subject: Subject, device: str) -> Measured:
    sys.stderr.write("CUDA kernel failed : for a reason\n")
    sys.stderr.flush()
    os._exit(7)


def _crash(subject: Subject, device: str) -> Measured:
    os.kill(os.getpid(), signal.SIGSEGV)
    return _hang(subject, device)


def _hang(subject: Subject, device: str) -> Measured:
    time.sleep(120)
    return _measure(subject, device)


def _end_program(subject: Subject, device: str) -> Measured:
    os.kill(os.getppid(), signal.SIGKILL)
    return _measure(subject, device)


def _raise(subject: Subject, device: str) -> Measured:
    raise ZeroDivisionError("of all things")


def _find_wrong(subject: Subject, device: str) -> Measured:
    raise WrongError("no sense in it")


def _cannot(subject: Subject, device: str) -> Measured:
    raise UnprovenError("needs two moons")


def _not_a_number(subject: Subject, device: str) -> Measured:
    return Measured(values={"off": float("nan")}, tolerance={"off": 1.0})


def _chatter(subject: Subject, device: str) -> Measured:
    os.write(1, b"native code that prints\n")
    return _measure(subject, device)


def _break_gpu(subject: Subject, device: str) -> Measured:
    import torch  # noqa: PLC0415 - the fake one

    if device == "cuda":
        torch.GPU["broken"] = True
    return _measure(subject, device)


def _is_small(subject: Subject, device: str) -> Measured:
    return Measured(
        values={"off": abs(subject.answer() - 4), "large": float(not subject.quick)}, tolerance={"off": 0.5}
    )


RUNS: dict[str, tuple[Callable[[Subject, str], Measured], tuple[str, ...]]] = {
    "good": (_measure, BOTH),
    "good on the GPU": (_measure, ("cuda",)),
    "dies": (_die, ("cpu",)),
    "dies again": (_die, ("cpu",)),
    "dies once more": (_die, ("cpu",)),
    "crashes": (_crash, ("cpu",)),
    "hangs": (_hang, ("cpu",)),
    "ends the program": (_end_program, ("cpu",)),
    "raises": (_raise, ("cpu",)),
    "wrong": (_find_wrong, ("cpu",)),
    "cannot": (_cannot, ("cpu",)),
    "not a number": (_not_a_number, ("cpu",)),
    "chatters": (_chatter, ("cpu",)),
    "breaks the GPU": (_break_gpu, BOTH),
    "size": (_is_small, ("cpu",)),
}


def _other(value: float) -> Callable[[Subject, Changes], Subject]:
    def breaks(subject: Subject, changes: Changes) -> Subject:
        def answer() -> float:
            changes.count += subject.answer() != value
            return value

        return replace(subject, answer=answer)

    return breaks


CONTROLS = {
    "far off": Sabotage(name="far off", what="5 instead of 4", breaks=_other(5), checks=("good", "size", "raises")),
    "hardly off": Sabotage(name="hardly off", what="4.1 instead of 4", breaks=_other(4.1), checks=("good",)),
    "no change": Sabotage(name="no change", what="4 instead of 4", breaks=_other(4), checks=("good", "raises")),
}


def _named(variable: str) -> list[str]:
    return [name for name in os.environ.get(variable, "").split(",") if name]


class FakeSuite:
    """The suite."""

    requires = ("numpy",)

    def subject(self, *, quick: bool) -> Subject:
        return Subject(answer=lambda: 4.0, quick=quick)

    def checks(self, subject: Subject) -> list[Check]:
        return [
            Check(name=name, claim=f"It is {name}.", run=RUNS[name][0], devices=RUNS[name][1])
            for name in _named("FAKE_CHECKS")
        ]

    def controls(self, subject: Subject) -> list[Sabotage]:
        return [CONTROLS[name] for name in _named("FAKE_CONTROLS")]


class BrokenSuite(FakeSuite):
    """One whose wheel cannot be imported."""

    def subject(self, *, quick: bool) -> Any:
        raise ImportError("libfake.so: cannot open shared object file")


SUITE, BROKEN = FakeSuite(), BrokenSuite()
