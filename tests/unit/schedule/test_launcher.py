"""What a command line is, as the launcher sees it, and compilers that really run behind it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_compilers import BUILD, PATIENCE, Served, Workshop, eventually, finish, is_over, serving
from fake_tools import write_program

from cudawheel.schedule import launcher
from cudawheel.schedule.budget import BudgetRequest
from cudawheel.schedule.launcher import kind_of, passes_of, subject_of, with_threads

GENCODE = "-gencode=arch=compute_90,code=sm_90"
TORCH_NVCC = (
    "-DWITH_CUDA -I/site/torch/include -I/cuda/include -c -c /src/csrc/kernel.cu -o /build/csrc/kernel.o "
    "-D__CUDA_NO_HALF_OPERATORS__ --expt-relaxed-constexpr --compiler-options '-fPIC' -O3 --threads 4 "
    f"-DTORCH_EXTENSION_NAME=_C {GENCODE} -gencode=arch=compute_80,code=sm_80 -std=c++17"
)
TORCH_CXX = (
    "-MMD -MF /build/csrc/ext.o.d -pthread -Wsign-compare -fPIC -I/site/torch/include -c /src/csrc/ext.cpp "
    "-o /build/csrc/ext.o -O3 -DTORCH_EXTENSION_NAME=_C -std=c++17"
)
CMAKE_NVCC = (
    "-forward-unknown-to-host-compiler -ccbin=/usr/bin/g++ -DNDEBUG --options-file ext.dir/includes_CUDA.rsp -O3 "
    "-std=c++17 --generate-code=arch=compute_90,code=[compute_90,sm_90] -Xcompiler=-fPIC -MD -MT ext.dir/a.cu.o "
    "-MF ext.dir/a.cu.o.d -x cu -c /src/a.cu -o CMakeFiles/ext.dir/a.cu.o"
)
CMAKE_HIDDEN_CUDA = "-x cu -rdc=true -c /src/kernels.cpp -o kernels.o"


@pytest.mark.parametrize(
    ("line", "kind", "subject"),
    [
        (TORCH_NVCC, "device", "/src/csrc/kernel.cu"),
        (TORCH_CXX, "host", "/src/csrc/ext.cpp"),
        (CMAKE_NVCC, "device", "/src/a.cu"),
        (CMAKE_HIDDEN_CUDA, "device", "/src/kernels.cpp"),
        ("-c a.cu -o a.o -Xptxas -v", "device", "a.cu"),
        ("-v -c a.cpp -o a.o", "host", "a.cpp"),
        ("-ptx a.cu -o a.ptx", "device", "a.cu"),
        ("-dc a.cu -o a.o", "device", "a.cu"),
        ("-O2 -c a.cc", "host", "a.cc"),
        ("-O2 -c a.cxx", "host", "a.cxx"),
        ("-O2 -c a.C", "host", "a.C"),
        ("-O2 -c a.c", "host", "a.c"),
        ("a.cpp b.o -o program", "host", "a.cpp"),
        ("-shared -Wl,-O1 a.o b.o -L/lib -lc10 -o _C.cpython-311.so", "link", "_C.cpython-311.so"),
        ("-shared -o lib_C.so @CMakeFiles/ext.dir/objects1.rsp", "link", "lib_C.so"),
        ("-Xcompiler=-fPIC -dlink a.o b.o -o CMakeFiles/ext.dir/cmake_device_link.o -L/cuda/lib64",
         "link", "CMakeFiles/ext.dir/cmake_device_link.o"),
        ("main.o libcore.a", "link", "a.out"),
        ("main.o libcudart.so.13 -o", "link", "a.out"),
        ("libcudart.so.13.0 -o out", "link", "out"),
    ],
)  # fmt: skip
def test_a_command_line_compiles_or_links_something(line: str, kind: str, subject: str) -> None:
    assert kind_of(line.split()) == kind
    assert subject_of(line.split(), kind) == subject


@pytest.mark.parametrize(
    "line",
    [
        "",
        "--version",
        "-V",
        "-v",
        "-###",
        "--help",
        "-dumpversion",
        "-dumpmachine",
        "-print-search-dirs",
        "--print-multiarch",
        "--list-gpu-code",
        "-print-file-name=libstdc++.a",
        "-E a.cu -o a.i",
        "-x cu -M /src/a.cu -MT a.o -o a.d",
        "-MM a.cpp",
        "-dM -E -x c++ /dev/null",
        f"--dryrun {GENCODE} -c a.cu",
        "-### -c a.cpp",
        "@everything.rsp",
    ],
)
def test_a_question_waits_for_nobody(line: str) -> None:
    assert kind_of(line.split()) == ""


@pytest.mark.parametrize(
    ("line", "passes"),
    [
        (TORCH_NVCC, 2),
        (CMAKE_NVCC, 1),
        (CMAKE_HIDDEN_CUDA, 1),
        (f"{GENCODE} {GENCODE} -c a.cu", 1),
        (f"{GENCODE} -gencode=arch=compute_90,code=compute_90 -c a.cu", 1),
        ("-gencode arch=compute_90,code=sm_90 -gencode arch=compute_90a,code=sm_90a -c a.cu", 2),
        ("--generate-code arch=compute_80,code=[compute_80,sm_80,sm_86] -c a.cu", 1),
        ('"--generate-code=arch=compute_75,code=[sm_75]" "--generate-code=arch=compute_80,code=[sm_80]" -c a.cu', 2),
        ("-arch=sm_90 -c a.cu", 1),
        ("-arch sm_90 -c a.cu", 1),
        ("--gpu-architecture=sm_90 -c a.cu", 1),
        (f"-Xcompiler -march=native {GENCODE} -c a.cu", 1),
        (f"-Xcompiler=-march=x86-64-v3,-mtune=native {GENCODE} -c a.cu", 1),
        ("-c a.cu arch=", 1),
    ],
)
def test_each_virtual_architecture_is_one_pass(line: str, passes: int) -> None:
    assert passes_of(line.split()) == passes


@pytest.mark.parametrize(
    "spelling", [["--threads", "4"], ["--threads=4"], ["-t", "4"], ["-t4"], ["-t=4"], ["-t4", "--threads", "8"], []]
)
def test_the_number_of_threads_replaces_the_packages_own(spelling: list[str]) -> None:
    arguments = ["-O3", *spelling, "-c", "a.cu", "-std=c++17", "-traditional"]
    rest = ["-O3", "-c", "a.cu", "-std=c++17", "-traditional"]
    assert with_threads(arguments, 3) == [*rest, "--threads=3"]
    assert with_threads(arguments, 1) == rest


@pytest.fixture
def nobody(tmp_path: Path) -> Iterator[Workshop]:
    """A workshop without a jobserver."""
    workshop = Workshop(tmp_path / "shop", tmp_path / "nobody")
    yield workshop
    workshop.end_all()


@pytest.fixture
def served(machine: Path, tmp_path: Path) -> Iterator[Served]:
    """A workshop whose jobserver has room for one thread."""
    with serving(tmp_path / "shop", BudgetRequest(jobs=1), root=machine) as served:
        yield served


def test_a_question_is_answered_without_a_jobserver_and_by_the_compiler_itself(nobody: Workshop) -> None:
    child = nobody.start(nobody.nvcc, "--version")
    assert finish(child).out == b"nvcc answers --version\n"
    assert [mark.process for mark in nobody.marks("asked")] == [child.pid]


def test_a_question_finds_the_signals_as_they_were(nobody: Workshop) -> None:
    # Python ignores SIGPIPE; a compiler that did would complain where `nvcc --version | head -1` has heard enough.
    tool = write_program(nobody.folder / "toolkit" / "bin" / "nvcc", "#!/bin/sh\ngrep SigIgn /proc/self/status\n")
    assert nobody.run(nobody.nvcc, "--version").out == nobody.run(tool).out


def test_a_question_may_fail(nobody: Workshop) -> None:
    write_program(nobody.folder / "toolkit" / "bin" / "nvcc", "#!/bin/sh\necho unknown option >&2\nexit 9\n")
    done = nobody.run(nobody.nvcc, "--version")
    assert (done.code, done.out, done.err) == (9, b"", b"unknown option\n")


def test_a_compiler_does_not_start_where_nobody_gives_a_lease(nobody: Workshop) -> None:
    done = nobody.run_nvcc(nobody.unit("a.cu"))
    assert done.code == 1
    assert f"cudawheel does not answer at {nobody.socket}".encode() in done.err
    assert nobody.all_marks() == []


@pytest.mark.parametrize("code", [0, 1, 2, 42, 255])
def test_exit_status_and_output_pass_through(code: int, served: Served) -> None:
    source = served.workshop.unit("a.cu", f"echo one; echo two >&2; echo three; exit {code}")
    done = served.workshop.run_nvcc(source)
    assert (done.code, done.out, done.err) == (code, b"one\nthree\n", b"two\n")
    assert len(served.workshop.marks("start")) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT])
def test_death_by_a_signal_is_told_as_shells_do(number: signal.Signals, served: Served) -> None:
    source = served.workshop.unit("a.cpp", f"ulimit -c 0; echo before; kill -{number.value} $$")
    done = served.workshop.run(served.workshop.stand_ins.cxx, "-c", source)
    assert (done.code, done.out) == (128 + number, b"before\n")
    assert len(served.workshop.marks("start")) == 1


@pytest.mark.parametrize("name", ["a.cu", "a.cpp"])
def test_a_compiler_finds_the_signals_as_they_were(name: str, served: Served) -> None:
    shop = served.workshop
    source = shop.unit(name, "grep SigIgn /proc/$$/status")
    done = shop.run_nvcc(source) if name == "a.cu" else finish(shop.start_cxx(source))
    ignored = int(done.out.split()[1], 16)
    assert [number.name for number in (signal.SIGPIPE, signal.SIGXFSZ) if ignored >> (number - 1) & 1] == []


def test_megabytes_of_bytes_that_are_no_text_pass_through(served: Served) -> None:
    script = """"$python" -IS -c 'import sys; sys.stdout.buffer.write(bytes(range(256)) * 16384)'"""
    done = served.workshop.run_nvcc(served.workshop.unit("a.cu", script))
    assert (done.code, done.err) == (0, b"")
    assert done.out == bytes(range(256)) * 16384


def test_arguments_reach_the_compiler_byte_by_byte(served: Served) -> None:
    tool = served.workshop.folder / "host" / "c++"
    write_program(tool, """#!/bin/sh\nprintf '%s\\0' "$@"\n""")
    words = [
        '-DTEXT="a b"',
        "",
        "$HOME `id` \\",
        "tab\there\nand a new line",
        b"-DB=\xff\xfe".decode(errors="surrogateescape"),
    ]
    odd = os.fsdecode(b"\xe9t\xe9\t1.cpp")
    done = served.workshop.run(served.workshop.stand_ins.cxx, *words, "-c", odd)
    assert (done.code, done.err) == (0, b"")
    assert [os.fsdecode(word) for word in done.out.split(b"\0")[:-1]] == [*words, "-c", odd]


