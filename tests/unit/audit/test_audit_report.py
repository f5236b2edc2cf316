from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest
from audit_fixtures import Compile, MakeWheel
from fatbin_files import make_code

from cudawheel.audit.expectation import Expectation
from cudawheel.audit.report import audit
from cudawheel.errors import AuditError, WheelError
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.capability_set import CapabilitySet
from cudawheel.model.version import TorchVersion

EXPECTATION = Expectation(
    torch=TorchVersion(2, 11),
    capabilities=CapabilitySet.of([ComputeCapability(8, 0), ComputeCapability(12, 0)], [ComputeCapability(12, 0)]),
)
TAG = f"cp312-cp312-linux_{platform.machine()}"


def test_a_good_wheel_passes_and_reports_what_it_carries(compile_object: Compile, make_wheel: MakeWheel) -> None:
    member = compile_object(fatbin=make_code("80", "120", ptx=["120"]))
    report = audit(make_wheel({"demo/_C.so": member}, tag=TAG), EXPECTATION)
    assert report.ok, report.violations
    report.require_ok()
    assert report.capabilities == EXPECTATION.capabilities
    facts = json.loads(json.dumps(report.to_dict()))
    assert facts["ok"] is True
    assert facts["capabilities"] == {"cubins": ["8.0", "12.0"], "ptx": ["12.0"]}
    assert facts["objects"][0]["entries"] == {"8.0": 1, "12.0": 1, "PTX 12.0": 1}
    assert facts["platform"]["tag"].endswith(platform.machine())


def test_a_bad_wheel_is_refused_with_every_reason_and_remedy(compile_object: Compile, make_wheel: MakeWheel) -> None:
    members = {"demo/_C.so": compile_object("-g"), "demo/libcudart.so.13": b""}
    report = audit(make_wheel(members, tag=TAG, requires=("torch",)), EXPECTATION)
    assert [violation.code for violation in report.violations] == ["CW102", "CW202", "CW303", "CW401"]
    with pytest.raises(AuditError, match="is not what was planned") as caught:
        report.require_ok()
    assert all(violation.remedy in caught.value.remedy for violation in report.violations)
    assert "demo/libcudart.so.13" in caught.value.why
    assert [item["code"] for item in report.to_dict()["violations"]] == ["CW102", "CW202", "CW303", "CW401"]


def test_what_is_no_wheel_is_an_error_and_no_violation(tmp_path: Path) -> None:
    path = tmp_path / "demo_ext-1.0-py3-none-any.whl"
    path.write_bytes(b"PK")
    with pytest.raises(WheelError, match="cannot be read"):
        audit(path, EXPECTATION)
