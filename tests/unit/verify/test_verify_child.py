"""The program that runs a suite: what becomes of checks that fail, end, hang or spoil the GPU, and of controls."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numpy", reason="what runs checks writes pictures with numpy")

from cudawheel.verify.child import Request, Run, Workers, judge
from cudawheel.verify.verdict import Finding, Verdict

PLACE = Path(__file__).parents[2] / "support" / "fake_verification"
EVIDENCE = "https://example.org/line"

Verify = Callable[..., Verdict]


def known(check: str, device: str = "*") -> dict[str, str]:
    return {"check": check, "device": device, "evidence": EVIDENCE, "why": "As is known."}


@pytest.fixture
def verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Verify:
    """Run the fake suite with some of its checks and controls; those of one name have one behaviour."""
    monkeypatch.setenv("PYTHONPATH", str(PLACE))

    def run(checks: str, *, controls: str = "", gpu_here: bool = False, patience: float = 60, **order: Any) -> Verdict:
        monkeypatch.setenv("FAKE_CHECKS", checks)
        monkeypatch.setenv("FAKE_CONTROLS", controls)
        if gpu_here:
            monkeypatch.setenv("FAKE_GPU", "1")
        request = Request(
            **{
                "suite": "fake",
                "package": "tiny",
                "version": "1.0",
                "wheel": "tiny-1.0-py3-none-any.whl",
                "wheel_sha256": "0" * 64,
                "out": tmp_path,
                **order,
            }
        )
        with closing(Workers(request, tmp_path / "checks.log", patience=patience)) as workers:
            return Run(request=request, workers=workers).go()

    return run


def only(verdict: Verdict, name: str, device: str = "cpu") -> Finding:
    (found,) = [finding for finding in verdict.findings if (finding.name, finding.device) == (name, device)]
    return found


def test_a_wheel_that_is_right_is_proven_and_its_pictures_are_there(verify: Verify, tmp_path: Path) -> None:
    verdict = verify("good,chatters", controls="far off", gpu_here=True)
    assert verdict.proven
    assert {finding.status for finding in verdict.findings} == {"proven"}
    assert only(verdict, "good", "cuda").measured == {"off": 0.0}
    assert [(control.device, control.caught_by) for control in verdict.controls] == [
        ("cpu", ("good",)),
        ("cuda", ("good",)),
    ]
    assert only(verdict, "good").pictures == ("dot-cpu.png",)
    assert (tmp_path / "dot-cpu.png").read_bytes().startswith(b"\x89PNG")
    assert verdict.environment["device"] == "Fake GPU"


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("dies", "exit status 7); it last said: CUDA kernel failed : for a reason"),
        ("crashes", "signal 11"),
        ("raises", "ZeroDivisionError: of all things"),
        ("wrong", "no sense in it"),
        ("not a number", "off: nan"),
    ],
)
def test_a_check_that_fails_in_any_way_is_a_finding_and_the_next_one_goes_on(
    verify: Verify, name: str, detail: str
) -> None:
    verdict = verify(f"{name},good", controls="far off")
    assert only(verdict, name).status == "failed"
    assert detail in only(verdict, name).detail
    assert only(verdict, "good").status == "proven"
    assert not verdict.void
    assert not verdict.proven


def test_a_check_that_does_not_end_is_ended(verify: Verify) -> None:
    verdict = verify("hangs,good", patience=2)
    assert only(verdict, "hangs").detail == "did not end within 2 s"
    assert only(verdict, "good").status == "proven"


def test_a_wheel_that_ends_python_every_time_is_not_tried_for_ever(verify: Verify) -> None:
    verdict = verify("dies,dies again,dies once more,good", gpu_here=True)
    assert only(verdict, "good").status == "failed"
    assert "not run: the last 3 on cpu" in only(verdict, "good").detail
    # That says nothing of the other device.
    assert only(verdict, "good", "cuda").status == "proven"


def test_checks_between_which_others_pass_are_all_tried(verify: Verify) -> None:
    verdict = verify("dies,dies again,good,dies once more,size")
    assert only(verdict, "size").status == "proven"


def test_a_check_that_leaves_the_gpu_unusable_has_failed_and_others_have_not(verify: Verify) -> None:
    verdict = verify("breaks the GPU,good on the GPU", gpu_here=True)
    spoilt = only(verdict, "breaks the GPU", "cuda")
    assert spoilt.status == "failed"
    assert spoilt.detail.endswith("left the GPU unusable: an illegal memory access was encountered")
    assert only(verdict, "breaks the GPU").status == "proven"
    assert only(verdict, "good on the GPU", "cuda").status == "proven"


def test_what_cannot_be_tried_is_unproven_and_the_verdict_says_so(verify: Verify) -> None:
    verdict = verify("good,cannot,good on the GPU", controls="far off")
    assert only(verdict, "cannot").status == "unproven"
    assert only(verdict, "good on the GPU", "cuda").status == "unproven"
    assert verdict.unproven == ("cannot on cpu: needs two moons", "2 checks did not run, since torch sees no GPU here")
    assert not verdict.proven


def test_without_the_gpu_that_is_required_checks_have_failed(verify: Verify) -> None:
    assert only(verify("good", gpu="require"), "good", "cuda").status == "failed"


def test_a_gpu_that_is_not_to_be_used_is_left_alone(verify: Verify) -> None:
    verdict = verify("good", gpu_here=True, gpu="no")
    assert only(verdict, "good", "cuda").status == "unproven"
    assert "no GPU was to be used" in verdict.unproven[0]


def test_a_known_defect_keeps_its_failure_and_gets_its_evidence(verify: Verify) -> None:
    verdict = verify("raises,wrong,good", controls="far off", expected=(known("raise*"), known("wrong", "cuda")))
    found = only(verdict, "raises")
    assert (found.status, found.evidence) == ("known defect", EVIDENCE)
    assert found.detail == "As is known. ZeroDivisionError: of all things"
    assert only(verdict, "wrong").status == "failed", "the other device's defect excuses nothing"


def test_a_known_defect_that_does_not_show_is_told(verify: Verify) -> None:
    verdict = verify("good", expected=(known("good"), known("another"), known("good", "cuda")))
    assert only(verdict, "good").status == "proven"
    # Neither is said of a check that does not exist, nor of one that did not run.
    assert verdict.unseen == (f"expected defect not seen: good on any device ({EVIDENCE})",)


def test_a_fault_that_nothing_notices_voids_the_verdict(verify: Verify) -> None:
    verdict = verify("good", controls="far off,hardly off")
    assert [control.caught for control in verdict.controls] == [True, False]
    assert verdict.void


def test_a_check_that_fails_anyway_notices_nothing(verify: Verify) -> None:
    verdict = verify("raises,good", controls="far off")
    assert verdict.controls[0].tried == ("good",)
    assert verdict.controls[0].caught_by == ("good",)


def test_a_fault_that_the_wheel_has_itself_is_noticed_by_the_checks_that_fail(verify: Verify) -> None:
    assert verify("raises,good", controls="no change").controls[0].caught_by == ("raises (the wheel has this fault)",)
    assert verify("good", controls="no change").void


def test_controls_are_tried_at_small_sizes(verify: Verify) -> None:
    verdict = verify("size", controls="far off")
    assert only(verdict, "size").measured["large"] == 1
    assert verdict.controls[0].caught_by == ("size",)
    assert only(verify("size", quick=True), "size").measured["large"] == 0


def test_a_wheel_that_cannot_be_imported_fails_with_the_reason(verify: Verify) -> None:
    verdict = verify("good", suite="broken")
    (found,) = verdict.findings
    assert found.name == "import"
    assert "libfake.so: cannot open shared object file" in found.detail


def test_the_program_tells_each_result_as_it_comes_and_writes_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PYTHONPATH": str(PLACE), "FAKE_CHECKS": "good,raises", "FAKE_CONTROLS": "far off"}.items():
        monkeypatch.setenv(name, value)
    out, order = tmp_path / "out", tmp_path / "request.json"
    request = {"suite": "fake", "package": "tiny", "version": "1.0", "wheel": "w.whl", "wheel_sha256": "0", "gpu": "no"}
    order.write_text(json.dumps({**request, "out": str(out), "expected": [known("raises")]}), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "cudawheel.verify.child", order], check=True, capture_output=True, text=True
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["check"], line["device"], line["status"]) for line in told] == [
        ("good", "cpu", "proven"),
        ("good", "cuda", "unproven"),
        ("raises", "cpu", "known defect"),
        ("control: far off", "cpu", "caught"),
    ]
    verdict = Verdict.from_json(json.loads((out / "verdict.json").read_text(encoding="utf-8")))
    assert verdict.counts == {"proven": 1, "failed": 0, "known defect": 1, "unproven": 1}


def test_the_first_expected_defect_that_fits_is_the_one_that_is_named() -> None:
    answer = {"outcome": "failed", "detail": "off"}
    check = {"name": "cell cases", "claim": "All are right."}
    others = [known("white*"), known("cell*", "cpu"), {**known("cell cases", "cuda"), "why": "The fifth is dropped."}]
    assert judge(check, "cuda", answer, others).detail == "The fifth is dropped. off"
    assert judge(check, "cuda", answer, others[:2]).status == "failed"


@pytest.mark.parametrize(
    ("why", "detail", "joined"),
    [
        ("The fifth is dropped.", "3 cases wrong", "The fifth is dropped. 3 cases wrong"),
        ("The fifth is dropped", "3 cases wrong", "The fifth is dropped. 3 cases wrong"),
        ("Why does it? ", "3 cases wrong", "Why does it? 3 cases wrong"),
        ("", "3 cases wrong", "3 cases wrong"),
        ("The fifth is dropped", "", "The fifth is dropped"),
    ],
)
def test_why_a_defect_is_known_and_what_was_found_are_two_sentences(why: str, detail: str, joined: str) -> None:
    answer, check = {"outcome": "failed", "detail": detail}, {"name": "cell cases", "claim": "All are right."}
    assert judge(check, "cuda", answer, [{**known("cell cases"), "why": why}]).detail == joined
