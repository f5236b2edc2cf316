"""What a verification found: findings, the controls that give them their weight, and what stays open.

Values of the standard library alone: they are made where the wheel runs, and read where the verdict is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

Status = Literal["proven", "failed", "known defect", "unproven"]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found on one device.

    Attributes:
        name: of the check.
        claim: what it is to prove, a sentence.
        status: "known defect" is a failure that the recipe expects, with evidence.
        device: "cpu" or "cuda".
        detail: what was found, in words.
        measured: figures by name, each with its unit in the name.
        tolerance: the largest value allowed, for those figures that decide.
        evidence: link for a known defect.
        pictures: file names in the output folder.
        seconds: that it took.
    """

    name: str
    claim: str
    status: Status
    device: str
    detail: str = ""
    measured: dict[str, float] = field(default_factory=dict)
    tolerance: dict[str, float] = field(default_factory=dict)
    evidence: str = ""
    pictures: tuple[str, ...] = ()
    seconds: float = 0.0

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Finding:
        """Read what `Verdict.to_json` wrote of it.

        Raises:
            KeyError: something is missing.
            TypeError: something is of the wrong kind, or unknown.
            ValueError: the status is none.
        """
        if value["status"] not in STATUSES:
            raise ValueError(f"{value['status']!r} is no status; there are {', '.join(STATUSES)}")
        return cls(**{**value, "pictures": tuple(value["pictures"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One way of breaking the wheel on purpose, and the checks that noticed.

    Attributes:
        name: of the fault.
        what: the fault, a sentence.
        caught_by: names of the checks that failed with the fault and only with it.
        device: where it was tried, "cpu" or "cuda".
        tried: names of the checks that were run with it.
        seconds: that all of them took.
    """

    name: str
    what: str
    caught_by: tuple[str, ...]
    device: str = "cpu"
    tried: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def caught(self) -> bool:
        """Whether any check noticed."""
        return bool(self.caught_by)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Control:
        """Read what `Verdict.to_json` wrote of it.

        Raises:
            KeyError: something is missing.
            TypeError: something is of the wrong kind, or unknown.
        """
        return cls(**{**value, "caught_by": tuple(value["caught_by"]), "tried": tuple(value["tried"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All that one run of a suite says of a wheel.

    Attributes:
        package: name of the distribution.
        version: of it.
        suite: which checks were run.
        findings: in the order of the checks.
        controls: broken kernels, one for each device on which they were tried.
        environment: python, torch, cuda, device name, capability, driver, platform and such.
        unproven: sentences that say exactly what this run leaves unproven.
        unseen: sentences on defects that were expected and did not show; no failure, but the recipe is out of date.
        wheel: its file name.
        wheel_sha256: its hash.
        finished: whether the run came to its end; one that was stopped before says in `unproven` how far it came.
    """

    package: str
    version: str
    suite: str
    findings: tuple[Finding, ...]
    controls: tuple[Control, ...]
    environment: dict[str, str]
    unproven: tuple[str, ...]
    wheel: str
    wheel_sha256: str
    unseen: tuple[str, ...] = ()
    finished: bool = True

    @property
    def void(self) -> bool:
        """Whether a broken kernel passed: then the findings say nothing."""
        return not all(control.caught for control in self.controls)

    @property
    def proven(self) -> bool:
        """Whether every check was run and passed, or failed as expected, and every broken kernel was noticed."""
        good = all(finding.status in {"proven", "known defect"} for finding in self.findings)
        whole = self.finished and bool(self.findings and self.controls)
        return whole and good and not self.void and not self.unproven

    @property
    def counts(self) -> dict[Status, int]:
        """How many findings have each status."""
        return {status: sum(finding.status == status for finding in self.findings) for status in STATUSES}

    def to_json(self) -> dict[str, Any]:
        """Give plain values; what follows from others is given too, for readers of the file."""
        return {**asdict(self), "void": self.void, "proven": self.proven, "counts": self.counts}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Verdict:
        """Read what `to_json` wrote.

        Raises:
            KeyError: something is missing.
            TypeError: something is of the wrong kind, or unknown.
            ValueError: a status is none.
        """
        derived = {"void", "proven", "counts"}
        given = {name: item for name, item in value.items() if name not in derived}
        return cls(
            **{
                **given,
                "findings": tuple(Finding.from_json(item) for item in value["findings"]),
                "controls": tuple(Control.from_json(item) for item in value["controls"]),
                "unproven": tuple(value["unproven"]),
                "unseen": tuple(value.get("unseen", ())),
            }
        )
