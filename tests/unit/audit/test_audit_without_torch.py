"""What the audit asks of wheels that use CUDA and no torch: nobody brings them anything that they do not require."""

from __future__ import annotations

from pathlib import Path

import pytest
from audit_fixtures import MakeWheel

from cudawheel.audit.checks.base import Check, Subject, Violation
from cudawheel.audit.checks.stable_abi import StableAbi
from cudawheel.audit.checks.torch_requirement import TorchRequirement
from cudawheel.audit.checks.undefined_symbol import UndefinedSymbols
from cudawheel.audit.checks.unexpected_library import UnexpectedLibrary
from cudawheel.audit.expectation import Expectation
from cudawheel.audit.inspection import Inspection
from cudawheel.audit.linkage import Linkage, UndefinedSymbol
from cudawheel.audit.platform_tag import PlatformTag
from cudawheel.audit.shared_object import DeviceCode, SharedObject
from cudawheel.wheel.reading import Wheel

WITHOUT = Expectation(torch=None, abi=None)


def run(check: Check, wheel: Wheel, needed: str, expectation: Expectation = WITHOUT) -> tuple[Violation, ...]:
    linkage = Linkage(needed=("libc.so.6", needed), undefined=(UndefinedSymbol(name="cublasCreate_v2"),))
    item = SharedObject(name="demo/_C.so", machine="x86_64", linkage=linkage, device_code=DeviceCode())
    inspection = Inspection(path=wheel.path, objects=(item,))
    subject = Subject(wheel=wheel, inspection=inspection, platform=PlatformTag(tag="linux_x86_64"))
    return check.run(subject, expectation)


@pytest.mark.parametrize(
    ("requires", "library", "brought"),
    [
        ("cuda-toolkit[cublas]>=13.0,==13.*", "libcublas.so.13", True),
        ("nvidia-cublas", "libcublas.so.13", True),
        ("numpy", "libcublas.so.13", False),
        ("numpy", "libcuda.so.1", True),
        ("cuda-toolkit[cublas]", "libtorch_cpu.so", False),
        ("cuda-toolkit[cublas]", "libgomp.so.1", False),
    ],
)
def test_a_library_is_there_where_a_requirement_or_the_driver_brings_it(
    make_wheel: MakeWheel, requires: str, library: str, brought: bool
) -> None:
    wheel = Wheel.read(make_wheel({"demo/_C.so": b""}, requires=(requires,)))
    found = run(UnexpectedLibrary(), wheel, library)
    assert (not found) == brought
    assert all(library in violation.found and "cuda-libraries" in violation.remedy for violation in found)


def test_nothing_is_asked_about_a_torch_that_there_is_not(make_wheel: MakeWheel) -> None:
    wheel = Wheel.read(make_wheel({"demo/_C.so": b""}, requires=()))
    assert run(TorchRequirement(), wheel, "libcuda.so.1") == ()
    assert run(StableAbi(), wheel, "libcuda.so.1") == ()


def test_an_undefined_symbol_is_not_blamed_on_torch(make_wheel: MakeWheel, tmp_path: Path) -> None:
    wheel = Wheel.read(make_wheel({"demo/_C.so": b""}, requires=()))
    (violation,) = run(
        UndefinedSymbols(), wheel, "libm.so.6", Expectation(torch=None, abi=None, torch_libraries=(tmp_path,))
    )
    assert "cublasCreate_v2" in violation.found
    assert "torch" not in violation.remedy
