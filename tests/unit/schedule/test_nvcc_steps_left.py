"""What `nvcc_steps` leaves to nvcc: all that is more than the steps of a plain compilation, or is not understood."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from fake_nvcc import STEPS, FakeNvcc
from fake_tools import write_program

from cudawheel.schedule import nvcc_steps

BOTH = ["-c", "a.cu", "-o", "a.o"]


def started(fake: FakeNvcc) -> list[tuple[str, list[str]]]:
    return [(mark.label, mark.words) for mark in fake.marks("start")]


def labels(fake: FakeNvcc) -> list[str]:
    return [label for label, _words in started(fake)]


@pytest.mark.parametrize(
    "more",
    [
        ["-Xcompiler", "-fPIC"],
        ["-Xcompiler=-fPIC,-march=native"],
        ["--compiler-options", "'-fPIC'"],
        ["-Xptxas", "-v"],
        ["-Xptxas=-v"],
        ["-Xcompiler", "-G"],
        ["-forward-unknown-to-host-compiler"],
        ["-ccbin=/usr/bin/c++"],
        ["-lineinfo"],
        ["-odir", "folder"],
        ["-x", "cu"],
        ["-std=c++17", "-DG", "-Ikeep", "--expt-relaxed-constexpr", "-diag-suppress=177"],
        ["--compile"],
    ],
    ids=" ".join,
)
def test_a_plain_compilation_is_done_in_steps(more: list[str], fake: FakeNvcc) -> None:
    assert fake.compile(*fake.usual(*more), threads=2).code == 0
    assert sorted(labels(fake)) == sorted(STEPS)


# What they are called here is what nvcc is to be called with.
LEFT = [
    ["-rdc=true", *BOTH],
    ["-rdc", "true", *BOTH],
    ["--relocatable-device-code=true", *BOTH],
    ["-dc", "a.cu", "-o", "a.o"],
    ["--device-c", *BOTH],
    ["-dlto", *BOTH],
    ["-ewp", *BOTH],
    ["-ptx", "a.cu", "-o", "a.ptx"],
    ["-cubin", "a.cu", "-o", "a.cubin"],
    ["-fatbin", "a.cu", "-o", "a.fatbin"],
    ["--keep", *BOTH],
    ["-keep", "--keep-dir", "x", *BOTH],
    ["--save-temps", *BOTH],
    ["-objtemp", *BOTH],
    ["-G", *BOTH],
    ["--device-debug", *BOTH],
    ["--time", "x", *BOTH],
    ["-fdevice-time-trace", "x", *BOTH],
    ["--fdevice-time-trace=x", *BOTH],
    ["-v", *BOTH],
    ["--verbose", *BOTH],
    ["@more", *BOTH],
    ["--options-file", "more", *BOTH],
    ["-optf", "more", *BOTH],
    ["-Xcompiler", "-MD", "-Xcompiler", "-MF", "-Xcompiler", "a.d", *BOTH],
    ["-c", "a.cu", "b.cu", "-o", "a.o"],
    ["-c", "-x", "cu", "a.cpp", "-o", "a.o"],
    ["-c", "-x", "c++", "a.cpp", "-o", "a.o"],
    ["-c", "a.cu"],
    ["-c", "a.cu", "-oa.o"],
    ["-c", "a.cu", "--output-file", "a.o"],
    ["-c", "a.cu", "--output-file=a.o"],
    ["a.cu", "-o", "program"],
    ["--version"],
]


@pytest.mark.parametrize("command", LEFT, ids=" ".join)
def test_what_is_no_plain_compilation_is_left_to_nvcc(command: list[str], fake: FakeNvcc) -> None:
    fake.order({"nvcc": {"say": "this is nvcc", "exit": 4}})
    done = fake.compile(*command, threads=8)
    assert (done.code, done.out, done.err) == (4, b"this is nvcc\n", b"")
    assert started(fake) == [("nvcc", [*command, "--threads=8"])]


def test_nvcc_is_not_told_of_one_thread(fake: FakeNvcc) -> None:
    assert fake.compile("-ptx", "a.cu", threads=1).code == 0
    assert started(fake) == [("nvcc", ["-ptx", "a.cu"])]


@pytest.mark.parametrize(
    "answer",
    [
        {"instead": "nvcc fatal   : Unknown option '-x'\n", "exit": 1},
        {"instead": ""},
        {"instead": "#$ \n"},
        {"instead": "#$ TOP=/x\n"},
        {"instead": '#$ g++ -c -x c++ "a.cu" -o "a.o"\n'},
        {"instead": '#$ cudafe++ --gen_module_id_file "unbalanced\n'},
        {"instead": '#$ cudafe++ --gen_module_id_file "a.ii"\n#$ g++ -c "a.cpp" -o "a.o"\n'},
        {"first": ["nvcc warning : Support for this architecture will be removed"]},
        {"first": ["#$ nvlink -arch=sm_80 -o x.cubin"]},
        {"first": ["#$ -- Filter Dependencies -- > a.d"]},
        {"first": ["#$ g++ -c a.cpp -o a.o"]},
        {"first": ["#$ cudafe++ --gen_module_id_file --module_id_file_name x a.ii"]},
    ],
    ids=repr,
)
def test_steps_that_are_not_understood_are_left_to_nvcc(answer: dict[str, Any], fake: FakeNvcc) -> None:
    fake.order({"--dryrun": answer})
    done = fake.compile(threads=2)
    assert (done.code, done.err) == (0, b"")
    assert started(fake) == [("nvcc", [*fake.usual(), "--threads=2"])]


def test_a_source_that_is_not_there_is_nvccs_to_complain_about(fake: FakeNvcc) -> None:
    command = fake.usual(source="nowhere.cu")
    assert fake.compile(*command, threads=2).code == 0
    assert started(fake) == [("nvcc", [*command, "--threads=2"])]


@pytest.mark.parametrize(
    ("name", "text", "steps"),
    [
        (nvcc_steps.SWITCH, "0", False),
        (nvcc_steps.SWITCH, "1", True),
        (nvcc_steps.SWITCH, "", True),
        ("NVCC_APPEND_FLAGS", "-rdc=true", False),
        ("NVCC_PREPEND_FLAGS", "--threads=4", False),
        ("NVCC_APPEND_FLAGS", "", True),
    ],
)
def test_the_environment_may_leave_everything_to_nvcc(name: str, text: str, steps: bool, fake: FakeNvcc) -> None:
    assert fake.compile(**{name: text}).code == 0
    assert sorted(labels(fake)) == (sorted(STEPS) if steps else ["nvcc"])


@pytest.mark.parametrize("program", ["bin/ptxas", "bin/nvcc"])
def test_programs_find_the_signals_as_they_were(program: str, fake: FakeNvcc) -> None:
    # Python ignores SIGPIPE and SIGXFSZ; what it starts would, too.
    write_program(fake.folder / program, "#!/bin/sh\ngrep SigIgn /proc/self/status >&2\nexit 1\n")
    done = fake.compile()
    ignored = int(done.err.split()[1], 16)
    assert done.code == 1
    assert [number.name for number in (signal.SIGPIPE, signal.SIGXFSZ) if ignored >> (number - 1) & 1] == []
