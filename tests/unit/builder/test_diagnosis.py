"""Failures that many have met, recognised in the output of a build."""

from __future__ import annotations

from pathlib import Path

import pytest

from cudawheel.builder.diagnosis import diagnose
from cudawheel.errors import BuildError, DiskFullError, OutOfMemoryError


def test_what_shows_when_something_runs_is_no_cause_of_a_failed_build() -> None:
    output = "A module that was compiled using NumPy 1.x cannot be run in\nadd.cu(3): error: oops\n"
    error = diagnose("it failed", output=output, tail=["last"], log=Path("x"))
    assert error.why.startswith("add.cu(3): error: oops")


def test_the_root_is_told_and_its_wake_named() -> None:
    why = "#error -- unsupported GNU version! gcc versions later than 13 are not supported!"
    output = f"CMake Error: No CMAKE_CUDA_COMPILER could be found.\n{why}\n"
    error = diagnose("it failed", output=output, tail=["last"], log=Path("x"))
    assert error.why.startswith("This CUDA's nvcc accepts gcc up to version 13")
    assert "Recognised besides: no nvcc was found." in error.why
    assert "CXX=g++-13" in error.remedy


@pytest.mark.parametrize(
    ("line", "kind", "code"),
    [
        ("c++: fatal error: Killed signal terminated program cc1plus", OutOfMemoryError, 15),
        ("fatal error: error writing to /tmp/ccX.s: No space left on device", DiskFullError, 19),
        ("ModuleNotFoundError: No module named 'wheel'", BuildError, 14),
        ("something that nobody has met", BuildError, 14),
    ],
)
def test_the_error_has_the_kind_of_its_cause(line: str, kind: type[BuildError], code: int) -> None:
    output = f"first\n{line}\nlast"
    error = diagnose("it failed", output=output, tail=["last"], log=Path("/logs/x.log"))
    assert type(error) is kind
    assert error.exit_code == code
    assert error.what == "it failed"
    assert error.why.endswith("last")
    assert "/logs/x.log" in error.remedy


def test_the_evidence_stands_with_the_cause() -> None:
    error = diagnose("it failed", output="a\n  nvcc: not found  \nb", tail=["b"], log=Path("x"))
    assert "  nvcc: not found\n" in error.why
    assert "--toolchain package" in error.remedy


def test_the_first_errors_stand_before_the_end_of_the_output(tmp_path: Path) -> None:
    output = "\n".join(
        [
            "[1/2] nvcc -c add.cu",
            'add.cu(3): error: identifier "oops" is undefined',
            "main.cpp:7:1: fatal error: none.h: No such file or directory",
            "CMake Error at CMakeLists.txt:4 (find_package):",
            "  Could not find Nothing.",
            'add.cu(3): error: identifier "oops" is undefined',
            *["  File setup.py, in traceback"] * 40,
            "RuntimeError: Error compiling objects for extension",
        ]
    )
    error = diagnose("the package did not build", output=output, tail=output.splitlines()[-3:], log=tmp_path)
    assert error.why.splitlines()[:4] == [
        'add.cu(3): error: identifier "oops" is undefined',
        "main.cpp:7:1: fatal error: none.h: No such file or directory",
        "CMake Error at CMakeLists.txt:4 (find_package):",
        "  Could not find Nothing.",
    ]
    assert error.why.endswith("RuntimeError: Error compiling objects for extension")
