from __future__ import annotations

from pathlib import Path

import pytest
from audit_fixtures import Compile, MakeWheel
from fatbin_files import make_code

from cudawheel.audit.inspection import inspect
from cudawheel.errors import WheelError
from cudawheel.model.capability import ComputeCapability, Support

H200, RTX_5070_TI, RTX_3090 = (ComputeCapability.parse(text) for text in ("9.0", "12.0", "8.6"))


@pytest.fixture
def wheel(compile_object: Compile, make_wheel: MakeWheel) -> Path:
    return make_wheel(
        {
            "demo/_C.so": compile_object(fatbin=make_code("80", "90", "120")),
            "demo/lib/libkernels": compile_object(fatbin=make_code("80", ptx=["90"])),
            "demo/_cpu.so": compile_object(),
            "demo/__init__.py": b"",
            "demo/linker_script.so": b"INPUT(libother.so)",
        }
    )


def test_every_elf_member_of_a_wheel_is_inspected(wheel: Path) -> None:
    inspection = inspect(wheel)
    assert [item.name for item in inspection.objects] == ["demo/_C.so", "demo/_cpu.so", "demo/lib/libkernels"]
    assert [item.name for item in inspection.coded] == ["demo/_C.so", "demo/lib/libkernels"]
    assert str(inspection.capabilities) == "8.0 9.0 12.0 + PTX 9.0"


def test_the_weakest_object_with_device_code_decides(wheel: Path) -> None:
    inspection = inspect(wheel)
    assert inspection.support(RTX_3090) is Support.NATIVE
    assert inspection.support(H200) is Support.PTX
    assert inspection.support(RTX_5070_TI) is Support.PTX
    assert inspection.support(ComputeCapability.parse("7.5")) is Support.NONE


def test_a_wheel_for_blackwell_alone_does_not_run_on_an_h200(compile_object: Compile) -> None:
    inspection = inspect(compile_object(fatbin=make_code("120", ptx=["120"])))
    assert inspection.support(H200) is Support.NONE
    assert inspection.support(RTX_5070_TI) is Support.NATIVE


def test_without_device_code_there_is_no_answer(compile_object: Compile) -> None:
    inspection = inspect(compile_object())
    assert inspection.support(H200) is None
    assert not inspection.capabilities


def test_a_folder_is_inspected_without_links_and_text(compile_object: Compile, tmp_path: Path) -> None:
    package = tmp_path / "demo"
    (package / "lib").mkdir(parents=True)
    (package / "lib" / "libdemo.so.1").write_bytes(compile_object(fatbin=make_code("86")).read_bytes())
    (package / "lib" / "libdemo.so").symlink_to("libdemo.so.1")
    (package / "script.so").write_text("text")
    (package / "folder.so").mkdir()
    inspection = inspect(package)
    assert [item.name for item in inspection.objects] == ["lib/libdemo.so.1"]
    assert str(inspection.capabilities) == "8.6"


def test_what_is_neither_wheel_nor_elf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(WheelError, match="not an ELF file"):
        inspect(tmp_path / "notes.txt")
    with pytest.raises(WheelError, match="does not exist"):
        inspect(tmp_path / "gone.so")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.so").write_text("text")

    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(WheelError, match=r"a\.so cannot be read"):
        inspect(tmp_path)
