from __future__ import annotations

import json
import platform
import re
from pathlib import Path

import pytest
from audit_fixtures import Compile, MakeWheel

from cudawheel.audit import platform_tag
from cudawheel.audit.auditwheel_child import main
from cudawheel.audit.platform_tag import PlatformTag, find_platform_tag
from cudawheel.process import Finished

MACHINE = platform.machine()


@pytest.fixture
def foreign(compile_object: Compile) -> Path:
    """An object that needs a library which no system has."""
    library = compile_object("-Wl,-soname,libforeign.so.1", source="int other(void) { return 1; }")
    return compile_object("-Wl,--no-as-needed", str(library))


@pytest.fixture
def cuda(compile_object: Compile) -> Path:
    """An object that needs torch and CUDA."""
    torch = compile_object("-Wl,-soname,libtorch_cpu.so", source="int other(void) { return 1; }")
    cudart = compile_object("-Wl,-soname,libcudart.so.13", source="int cudaMalloc(void) { return 1; }")
    return compile_object("-Wl,--no-as-needed", str(torch), str(cudart))


def test_libraries_of_torch_and_cuda_do_not_stand_in_the_way(make_wheel: MakeWheel, cuda: Path) -> None:
    found = find_platform_tag(make_wheel({"demo/_C.so": cuda}))
    assert re.fullmatch(rf"(many|musl)linux_\d+_\d+_{MACHINE}", found.tag)
    assert found.reason == ""


def test_a_foreign_library_makes_it_a_plain_linux_wheel_unless_allowed(make_wheel: MakeWheel, foreign: Path) -> None:
    wheel = make_wheel({"demo/_C.so": foreign})
    found = find_platform_tag(wheel)
    assert found.tag == f"linux_{MACHINE}"
    assert "libforeign.so.1" in found.reason
    assert find_platform_tag(wheel, allowed_libraries=("libforeign.so*",)).tag.startswith(("manylinux", "musllinux"))


def test_a_wheel_that_auditwheel_cannot_judge_is_plain_linux(make_wheel: MakeWheel) -> None:
    found = find_platform_tag(make_wheel({"demo/__init__.py": b""}))
    assert found.tag == f"linux_{MACHINE}"
    assert found.reason.startswith("auditwheel cannot judge it: ")
    assert "NonPlatformWheelError" in found.reason


def test_the_working_folder_of_this_process_does_not_matter(
    make_wheel: MakeWheel, cuda: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel({"demo/_C.so": cuda})
    monkeypatch.chdir(wheel.parent)
    assert find_platform_tag(Path(wheel.name)).reason == ""


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"symbols_fail": True, "versions": ["GLIBC_2.99"]}, "GLIBC_2.99"),
        ({"machine_fails": True}, "beyond the baseline"),
        ({}, "rejects it"),
    ],
)
def test_every_way_to_fail_has_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facts: dict[str, object], says: str
) -> None:
    full = {"tag": "linux_x86_64", "libraries": [], "symbols_fail": False, "machine_fails": False, "versions": []}

    def answer(command: tuple[str | Path, ...], *, timeout: float) -> Finished:
        assert timeout > 0
        Path(command[3]).write_text(json.dumps(full | facts))
        return Finished(command=(), code=0, output="", seconds=0.1)

    monkeypatch.setattr(platform_tag, "capture", answer)
    found = find_platform_tag(tmp_path / "demo.whl")
    assert found.tag == "linux_x86_64"
    assert says in found.reason


def test_a_child_that_dies_in_silence_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = Finished(command=(), code=-9, output="", seconds=0.1)
    monkeypatch.setattr(platform_tag, "capture", lambda *_, **__: dead)
    assert find_platform_tag(tmp_path / "demo.whl") == PlatformTag(
        tag=f"linux_{MACHINE}", reason="auditwheel cannot judge it: exit status -9"
    )


def test_the_child_answers_in_a_file(make_wheel: MakeWheel, foreign: Path, tmp_path: Path) -> None:
    main([str(make_wheel({"demo/_C.so": foreign})), str(tmp_path / "answer.json"), "libnothing*"])
    facts = json.loads((tmp_path / "answer.json").read_text())
    assert facts["tag"] == f"linux_{MACHINE}"
    assert facts["libraries"] == ["libforeign.so.1"]
    assert not facts["symbols_fail"]
    assert any(version.startswith("GLIBC_2.") for version in facts["versions"])
