"""Around the checks: which suite, which known defects, what is left open, and what exit code comes of it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from small_packages import path_source, write_recipe, write_wheel
from verdict_values import CAUGHT, ESCAPED, finding, verdict

from cudawheel.errors import VerificationError, VerificationSetupError, VoidVerdictError
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.capability_set import CapabilitySet
from cudawheel.model.progress import Silent
from cudawheel.verify.candidate import Candidate
from cudawheel.verify.clean_environment import use_installed
from cudawheel.verify.verification import VerifyRequest, _left_unproven, find_plan, require_proven, verify

DEFECTS = """
[[sources.known-defects]]
check = "cell cases"
device = "cuda"
evidence = "https://example.org/line"
why = "The fifth triangle is dropped."
"""


@pytest.fixture
def request_(tmp_path: Path) -> VerifyRequest:
    origin = {"recipe": "tiny.toml", "source": "here", "variant": "cp312-torch2.11-cu130-x86_64"}
    wheel = write_wheel(
        tmp_path, "tiny-ext", "1.0", files={"tiny_ext-1.0.dist-info/cudawheel.json": json.dumps(origin)}
    )
    return VerifyRequest(
        wheel=wheel,
        recipe=None,
        recipes=tmp_path / "recipes",
        out=tmp_path / "out",
        gpus=(),
        require_gpu=False,
        installed=False,
        quick=True,
        environ={},
    )


def recipe(folder: Path, *, suite: str = "", defects: str = "") -> Path:
    path = write_recipe(folder, path_source("project"), path_source("other", label="also"))
    text = path.read_text(encoding="utf-8")
    head, second, tail = text.partition('\n[[sources]]\nkind = "path"\nlabel = "also"')
    verify_section = f'\n[verify]\nsuite = "{suite}"\n' if suite else ""
    path.write_text(head + defects + second + tail + verify_section, encoding="utf-8")
    return path


def test_the_recipe_that_the_wheel_names_chooses_the_suite_and_knows_its_sources_defects(
    request_: VerifyRequest,
) -> None:
    recipe(request_.recipes, suite="marching", defects=DEFECTS)
    plan = find_plan(Candidate.read(request_.wheel), request_)
    assert plan.suite == "marching"
    assert [known.check for known in plan.known_defects] == ["cell cases"]
    assert plan.origin == "tiny.toml, source here"
    other = find_plan(replace(Candidate.read(request_.wheel), source="also"), request_)
    assert other.known_defects == ()


def test_without_a_recipe_the_package_s_name_chooses_and_nothing_is_excused(request_: VerifyRequest) -> None:
    plan = find_plan(Candidate.read(request_.wheel), request_)
    assert (plan.suite, plan.known_defects) == ("tiny-ext", ())
    assert "no recipe" in plan.origin


def test_a_recipe_without_a_suite_says_how_to_choose_one(request_: VerifyRequest) -> None:
    recipe(request_.recipes)
    with pytest.raises(VerificationSetupError) as refused:
        find_plan(Candidate.read(request_.wheel), request_)
    assert "[verify]" in refused.value.remedy


def test_a_gpu_that_is_required_and_not_there_fails_before_anything_is_installed(request_: VerifyRequest) -> None:
    with pytest.raises(VerificationError):
        verify(replace(request_, require_gpu=True), Silent())
    assert not request_.out.exists()


def test_a_suite_that_does_not_exist_is_an_error_that_names_those_that_do(request_: VerifyRequest) -> None:
    with pytest.raises(VerificationSetupError) as unknown:
        verify(request_, Silent())
    assert "torchmcubes" in unknown.value.why


CAPABILITIES = CapabilitySet.of(map(ComputeCapability.parse, ("8.6", "9.0", "12.0")), (ComputeCapability(12, 0),))


@pytest.mark.parametrize(
    ("gpus", "idle"),
    [
        ((), "no GPU is visible: the device code for 8.6, 9.0, 12.0 "),
        (("9.0",), "the device code for 8.6, 12.0 "),
        (("8.9",), "the device code for 9.0, 12.0 "),
        (("8.6", "9.0", "12.0"), ""),
    ],
)
def test_device_code_that_did_not_run_is_named(gpus: tuple[str, ...], idle: str, request_: VerifyRequest) -> None:
    candidate = replace(Candidate.read(request_.wheel), capabilities=CAPABILITIES)
    said = _left_unproven(candidate, tuple(map(ComputeCapability.parse, gpus)))
    assert said[-1] == "the PTX for 12.0 was not compiled by a driver"
    assert [sentence[: len(idle)] for sentence in said[:-1]] == ([idle] if idle else [])


def test_what_is_proven_or_known_lets_pass() -> None:
    require_proven(verdict(finding(), finding("known defect", "cuda")), require_gpu=True)
    require_proven(verdict(finding(), finding("unproven", "cuda")), require_gpu=False)


def test_a_failed_check_is_named_with_what_was_found() -> None:
    with pytest.raises(VerificationError) as failed:
        require_proven(verdict(finding("failed", detail="off by 3 voxels"), finding()), require_gpu=False)
    assert failed.value.exit_code == 22
    assert failed.value.why == "sphere on cpu: off by 3 voxels"


def test_checks_that_did_not_come_to_their_end_prove_nothing() -> None:
    stopped = replace(verdict(finding(), unproven=("stopped after 1 of 4 checks",)), finished=False)
    assert not stopped.proven
    with pytest.raises(VerificationError, match="before the end") as unfinished:
        require_proven(stopped, require_gpu=False)
    assert unfinished.value.why == "stopped after 1 of 4 checks"


@pytest.mark.parametrize("there", [True, False])
def test_whether_a_torch_is_installed_is_told_without_importing_it(
    there: bool, request_: VerifyRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "packages" / "torch").mkdir(parents=True)
    if there:
        (tmp_path / "packages" / "torch" / "__init__.py").write_text("raise SystemExit(9)\n", encoding="utf-8")
    # A Python that has no packages but those of PYTHONPATH; a folder alone, as pip may leave one, is no torch.
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    monkeypatch.setattr(sys, "executable", str(python))
    candidate = Candidate.read(request_.wheel)
    if there:
        assert not use_installed(candidate, tmp_path, log=tmp_path / "log").isolated
        return
    with pytest.raises(VerificationSetupError) as missing:
        use_installed(candidate, tmp_path, log=tmp_path / "log")
    assert "No module named 'torch'" in missing.value.why


def test_a_broken_kernel_that_nobody_notices_makes_even_good_findings_void() -> None:
    with pytest.raises(VoidVerdictError) as void:
        require_proven(verdict(finding(), controls=(CAUGHT, ESCAPED)), require_gpu=False)
    assert void.value.exit_code == 23
    assert "shifted" in void.value.why
    assert "flipped" not in void.value.why


def test_a_required_gpu_that_no_check_ran_on_is_not_proven() -> None:
    with pytest.raises(VerificationError, match="no check ran on a GPU"):
        require_proven(verdict(finding(), finding("unproven", "cuda")), require_gpu=True)