def test_a_source_whose_name_is_no_text_is_compiled_and_remembered(machine: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "shop", BudgetRequest(jobs=1), root=machine, remember=True) as served:
        for name in ("a.cu", os.fsdecode(b"\xe9.cu"), os.fsdecode(b"\xe9.cu")):
            done = served.workshop.run_nvcc(served.workshop.unit(name, "echo compiled"))
            assert (done.code, done.out, done.err) == (0, b"compiled\n", b"")


def test_a_compiler_below_one_that_holds_a_lease_runs_straight_through(served: Served) -> None:
    inner = served.workshop.unit("host_part.cpp", "echo host part")
    outer = served.workshop.unit("a.cu", f"{served.workshop.stand_ins.cxx} -c {inner}; echo device part")
    done = served.workshop.run_nvcc(outer)
    assert (done.code, done.out) == (0, b"host part\ndevice part\n")
    assert [unit.source for unit in served.jobserver.timeline.units] == ["a.cu"]


def test_a_first_try_that_failed_for_memory_is_not_seen(served: Served) -> None:
    script = '[ $try = 1 ] && { echo half; echo "fatal: out of memory" >&2; exit 1; }; echo whole; echo a warning >&2'
    done = served.workshop.run_nvcc(served.workshop.unit("a.cu", script))
    assert (done.code, done.out, done.err) == (0, b"whole\n", b"a warning\n")
    assert len(served.workshop.marks("start")) == 2


