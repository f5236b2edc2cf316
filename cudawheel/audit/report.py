"""The audit of one wheel: all checks run, all that they found in one value."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cudawheel.audit.checks import CHECKS, Subject, Violation
from cudawheel.audit.expectation import Expectation
from cudawheel.audit.inspection import Inspection, inspect_wheel
from cudawheel.audit.platform_tag import PlatformTag, find_platform_tag
from cudawheel.audit.shared_object import SharedObject
from cudawheel.errors import AuditError
from cudawheel.model.capability_set import CapabilitySet
from cudawheel.wheel.reading import Wheel


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What an audit found.

    Attributes:
        wheel: the file.
        violations: in the order of the checks' codes; none for a good wheel.
        inspection: its ELF files and their device code.
        platform: the platform tag that it has earned.
    """

    wheel: Path
    violations: tuple[Violation, ...]
    inspection: Inspection = field(repr=False)
    platform: PlatformTag

    @property
    def ok(self) -> bool:
        """Whether no check found anything."""
        return not self.violations

    @property
    def capabilities(self) -> CapabilitySet:
        """All that any of its objects was compiled for."""
        return self.inspection.capabilities

    def require_ok(self) -> None:
        """Let a good wheel pass.

        Raises:
            AuditError: the wheel has violations; each is named with its remedy.
        """
        if self.violations:
            raise AuditError(
                f"{self.wheel.name} is not what was planned",
                why="\n".join(f"{item.code} {item.title}: {item.where}: {item.found}" for item in self.violations),
                remedy="\n".join(dict.fromkeys(item.remedy for item in self.violations)),
            )

    def to_dict(self) -> dict[str, Any]:
        """Give the report as plain values, ready for JSON."""
        return {
            "wheel": self.wheel.name,
            "ok": self.ok,
            "platform": asdict(self.platform),
            "capabilities": _spell(self.capabilities),
            "objects": [_describe(item) for item in self.inspection.objects],
            "violations": [asdict(item) for item in self.violations],
        }


def audit(path: Path, expectation: Expectation) -> AuditReport:
    """Run every check on a wheel.

    Raises:
        WheelError: it cannot be read as a wheel at all.
    """
    wheel = Wheel.read(path)
    subject = Subject(
        wheel=wheel,
        inspection=inspect_wheel(wheel),
        platform=find_platform_tag(path, allowed_libraries=expectation.allowed_libraries),
    )
    violations = tuple(item for check in CHECKS for item in check.run(subject, expectation))
    return AuditReport(wheel=path, violations=violations, inspection=subject.inspection, platform=subject.platform)


def _describe(item: SharedObject) -> dict[str, Any]:
    counts = item.device_code.count()
    return {
        "name": item.name,
        "machine": item.machine,
        "needed": list(item.linkage.needed),
        "capabilities": _spell(item.device_code.capabilities),
        "partial": _spell(item.device_code.partial),
        "entries": {f"{'PTX ' if key.ptx else ''}{key.capability}": count for key, count in counts.items()},
    }


def _spell(capabilities: CapabilitySet) -> dict[str, list[str]]:
    return {
        "cubins": [str(capability) for capability in capabilities.cubins],
        "ptx": [str(capability) for capability in capabilities.ptx],
    }
