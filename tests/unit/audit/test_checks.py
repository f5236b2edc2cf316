"""Each check fires on what it is for and stays silent on its neighbour."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
from audit_fixtures import Compile, MakeWheel
from packaging.tags import parse_tag

from cudawheel.audit.checks import CHECKS, Check, Subject, Violation
from cudawheel.audit.checks.build_path import BuildPath
from cudawheel.audit.checks.bundled_library import BundledLibrary
from cudawheel.audit.checks.capability_missing import CapabilityMissing
from cudawheel.audit.checks.debug_residue import DebugResidue
from cudawheel.audit.checks.device_code_absent import DeviceCodeAbsent
from cudawheel.audit.checks.limited_api import LimitedApi
from cudawheel.audit.checks.record_mismatch import RecordMismatch
from cudawheel.audit.checks.stable_abi import StableAbi
from cudawheel.audit.checks.torch_requirement import TorchRequirement
from cudawheel.audit.checks.undefined_symbol import UndefinedSymbols
from cudawheel.audit.checks.unexpected_library import UnexpectedLibrary
from cudawheel.audit.checks.wrong_tag import WrongTag
from cudawheel.audit.expectation import Expectation
from cudawheel.audit.fatbin import EntryKind, FatbinContainer, FatbinEntry
from cudawheel.audit.inspection import Inspection
from cudawheel.audit.linkage import Linkage, UndefinedSymbol
from cudawheel.audit.platform_tag import PlatformTag
from cudawheel.audit.shared_object import DeviceCode, SharedObject
from cudawheel.model.abi import TorchAbi
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.capability_set import CapabilitySet
from cudawheel.model.version import TorchVersion
from cudawheel.wheel.reading import Wheel

EXPECTATION = Expectation(
    torch=TorchVersion(2, 11),
    capabilities=CapabilitySet.of([ComputeCapability(8, 0), ComputeCapability(12, 0)], [ComputeCapability(12, 0)]),
)


def carry(cubins: str = "", ptx: str = "", *, code: bool = True) -> DeviceCode:
    kinds = [(EntryKind.CUBIN, cubins), (EntryKind.PTX, ptx)]
    entries = tuple(
        FatbinEntry(
            kind=kind,
            capability=ComputeCapability.parse(text),
            compression="",
            stored_bytes=0,
            unpacked_bytes=0,
            offset=0,
        )
        for kind, texts in kinds
        for text in texts.split()
    )
    return DeviceCode(containers=(FatbinContainer(offset=0, entries=entries, has_code=code),))


def make_object(
    name: str = "demo/_C.so", *undefined: str, code: DeviceCode | None = None, **linkage: Any
) -> SharedObject:
    symbols = tuple(UndefinedSymbol(name=symbol) for symbol in undefined)
    return SharedObject(
        name=name,
        machine="x86_64",
        linkage=Linkage(**{"undefined": symbols, **linkage}),
        device_code=DeviceCode() if code is None else code,
    )


@pytest.fixture
def wheel(make_wheel: MakeWheel) -> Wheel:
    return Wheel.read(make_wheel({"demo/_C.so": b"", "demo/libown.so.1": b""}))


def run(
    check: Check, wheel: Wheel, *objects: SharedObject, tag: PlatformTag | None = None, **expected: Any
) -> tuple[Violation, ...]:
    subject = Subject(
        wheel=wheel,
        inspection=Inspection(path=wheel.path, objects=objects),
        platform=tag or PlatformTag(tag="manylinux_2_34_x86_64"),
    )
    found = check.run(subject, dataclasses.replace(EXPECTATION, **expected))
    for violation in found:
        assert (violation.code, violation.title) == (check.code, check.title)
        assert violation.where
        assert violation.found.endswith(".")
        assert violation.remedy.endswith((".", '"'))
    return found


def test_codes_are_unique_and_in_order() -> None:
    codes = [check.code for check in CHECKS]
    assert codes == sorted(set(codes))
    assert all(check.title and type(check).__doc__ for check in CHECKS)
    assert str(Violation(code="CW1", title="t", where="w", found="F.", remedy="R.")) == "CW1 t: w: F. R."


@pytest.mark.parametrize(
    ("cubins", "ptx", "lacks"),
    [
        ("8.0 12.0", "12.0", None),
        ("7.5 8.0 9.0 12.0", "9.0 12.0", None),
        ("8.0", "12.0", "lacks 12.0."),
        ("8.0 12.0", "", "lacks PTX 12.0."),
        ("8.0 12.0a", "12.0", "lacks 12.0."),
        ("12.0", "", "lacks 8.0 + PTX 12.0."),
    ],
)
def test_capability_missing(wheel: Wheel, cubins: str, ptx: str, lacks: str | None) -> None:
    good = make_object("demo/good.so", code=carry("8.0 12.0", "12.0"))
    cpu = make_object("demo/cpu.so")
    found = run(CapabilityMissing(), wheel, good, cpu, make_object(code=carry(cubins, ptx)))
    assert [violation.where for violation in found] == ([] if lacks is None else ["demo/_C.so"])
    assert all(lacks in violation.found for violation in found if lacks)


def test_device_code_absent(wheel: Wheel) -> None:
    (plain,) = run(DeviceCodeAbsent(), wheel, make_object())
    assert "None of its 1 ELF files has a fatbin" in plain.found
    (hollow,) = run(DeviceCodeAbsent(), wheel, make_object(code=carry("8.0 12.0", code=False)))
    assert "demo/_C.so has fatbins, but no kernel" in hollow.found
    assert hollow.where == wheel.path.name
    assert not run(DeviceCodeAbsent(), wheel, make_object(), make_object(code=carry("8.0")))
    assert not run(DeviceCodeAbsent(), wheel, make_object(), cuda_required=False)


@pytest.mark.parametrize(
    "library",
    [
        "libc.so.6",
        "libstdc++.so.6",
        "ld-linux-x86-64.so.2",
        "libtorch_cpu.so",
        "libc10_cuda.so",
        "libcudart.so.13",
        "libcuda.so.1",
        "libcublasLt.so.13",
        "libgomp.so.1",
        "libown.so.1",
    ],
)
def test_libraries_that_will_be_there_are_no_surprise(wheel: Wheel, library: str) -> None:
    assert not run(UnexpectedLibrary(), wheel, make_object(needed=(library,)))


@pytest.mark.parametrize("library", ["libopenblas.so.0", "libpython3.12.so.1.0", "libcurl.so.4", "libtorchfoo.so"])
def test_unexpected_library(wheel: Wheel, library: str) -> None:
    (violation,) = run(UnexpectedLibrary(), wheel, make_object(needed=("libc.so.6", library)))
    assert library in violation.found
    allowed = (library.partition(".so")[0] + ".so*",)
    assert not run(UnexpectedLibrary(), wheel, make_object(needed=(library,)), allowed_libraries=allowed)


@pytest.mark.parametrize(
    ("member", "provider"),
    [
        ("demo_ext.libs/libcudart-24b2d1e9.so.13.0.96", "cuda"),
        ("demo/libtorch_cpu.so", "torch"),
        ("demo/lib/libc10.so", "torch"),
        ("demo/libcuda.so.1", "driver"),
        ("demo/libnvidia-ml.so.1", "driver"),
        ("demo/libcudnn_ops.so.9", "cuda"),
        ("demo/libcudart_static.a", "cuda"),
        ("demo/libgomp.so.1", None),
        ("demo/libtorchfoo.so", None),
        ("demo/libcurl-1234.so.4", None),
        ("demo_ext.libs/libgomp-a34b3233.so.1.0.0", None),
    ],
)
def test_bundled_library(make_wheel: MakeWheel, member: str, provider: str | None) -> None:
    found = run(BundledLibrary(), Wheel.read(make_wheel({member: b""})))
    assert [violation.where for violation in found] == ([] if provider is None else [member])
    assert all(f"Belongs to {provider}" in violation.found for violation in found)


@pytest.fixture
def torch_lib(compile_object: Compile, tmp_path: Path) -> Path:
    """Two libraries, the second behind the first, as libtorch.so and libtorch_cpu.so are."""
    folder = tmp_path / "torch" / "lib"
    folder.mkdir(parents=True)
    core = folder / "libtorch_cpu.so"
    core.write_bytes(
        compile_object(
            "-Wl,-soname,libtorch_cpu.so",
            source="int _ZN2at5emptyEv(void) { return 1; } int helper(void) { return 2; }",
        ).read_bytes()
    )
    stub = compile_object(
        "-Wl,-soname,libtorch.so", "-Wl,--no-as-needed", str(core), source="int stub(void) { return 1; }"
    )
    (folder / "libtorch.so").write_bytes(stub.read_bytes())
    return folder


NEEDED = ("libtorch.so", "libc.so.6", "libstdc++.so.6")


@pytest.mark.parametrize(
    "symbol",
    [
        UndefinedSymbol(name="_ZN2at5emptyEv"),
        UndefinedSymbol(name="helper"),
        UndefinedSymbol(name="own_helper"),
        UndefinedSymbol(name="PyModule_Create2"),
        UndefinedSymbol(name="_Py_Dealloc"),
        UndefinedSymbol(name="__gmon_start__", weak=True),
        UndefinedSymbol(name="_ZNSt6thread4joinEv"),
        UndefinedSymbol(name="_ZdlPvm"),
        UndefinedSymbol(name="printf", version="GLIBC_2.2.5", library="libc.so.6"),
    ],
    ids=lambda symbol: symbol.name,
)
def test_symbols_that_are_there_are_left_alone(wheel: Wheel, torch_lib: Path, symbol: UndefinedSymbol) -> None:
    own = make_object("demo/libown.so.1", exported=frozenset({"own_helper"}))
    user = make_object(needed=(*NEEDED, "libown.so.1"), undefined=(symbol,))
    assert not run(UndefinedSymbols(), wheel, user, own, torch_libraries=(torch_lib,))


def test_undefined_symbol(wheel: Wheel, torch_lib: Path) -> None:
    symbols = ["_ZN2at4goneEv", *(f"gone_{index}" for index in range(6))]
    item = make_object("demo/_C.so", *symbols, needed=NEEDED)
    (violation,) = run(UndefinedSymbols(), wheel, item, torch_libraries=(torch_lib,))
    assert "_ZN2at4goneEv" in violation.found
    assert "and 2 more" in violation.found
    assert not run(UndefinedSymbols(), wheel, item)


def test_a_versioned_symbol_is_judged_where_its_library_is_found(wheel: Wheel, torch_lib: Path) -> None:
    symbol = UndefinedSymbol(name="gone", version="V9", library="libtorch_cpu.so")
    item = make_object(needed=NEEDED, undefined=(symbol,))
    assert run(UndefinedSymbols(), wheel, item, torch_libraries=(torch_lib,))


def test_a_library_not_needed_gives_nothing(wheel: Wheel, torch_lib: Path) -> None:
    item = make_object("demo/_C.so", "helper", needed=("libc.so.6",))
    assert run(UndefinedSymbols(), wheel, item, torch_libraries=(torch_lib,))


def test_behind_an_unknown_library_only_torchs_own_names_are_judged(wheel: Wheel, torch_lib: Path) -> None:
    item = make_object("demo/_C.so", "cuCtxGetCurrent", "_ZNK3c104goneEv", needed=(*NEEDED, "libcuda.so.1"))
    (violation,) = run(UndefinedSymbols(), wheel, item, torch_libraries=(torch_lib,))
    assert "_ZNK3c104goneEv" in violation.found
    assert "cuCtx" not in violation.found


@pytest.mark.parametrize(
    ("member", "rpath", "says"),
    [
        ("demo/_C.so", "$ORIGIN", None),
        ("demo/_C.so", "$ORIGIN/../torch/lib", None),
        ("demo/_C.so", "${ORIGIN}/lib", None),
        ("demo/deep/_C.so", "$ORIGIN/../../nvidia/cu13/lib", None),
        ("demo-1.0.data/platlib/demo/_C.so", "$ORIGIN/../torch/lib", None),
        ("demo/_C.so", "$ORIGIN/../../lib", "leads out of site-packages"),
        ("demo-1.0.data/platlib/demo/_C.so", "$ORIGIN/../../lib", "leads out of site-packages"),
        ("_C.so", "$ORIGIN/..", "leads out of site-packages"),
        ("demo/_C.so", "/build/lib/python3.12/site-packages/torch/lib", "machine that built it"),
        ("demo/_C.so", "", "depends on the working folder"),
        ("demo/_C.so", "lib", "depends on the working folder"),
        ("demo/_C.so", "$ORIGINAL/lib", "depends on the working folder"),
    ],
)
def test_build_path(wheel: Wheel, member: str, rpath: str, says: str | None) -> None:
    found = run(BuildPath(), wheel, make_object(member, rpaths=("$ORIGIN", rpath)))
    assert len(found) == (says is not None)
    assert all(says in violation.found for violation in found if says)


@pytest.mark.parametrize(
    ("tag", "wheel_tag", "member", "says"),
    [
        ("cp312-cp312-linux_x86_64", "", "demo/_C.so", None),
        ("cp312-cp312-linux_x86_64", "", "demo/_C.cpython-312-x86_64-linux-gnu.so", None),
        ("cp310-abi3-linux_x86_64", "", "demo/_C.abi3.so", None),
        ("cp312-cp312-manylinux_2_34_x86_64", "", "demo/_C.so", None),
        ("cp312-cp312-manylinux_2_39_x86_64", "", "demo/_C.so", None),
        ("cp312-cp312-linux_x86_64", "cp311-cp311-linux_x86_64", "demo/_C.so", "WHEEL says cp311-cp311"),
        ("cp312-cp312-linux_aarch64", "", "demo/_C.so", "is for x86_64, the tag says linux_aarch64"),
        ("py3-none-any", "", "demo/_C.so", "is for x86_64, the tag says any"),
        ("cp312-cp312-manylinux_2_28_x86_64", "", "demo/_C.so", "need manylinux_2_34_x86_64"),
        ("cp312-cp312-manylinux2014_x86_64", "", "demo/_C.so", "need manylinux_2_34_x86_64"),
        ("cp312-cp312-musllinux_1_2_x86_64", "", "demo/_C.so", "need manylinux_2_34_x86_64"),
        ("cp312-cp312-linux_x86_64", "", "demo/_C.cpython-311-x86_64-linux-gnu.so", "suffix is for cp311"),
        ("cp310-abi3-linux_x86_64", "", "demo/_C.cpython-310-x86_64-linux-gnu.so", "ABI tag is abi3"),
        ("py3-none-linux_x86_64", "", "demo/_C.cpython-310-x86_64-linux-gnu.so", "ABI tag is none"),
    ],
)
def test_wrong_tag(make_wheel: MakeWheel, tag: str, wheel_tag: str, member: str, says: str | None) -> None:
    wheel = Wheel.read(make_wheel({member: b""}, tag=tag, wheel_tag=wheel_tag))
    found = run(WrongTag(), wheel, make_object(member))
    assert len(found) == (says is not None), found
    assert all(says in violation.found for violation in found if says)


def test_a_manylinux_tag_that_nothing_earns_says_why(make_wheel: MakeWheel) -> None:
    wheel = Wheel.read(make_wheel({"demo/_C.so": b""}, tag="cp312-cp312-manylinux_2_39_x86_64"))
    plain = PlatformTag(tag="linux_x86_64", reason="it needs libfoo.so.1, which no manylinux policy allows")
    (violation,) = run(WrongTag(), wheel, make_object(), tag=plain)
    assert "libfoo.so.1" in violation.found


def test_machine_code_in_a_pure_wheel_is_a_wrong_tag(wheel: Wheel) -> None:
    pure = dataclasses.replace(wheel, wheel_file=wheel.wheel_file.put("Root-Is-Purelib", ("true",)))
    (violation,) = run(WrongTag(), pure, make_object())
    assert "Root-Is-Purelib" in violation.found
    assert not run(WrongTag(), pure)


def test_record_mismatch(make_wheel: MakeWheel) -> None:
    assert not run(RecordMismatch(), Wheel.read(make_wheel({"demo/a.py": b""})))
    wheel = Wheel.read(make_wheel({"demo/a.py": b""}, record_extra="demo/gone.py,sha256=x,1\n"))
    (violation,) = run(RecordMismatch(), wheel)
    assert violation.where == "demo/gone.py"


def test_debug_residue(wheel: Wheel) -> None:
    item = dataclasses.replace(make_object(), debug_sections=(".debug_info", ".debug_line"))
    (violation,) = run(DebugResidue(), wheel, item, make_object())
    assert ".debug_info, .debug_line" in violation.found
    assert not run(DebugResidue(), wheel, make_object())


STABLE = TorchAbi.parse("torch-stable >= 2.10")


@pytest.mark.parametrize(
    ("requires", "abi", "says"),
    [
        (("numpy", "torch==2.11.*"), TorchAbi(), None),
        (("Torch (==2.11.*)",), TorchAbi(), None),
        (("torch>=2.10",), STABLE, None),
        ((), TorchAbi(), "Does not require torch==2.11.*"),
        (("torchvision==2.11.*",), TorchAbi(), "Does not require"),
        (("torch",), TorchAbi(), "Requires torch, not torch==2.11.*"),
        (("torch==2.11.*",), STABLE, "not torch>=2.10"),
        (('torch==2.11.*; extra == "gpu"',), TorchAbi(), "Requires torch"),
        (("torch==2.11.*", "torch>=2"), TorchAbi(), "Requires torch==2.11.*; torch>=2"),
    ],
)
def test_torch_requirement(make_wheel: MakeWheel, requires: tuple[str, ...], abi: TorchAbi, says: str | None) -> None:
    found = run(TorchRequirement(), Wheel.read(make_wheel({}, requires=requires)), abi=abi)
    assert len(found) == (says is not None)
    assert all(says in violation.found for violation in found if says)


@pytest.mark.parametrize(
    ("symbols", "abi", "says"),
    [
        (["aoti_torch_get_data_ptr", "printf"], STABLE, None),
        (["printf"], STABLE, None),
        (["_ZN2at4_ops5empty4callEv"], TorchAbi(), None),
        (["aoti_torch_get_data_ptr", "_ZN2at5emptyEv"], STABLE, "Uses at::empty() from outside"),
        (["torch_call_dispatcher"], TorchAbi.parse("torch-stable >= 2.9"), "came with torch 2.10"),
        (["torch_call_dispatcher"], STABLE, None),
        (["aoti_torch_from_the_future"], STABLE, "newer than torch-abi-audit knows"),
    ],
)
def test_stable_abi(wheel: Wheel, symbols: list[str], abi: TorchAbi, says: str | None) -> None:
    found = run(StableAbi(), wheel, make_object("demo/_C.so", *symbols), abi=abi)
    assert len(found) == (says is not None), found
    assert all(says in violation.found for violation in found if says)


@pytest.mark.parametrize(
    ("needed", "abi", "says"),
    [
        (
            "libcudart.so.13",
            "torch-stable >= 2.9",
            "Needs libcudart.so.13, and torch 2.9 on the package index brings CUDA 12.8",
        ),
        ("libcudart.so.13", "torch-stable >= 2.11", None),
        ("libcudart.so.12", "torch-stable >= 2.9", None),
        ("libc.so.6", "torch-stable >= 2.9", None),
        ("libcudart.so.13", "torch-minor", None),
    ],
)
def test_a_stable_promise_reaches_as_far_as_the_cuda_runtime_it_needs(
    wheel: Wheel, needed: str, abi: str, says: str | None
) -> None:
    found = run(StableAbi(), wheel, make_object(needed=(needed,)), abi=TorchAbi.parse(abi))
    assert [says in violation.found for violation in found if says] == ([True] if says else [])
    assert len(found) == (says is not None)


def test_a_stable_promise_that_cannot_be_checked_counts_as_broken(
    wheel: Wheel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "torch_abi_audit.demangle", None)
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path))
    (violation,) = run(StableAbi(), wheel, make_object("demo/_C.so", "torch_call_dispatcher"), abi=STABLE)
    assert "torch-abi-audit does not run" in violation.found
    assert not run(StableAbi(), wheel, make_object())


@pytest.mark.parametrize(
    ("tag", "symbols", "says"),
    [
        ("cp310-abi3-linux_x86_64", ["PyModule_Create2", "_Py_NoneStruct", "_Py_Dealloc", "printf"], None),
        ("cp312-cp312-linux_x86_64", ["PyUnicode_AsUTF8"], None),
        ("cp310-abi3-linux_x86_64", ["PyUnicode_AsUTF8AndSize"], None),
        ("cp39.cp310-abi3-linux_x86_64", ["PyUnicode_AsUTF8AndSize"], "which Python 3.9's"),
        ("cp310-abi3-linux_x86_64", ["PyFrame_GetLasti"], "PyFrame_GetLasti, which Python 3.10's"),
    ],
)
def test_limited_api(make_wheel: MakeWheel, tag: str, symbols: list[str], says: str | None) -> None:
    wheel = Wheel.read(make_wheel({}, tag=tag))
    assert wheel.tags == parse_tag(tag)
    found = run(LimitedApi(), wheel, make_object("demo/_C.abi3.so", *symbols))
    assert len(found) == (says is not None), found
    assert all(says in violation.found for violation in found if says)
