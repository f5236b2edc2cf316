from __future__ import annotations

import contextlib
import platform
import struct
import subprocess
from pathlib import Path

import pytest
from audit_fixtures import Compile
from elftools.elf.elffile import ELFFile
from fatbin_files import EMPTY, Piece, make_code, make_container
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cudawheel.audit.linkage import UndefinedSymbol
from cudawheel.audit.shared_object import SharedObject
from cudawheel.errors import WheelError

FATBIN = (
    make_code("75", "120", ptx=["120"]) + bytes(24) + make_code("75", "90a") + make_container([Piece(payload=EMPTY)])
)


def test_libraries_names_and_paths_are_read(compile_object: Compile) -> None:
    path = compile_object(
        "-Wl,-soname,libdemo.so.1", "-Wl,-rpath,$ORIGIN/../lib:/build/lib", "-lm", "-Wl,--no-as-needed"
    )
    item = SharedObject.read(path, "demo/_C.so")
    assert item.name == "demo/_C.so"
    assert item.machine == platform.machine()
    assert item.linkage.soname == "libdemo.so.1"
    assert item.linkage.rpaths == ("$ORIGIN/../lib", "/build/lib")
    assert "libc.so.6" in item.linkage.needed
    assert item.debug_sections == ()
    assert not item.device_code.coded


def test_an_old_style_rpath_is_read_too(compile_object: Compile) -> None:
    path = compile_object("-Wl,-rpath,/build/lib", "-Wl,--disable-new-dtags")
    assert SharedObject.read(path).linkage.rpaths == ("/build/lib",)


def test_symbols_taken_and_given_are_told_apart(compile_object: Compile) -> None:
    linkage = SharedObject.read(compile_object()).linkage
    undefined = {symbol.name: symbol for symbol in linkage.undefined}
    assert undefined["other"] == UndefinedSymbol(name="other")
    assert undefined["maybe"].weak
    assert undefined["printf"].library == "libc.so.6"
    assert undefined["printf"].version.startswith("GLIBC_")
    assert "given" in linkage.exported
    assert not {"hidden", "other"} & linkage.exported


def test_symbols_agree_with_nm(compile_object: Compile) -> None:
    path = compile_object()
    linkage = SharedObject.read(path).linkage
    for option, ours in (
        ("-uD", {symbol.name for symbol in linkage.undefined}),
        ("-D --defined-only", linkage.exported),
    ):
        command = ["nm", "--without-symbol-versions", "-j", *option.split(), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert set(done.stdout.split()) == ours


def test_debug_sections_are_named(compile_object: Compile) -> None:
    assert ".debug_info" in SharedObject.read(compile_object("-g")).debug_sections


def test_device_code_is_counted_without_empty_containers(compile_object: Compile) -> None:
    code = SharedObject.read(compile_object(fatbin=FATBIN)).device_code
    assert len(code.containers) == 3
    assert len(code.coded) == 2
    assert str(code.capabilities) == "7.5 9.0a 12.0 + PTX 12.0"
    counts = {f"{key.capability}{' PTX' if key.ptx else ''}": count for key, count in code.count().items()}
    assert counts == {"7.5": 2, "9.0a": 1, "12.0": 1, "12.0 PTX": 1}
    assert str(code.partial) == "9.0a 12.0 + PTX 12.0"


def test_an_object_that_is_not_linked_has_no_linkage(compile_object: Compile) -> None:
    path = compile_object("-c", source="int x;")
    linkage = SharedObject.read(path).linkage
    assert (linkage.needed, linkage.undefined, linkage.exported) == ((), (), frozenset())


def test_an_object_without_versions_is_read(compile_object: Compile) -> None:
    path = compile_object("-nostdlib", source="extern int other(void); int given(void) { return other(); }")
    assert SharedObject.read(path).linkage.undefined == (UndefinedSymbol(name="other"),)


def test_files_that_are_not_elf_or_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.so").write_text("INPUT(libother.so)")
    with pytest.raises(WheelError, match=r"text\.so is not an ELF file"):
        SharedObject.read(tmp_path / "text.so")
    with pytest.raises(WheelError, match="does not exist"):
        SharedObject.read(tmp_path / "none.so")
    with pytest.raises(WheelError, match="damaged ELF"):
        SharedObject.read(tmp_path)


def test_a_corrupt_fatbin_names_section_and_object(compile_object: Compile) -> None:
    with pytest.raises(WheelError, match=r"section \.nv_fatbin of demo\.so is not a valid fatbin at offset 0x0"):
        SharedObject.read(compile_object(fatbin=b"garbage"), "demo.so")


def test_version_records_that_overlap_are_damage_and_no_endless_loop(compile_object: Compile, tmp_path: Path) -> None:
    content = bytearray(compile_object().read_bytes())
    with compile_object().open("rb") as stream:
        (section,) = ELFFile(stream).iter_sections("SHT_GNU_verneed")
        at = section["sh_offset"]
    (first_item,) = struct.unpack_from("<I", content, at + 8)
    struct.pack_into("<I", content, at + first_item + 12, 1)
    (tmp_path / "damaged.so").write_bytes(content)
    with pytest.raises(WheelError, match="damaged ELF") as caught:
        SharedObject.read(tmp_path / "damaged.so")
    assert "overlap" in caught.value.why


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_anywhere_raises_nothing_but_our_error(
    compile_object: Compile, tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(compile_object(fatbin=FATBIN).read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(4, len(content))) :]
    sensitive = [*range(64), *range(max(len(content) - 64 * 34, 0), len(content))]  # the header; section headers
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(sensitive) | st.integers(0, len(content) - 1))
        if at < len(content):
            content[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0xFF]) | st.integers(0, 255))
    path = tmp_path / "damaged.so"
    path.write_bytes(content)
    with contextlib.suppress(WheelError):
        SharedObject.read(path)