def test_a_compiler_cache_stands_before_compilers_and_not_before_links(served: Served) -> None:
    cache = write_program(served.workshop.folder / "sccache", '#!/bin/sh\necho cached\nexec "$@"\n')
    use = {launcher.COMPILER_CACHE: str(cache)}
    unit, stand_ins = served.workshop.unit, served.workshop.stand_ins
    assert served.workshop.run_nvcc(unit("a.cu", "echo nvcc"), **use).out == b"cached\nnvcc\n"
    assert served.workshop.run(stand_ins.cxx, "-c", unit("b.cpp", "echo c++"), **use).out == b"cached\nc++\n"
    assert served.workshop.run(stand_ins.cxx, unit("b.o", "echo link"), "-o", "x.so", **use).out == b"link\n"


def test_what_a_compiler_took_is_remembered(machine: Path, tmp_path: Path) -> None:
    mib = 1 << 20
    with serving(tmp_path / "shop", BudgetRequest(jobs=1), root=machine, remember=True) as served:
        assert served.workshop.run_nvcc(served.workshop.unit("a.cu", "eat 48"), passes=2).code == 0
    cost = served.jobserver.history.cost_of(served.build.key, "a.cu", "device")
    assert cost.measured
    assert 48 * mib < cost.memory < 100 * mib


