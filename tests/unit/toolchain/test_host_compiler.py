from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cudawheel.errors import HostCompilerError
from cudawheel.model.version import CudaVersion
from cudawheel.toolchain.compiler_limits import CompilerLimits, Range, compiler_limits
from cudawheel.toolchain.host_compiler import find_host_compiler

NewProgram = Callable[[Path, str], Path]
LIMITS = CompilerLimits(cuda=CudaVersion(13, 0), gcc=Range(low=6, high=15), clang=Range(low=7, high=20))

HEADER = """
#if __GNUC__ > 16
#error -- unsupported GNU version! gcc versions later than 16 are not supported!
#if (__clang_major__ >= 23) || (__clang_major__ < 3) || ((__clang_major__ == 3) &&  (__clang_minor__ < 3))
#error -- unsupported clang version!
"""


def gcc(major: int) -> str:
    return f"""#!/bin/sh
echo '#define __GNUC__ {major}'
echo '#define __GNUC_MINOR__ 2'
echo '#define __GNUC_PATCHLEVEL__ 1'
"""


CLANG_19 = """#!/bin/sh
echo '#define __GNUC__ 4'
echo '#define __clang_major__ 19'
echo '#define __clang_minor__ 1'
"""


@pytest.mark.parametrize(
    ("cuda", "gcc_high", "clang_high"),
    [("12.8", 14, 19), ("12.9", 14, 19), ("13.0", 15, 20), ("13.1", 15, 21), ("13.2", 15, 21), ("13.9", 15, 21)],
)
def test_the_table_knows_each_release(cuda: str, gcc_high: int, clang_high: int) -> None:
    limits = compiler_limits(CudaVersion.parse(cuda))

    assert limits.cuda == CudaVersion.parse(cuda)
    assert limits.gcc == Range(low=6, high=gcc_high)
    assert limits.clang == Range(low=7, high=clang_high)


def test_the_toolkits_own_header_decides(tree: Path) -> None:
    (tree / "include" / "crt" / "host_config.h").write_text(HEADER, encoding="utf-8")

    limits = compiler_limits(CudaVersion(13, 0), tree)

    assert str(limits) == "gcc 6 to 16 or clang 7 to 22"


def test_a_header_without_limits_leaves_the_table(tree: Path) -> None:
    assert compiler_limits(CudaVersion(13, 0), tree) == compiler_limits(CudaVersion(13, 0))


def test_the_default_compiler_is_found_with_its_companion(tmp_path: Path, new_program: NewProgram) -> None:
    new_program(tmp_path / "g++", gcc(12))
    new_program(tmp_path / "gcc", gcc(12))

    found = find_host_compiler(LIMITS, {"PATH": str(tmp_path)})

    assert (found.cxx, found.cc) == (tmp_path / "g++", tmp_path / "gcc")
    assert str(found) == f"gcc 12.2.1 ({tmp_path}/g++)"
    assert found.notes == ()


def test_clang_is_not_taken_for_the_gcc_it_claims_to_be(tmp_path: Path, new_program: NewProgram) -> None:
    new_program(tmp_path / "clang++", CLANG_19)

    found = find_host_compiler(LIMITS, {"PATH": str(tmp_path)})

    assert (found.family, found.version, found.cc) == ("clang", "19.1.0", None)


def test_the_companion_of_a_prefixed_driver_has_the_same_prefix(tmp_path: Path, new_program: NewProgram) -> None:
    new_program(tmp_path / "x86_64-conda-linux-gnu-g++", gcc(14))
    companion = new_program(tmp_path / "x86_64-conda-linux-gnu-gcc", gcc(14))

    found = find_host_compiler(LIMITS, {"PATH": str(tmp_path), "CXX": "x86_64-conda-linux-gnu-g++"})

    assert found.cc == companion


def test_an_older_one_on_path_is_picked_when_the_default_is_too_new(tmp_path: Path, new_program: NewProgram) -> None:
    new_program(tmp_path / "g++", gcc(16))
    for major in (9, 14):
        new_program(tmp_path / f"g++-{major}", gcc(major))
    new_program(tmp_path / "gcc-14", gcc(14))

    found = find_host_compiler(LIMITS, {"PATH": str(tmp_path)})

    assert (found.cxx.name, found.cc) == ("g++-14", tmp_path / "gcc-14")
    assert "gcc 16.2.1 is too new for CUDA 13.0" in found.notes[0]


def test_a_wish_that_is_too_new_is_refused_and_one_that_fits_is_named(tmp_path: Path, new_program: NewProgram) -> None:
    new_program(tmp_path / "my-g++", gcc(16))
    new_program(tmp_path / "g++-14", gcc(14))

    with pytest.raises(HostCompilerError, match=r"no C\+\+ compiler here fits CUDA 13\.0") as caught:
        find_host_compiler(LIMITS, {"PATH": str(tmp_path), "CXX": "my-g++"})

    assert f"CXX: {tmp_path}/my-g++: gcc 16.2.1 is too new" in caught.value.why
    assert f"CXX={tmp_path}/g++-14" in caught.value.remedy
    assert "gcc 6 to 15 or clang 7 to 20" in caught.value.remedy


def test_when_all_are_too_new_an_older_one_is_to_be_installed(tmp_path: Path, new_program: NewProgram) -> None:
    new_program(tmp_path / "g++", gcc(16))

    with pytest.raises(HostCompilerError, match="too new") as caught:
        find_host_compiler(LIMITS, {"PATH": str(tmp_path)})

    assert "apt install g++-15" in caught.value.remedy


def test_one_that_is_too_old_is_refused(tmp_path: Path, new_program: NewProgram) -> None:
    new_program(tmp_path / "g++", gcc(5))
    with pytest.raises(HostCompilerError, match="too old"):
        find_host_compiler(LIMITS, {"PATH": str(tmp_path)})


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'fatal error: cstdint: No such file' >&2; exit 1", "exit status 1.*cstdint"),
        ("echo '#define _MSC_VER 19'", "neither gcc nor clang"),
    ],
)
def test_a_compiler_that_cannot_be_used_is_named_with_the_reason(
    tmp_path: Path, new_program: NewProgram, script: str, reason: str
) -> None:
    new_program(tmp_path / "c++", f"#!/bin/sh\n{script}\n")
    with pytest.raises(HostCompilerError, match=reason):
        find_host_compiler(LIMITS, {"PATH": str(tmp_path)})


@pytest.mark.parametrize("environ", [{}, {"CXX": "g++-14"}])
def test_without_any_the_commands_to_install_one_are_given(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(HostCompilerError, match=r"there is no C\+\+ compiler") as caught:
        find_host_compiler(LIMITS, {"PATH": str(tmp_path), **environ})

    assert all(manager in caught.value.remedy for manager in ("apt", "dnf", "conda"))
    assert environ.get("CXX", "clang++") in caught.value.why


def test_a_launcher_in_cxx_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HostCompilerError, match="more than a compiler") as caught:
        find_host_compiler(LIMITS, {"PATH": str(tmp_path), "CXX": "ccache g++"})

    assert "such as g++" in caught.value.remedy
