"""Failures that many have met, recognised in the output of a build."""

from __future__ import annotations

from pathlib import Path

import pytest

from cudawheel.builder.diagnosis import KnownFailure, diagnose, known_failures, recognise
from cudawheel.errors import BuildError, DiskFullError, OutOfMemoryError

KNOWN = known_failures()


@pytest.mark.parametrize("failure", KNOWN, ids=lambda failure: failure.name)
def test_each_example_is_recognised_first_by_its_own_pattern(failure: KnownFailure) -> None:
    output = f"[1/9] nvcc -c a.cu\n{failure.example}\nninja: build stopped\n"
    recognised, evidence = next(recognise(output))
    assert recognised.name == failure.name
    assert evidence == failure.example


@pytest.mark.parametrize("failure", KNOWN, ids=lambda failure: failure.name)
def test_each_says_what_it_is_and_what_helps(failure: KnownFailure) -> None:
    assert failure.cause.endswith(".")
    assert failure.remedy.endswith(".")


def test_names_are_given_once() -> None:
    assert len({failure.name for failure in KNOWN}) == len(KNOWN)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("g++: fatal error: Killed signal terminated program cc1plus", "out of memory"),
        ("virtual memory exhausted: Cannot allocate memory", "out of memory"),
        ("terminate called after throwing an instance of 'std::bad_alloc'", "out of memory"),
        ("OSError: [Errno 28] No space left on device: 'a.o'", "disk full"),
        ("a.cpp:1:10: fatal error: nvToolsExt.h: No such file or directory", "nvToolsExt"),
        ("  Failed to find nvcc.", "no CUDA compiler"),
        ("OSError: CUDA_HOME environment variable is not set. Please set it", "no CUDA compiler"),
        ("a.cu:3:10: fatal error: cub/cub.cuh: No such file or directory", "CUDA header missing"),
    ],
)
def test_other_spellings_are_recognised(line: str, name: str) -> None:
    assert next(recognise(line))[0].name == name


@pytest.mark.parametrize(
    "line",
    [
        "[3/4] Building CXX object killed.cpp.o",
        "fatal error: my_own_header.h: No such file or directory",
        "error: expected ';' before '}' token",
        "",
    ],
)
def test_other_failures_are_not_taken_for_known_ones(line: str) -> None:
    assert list(recognise(line)) == []


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
