"""How values are said on the page."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import PurePosixPath
from typing import NamedTuple

from cudawheel.audit.checks import CHECKS
from cudawheel.data import known_for
from cudawheel.model.capability import ComputeCapability, Support
from cudawheel.model.counting import count
from cudawheel.report.build_record import BuildRecord
from cudawheel.report.values import Survey, WheelFacts
from cudawheel.schedule.plot_scale import duration, memory
from cudawheel.verify.page import answer_of
from cudawheel.verify.verdict import Verdict

# A control character is an error in HTML; marks of direction would let a name read as another.
_UNSHOWN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024
_FEW = 10


class Badge(NamedTuple):
    """A result in a word: its class in the style sheet, its mark, which differs in shape, and the word."""

    kind: str
    mark: str
    word: str


_SUPPORT = {
    Support.NATIVE: Badge("native", "●", "native"),
    Support.PTX: Badge("ptx", "◐", "PTX"),
    Support.NONE: Badge("none", "○", "no"),
}


def clean(text: str) -> str:
    """Replace what cannot be shown, or would make a text look like another."""
    return _UNSHOWN.sub("\ufffd", text)


def size(number: int) -> str:
    """Say how large a file is: `185 KiB`, `3.0 MiB`."""
    value, power = float(number), 0
    while value >= _STEP and power < len(_UNITS) - 1:
        value, power = value / _STEP, power + 1
    return f"{value:.1f} {_UNITS[power]}" if power and value < _FEW else f"{value:.0f} {_UNITS[power]}"


def moment(when: datetime) -> str:
    """Say a point in time, in UTC."""
    return f"{when.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"


def link(text: str) -> str:
    """Give an address that a page may link to; empty for everything that is no web page."""
    return text if re.match(r"https?://[^\s]+\Z", text) else ""


def support(wheel: WheelFacts, gpu: ComputeCapability) -> Badge:
    """Say how a GPU runs a wheel with device code."""
    if gpu in wheel.apart:
        return Badge("none", "○", "Arm only")
    return _SUPPORT[wheel.supports[gpu]]


def capability(number: ComputeCapability) -> str:
    """Name a capability with the GPUs that it is known for."""
    name = known_for().get(number.base, "")
    return f"{number} ({name})" if name else str(number)


def audit(record: BuildRecord | None) -> Badge:
    """Say what the audit found."""
    if record is None:
        return Badge("dim", "·", "no record")
    if record.audit.ok and not record.audit.violations:
        return Badge("good", "✓", "passed")
    return Badge("bad", "✗", "failed")


def verification(wheel: WheelFacts) -> Badge:
    """Say what the verification found, in a word."""
    verdict = wheel.evidence.verdict
    if verdict is None:
        fault = wheel.evidence.verdict_fault
        return Badge("bad", "✗", "not readable") if fault else Badge("dim", "·", "not verified")
    kind = answer_of(verdict)[1]
    if kind == "bad":
        return Badge("bad", "✗", "void" if verdict.void else "failed")
    if kind == "known":
        return Badge("known", "!", "known defects")
    if not verdict.counts["proven"]:
        return Badge("known", "!", "nothing proven")
    # Without its controls, or with something that was not tried, a verdict proves less than it seems to.
    return Badge("good", "✓", "proven") if verdict.proven else Badge("known", "!", "proven in part")


def untried(verdict: Verdict) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Give the reasons for which checks were not tried, each with the checks: they are many, and the reasons few."""
    reasons: dict[str, list[str]] = {}
    for finding in verdict.findings:
        if finding.status == "unproven":
            reasons.setdefault(f"on {finding.device}: {finding.detail or 'no reason given'}", []).append(finding.name)
    return tuple((reason, tuple(names)) for reason, names in reasons.items())


_SIGNATURES = {
    "right": Badge("good", "✓", "signed, checked"),
    "by an unknown key": Badge("known", "!", "signed by an unknown key"),
    "not checked": Badge("known", "!", "signed, not checked"),
}


def signature(wheel: WheelFacts) -> Badge:
    """Say whether somebody has signed it, and what is known of that."""
    if wheel.evidence.attestation is not None:
        return _SIGNATURES[wheel.evidence.attestation.standing]
    return Badge("bad", "✗", "not valid") if wheel.evidence.attestation_fault else Badge("dim", "·", "not signed")


def checks(record: BuildRecord, running: str) -> tuple[tuple[str, str], ...]:
    """Give code and title of each check that a wheel passed; none where another cudawheel, with others, made it."""
    if record.cudawheel != running or not record.audit.ok:
        return ()
    return tuple((check.code, check.title) for check in CHECKS)


def install(survey: Survey, wheel: WheelFacts) -> str:
    """Write the command that installs this wheel and no other."""
    folder = str(PurePosixPath(survey.folder) / wheel.folder)
    return shlex.join(["pip", "install", "--find-links", folder, f"{wheel.project}=={wheel.version}"])


def summary(survey: Survey) -> tuple[tuple[str, str], ...]:
    """Say in figures what a wheelhouse holds."""
    wheels = survey.wheels
    records = [wheel.evidence.record for wheel in wheels if wheel.evidence.record is not None]
    rows = [("Wheels", f"{count(len(wheels), 'wheel')} of {count(len({w.project for w in wheels}), 'project')}")]
    rows.append(("Size", size(sum(wheel.size for wheel in wheels))))
    if records:
        seconds, peak = sum(r.build.seconds for r in records), max(r.build.peak_memory for r in records)
        rows.append(
            ("Built", f"{len(records)} with a build record: {duration(seconds)} in all, {memory(peak)} at most")
        )
    rows.append(("Verified", _counted(verification(wheel) for wheel in wheels)))
    rows.append(("Signed", _counted(signature(wheel) for wheel in wheels)))
    rows.append(
        ("Not offered", count(len(survey.refused), "file that is no sound wheel", "files that are no sound wheels"))
    )
    rows.append(("Other files", count(len(survey.strays), "file")))
    return tuple((name, value) for name, value in rows if value)


def _counted(badges: Iterable[Badge]) -> str:
    words = [badge.word for badge in badges]
    return ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