class Conversation:
    """The other end of a launcher's connection, in the hands of a test."""

    def __init__(self, listener: socket.socket) -> None:
        self._connection = listener.accept()[0]
        self._connection.settimeout(PATIENCE)
        self._lines = self._connection.makefile("rb")

    def hear(self) -> list[str]:
        return os.fsdecode(self._lines.readline()).rstrip("\n").split("\t")

    def say(self, *lines: str) -> None:
        self._connection.sendall("".join(f"{line}\n" for line in lines).encode())

    def end(self) -> None:
        self._lines.close()
        self._connection.close()


class Switchboard:
    """Takes the calls of launchers."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.calls: list[Conversation] = []

    def accept(self) -> Conversation:
        self.calls.append(Conversation(self._listener))
        return self.calls[-1]


@pytest.fixture
def switchboard(nobody: Workshop) -> Iterator[Switchboard]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(nobody.socket))
        listener.listen()
        listener.settimeout(PATIENCE)
        switchboard = Switchboard(listener)
        yield switchboard
        for call in switchboard.calls:
            call.end()


def test_a_launcher_says_what_it_wants_what_runs_and_what_it_took(nobody: Workshop, switchboard: Switchboard) -> None:
    child = nobody.start_nvcc(nobody.unit("a.cu", "wait_for gate; exit 3"), passes=2)
    other = switchboard.accept()
    assert other.hear() == ["ask", BUILD, str(nobody.project), "device", "2", str(nobody.project / "a.cu")]
    other.say("go\t2")
    word, group = other.hear()
    eventually(lambda: nobody.marks("start"), "the compiler runs")
    [mark] = nobody.marks("start")
    assert (word, int(group), mark.threads) == ("run", mark.process, 2)
    assert os.getpgid(mark.process) == mark.process
    nobody.open("gate")
    word, code, number, peak, cpu_seconds, seconds, starved = other.hear()
    assert (word, code, number, starved) == ("end", "3", "0", "0")
    assert int(peak) > 0
    assert float(cpu_seconds) >= 0
    assert float(seconds) > 0
    other.say("done")
    assert finish(child).code == 3


def test_the_kernels_killer_is_offered_the_compiler_first(nobody: Workshop, switchboard: Switchboard) -> None:
    child = nobody.start_nvcc(nobody.unit("a.cu", "wait_for gate"))
    other = switchboard.accept()
    other.say("go\t1")
    assert [other.hear()[0], other.hear()[0]] == ["ask", "run"]
    eventually(lambda: nobody.marks("start"), "the compiler runs")
    score = Path(f"/proc/{nobody.marks('start')[0].process}/oom_score_adj")
    eventually(lambda: score.read_text(encoding="ascii") == "1000\n", "the compiler's score is raised")
    assert Path(f"/proc/{child.pid}/oom_score_adj").read_text(encoding="ascii") != "1000\n"


def test_a_compiler_that_is_to_stop_is_ended_with_its_children_and_reported_as_starved(
    nobody: Workshop, switchboard: Switchboard
) -> None:
    script = '[ $try = 2 ] && exit; sleep 600 & echo $! >"$folder/child"; wait'
    child = nobody.start_nvcc(nobody.unit("a.cu", script), passes=2)
    other = switchboard.accept()
    other.say("go\t2")
    assert [other.hear()[0], other.hear()[0]] == ["ask", "run"]
    note = nobody.folder / "child"
    eventually(lambda: note.is_file() and note.read_text(encoding="ascii"), "the compiler has a child")
    other.say("stop")
    assert other.hear()[:3] == ["end", "0", str(signal.SIGKILL.value)]
    other.say("go\t1")
    assert [other.hear()[0], other.hear()[0]] == ["run", "end"]
    other.say("done")
    assert finish(child).code == 0
    eventually(lambda: is_over(int(note.read_text(encoding="ascii"))), "the compiler's child is gone")


def test_what_a_killed_compiler_leaves_behind_is_ended(nobody: Workshop, switchboard: Switchboard) -> None:
    script = 'sleep 600 & echo $! >"$folder/child"; kill -9 $$'
    child = nobody.start_nvcc(nobody.unit("a.cu", script))
    other = switchboard.accept()
    other.say("go\t1")
    assert [other.hear()[0] for _ in range(3)] == ["ask", "run", "end"]
    other.say("done")
    assert finish(child).code == 128 + signal.SIGKILL
    orphan = int((nobody.folder / "child").read_text(encoding="ascii"))
    eventually(lambda: is_over(orphan), "the orphan is gone")


def test_a_stop_that_comes_too_late_is_no_answer(nobody: Workshop, switchboard: Switchboard) -> None:
    child = nobody.start_nvcc(nobody.unit("a.cu", "[ $try = 2 ] || kill -9 $$"))
    other = switchboard.accept()
    other.say("go\t2")
    assert [other.hear()[0] for _ in range(3)] == ["ask", "run", "end"]
    other.say("stop", "go\t1")
    assert [other.hear()[0] for _ in range(2)] == ["run", "end"]
    other.say("stop", "done")
    assert finish(child).code == 0


@pytest.mark.parametrize("moment", ["before it may start", "while it compiles"])
def test_without_its_jobserver_a_compiler_ends(moment: str, nobody: Workshop, switchboard: Switchboard) -> None:
    child = nobody.start_nvcc(nobody.unit("a.cu", "echo too early; wait_for ever"))
    other = switchboard.accept()
    assert other.hear()[0] == "ask"
    if moment == "while it compiles":
        other.say("go\t1")
        assert other.hear()[0] == "run"
    other.end()
    done = finish(child)
    assert (done.code, done.out) == (1, b"")
    assert done.err.startswith(b"cudawheel is gone")
    assert all(is_over(mark.process) for mark in nobody.marks("start"))
