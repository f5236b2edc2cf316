"""Which compilers of a command wait their turn, and what it is told."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_tools import write_program

from cudawheel.schedule import launcher
from cudawheel.schedule.budget import BudgetRequest
from cudawheel.schedule.limits import GIB
from cudawheel.schedule.stand_ins import PathStandIns, compilers_on, write_path_stand_ins
from cudawheel.schedule.watch import Listener, Watched, find_cuda_home, watch, watched_environment

SOCKET = Path("/run/jobserver")


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder of programs, compilers among them."""
    folder = tmp_path / "bin"
    for name in ("gcc", "g++-12", "x86_64-linux-gnu-gcc", "clang++", "nvcc", "gcc-ar", "python3", "cc.1", "gcc-nm-12"):
        write_program(folder / name, "#!/bin/sh\n")
    (folder / "cc").symlink_to("gcc")
    (folder / "clang").write_text("not to be executed")
    return folder


@pytest.fixture
def toolkit(tmp_path: Path) -> Path:
    home = tmp_path / "cuda"
    write_program(home / "bin" / "nvcc", "#!/bin/sh\n")
    write_program(home / "bin" / "ptxas", "#!/bin/sh\n")
    (home / "include").mkdir()
    return home


def test_compilers_are_known_by_their_names(tools: Path) -> None:
    assert set(compilers_on(str(tools))) == {"cc", "gcc", "g++-12", "x86_64-linux-gnu-gcc", "clang++", "nvcc"}


def test_the_first_on_path_counts_and_no_compiler_cache(tools: Path, tmp_path: Path) -> None:
    cache = write_program(tmp_path / "ccache" / "ccache", "#!/bin/sh\n")
    (cache.parent / "gcc").symlink_to("ccache")
    write_program(tmp_path / "other" / "nvcc", "#!/bin/sh\n")
    path = f"{cache.parent}:{tmp_path / 'other'}:{tmp_path / 'none'}::{tools}"
    found = compilers_on(path)
    assert found["gcc"] == tools / "gcc"
    assert found["nvcc"] == tmp_path / "other" / "nvcc"


def test_every_compiler_on_path_gets_a_stand_in(tools: Path, toolkit: Path, tmp_path: Path) -> None:
    made = write_path_stand_ins(tmp_path / "made", cuda_home=toolkit, path=str(tools), socket=SOCKET)
    assert {entry.name for entry in made.path.iterdir()} == set(compilers_on(str(tools)))
    assert str(tools / "g++-12") in (made.path / "g++-12").read_text()
    assert made.cuda_home is not None
    assert str(toolkit / "bin" / "nvcc") in (made.cuda_home / "bin" / "nvcc").read_text()
    assert (made.cuda_home / "bin" / "ptxas").resolve() == toolkit / "bin" / "ptxas"
    assert (made.cuda_home / "include").resolve() == toolkit / "include"
    assert made.can_run
    made.launch.chmod(0o644)
    assert not made.can_run or os.geteuid() == 0


def test_without_any_compiler_there_is_just_nothing_to_stand_in_for(tmp_path: Path) -> None:
    made = write_path_stand_ins(tmp_path / "made", cuda_home=None, path="", socket=SOCKET)
    assert made.cuda_home is None
    assert list(made.path.iterdir()) == []


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"CUDA_HOME": "{toolkit}"}, True),
        ({"CUDA_PATH": "{toolkit}", "CUDA_HOME": "/nowhere"}, True),
        ({"PATH": "{toolkit}/bin"}, True),
        ({"CUDA_HOME": "/nowhere"}, False),
        ({}, False),
    ],
)
def test_the_toolkit_is_looked_for_where_torch_does(
    variables: dict[str, str], found: bool, toolkit: Path, tmp_path: Path
) -> None:
    environ = {name: value.format(toolkit=toolkit) for name, value in variables.items()}
    assert find_cuda_home(environ, tmp_path) == (toolkit if found else None)


def test_the_usual_folder_of_a_toolkit_is_found_last(toolkit: Path, tmp_path: Path) -> None:
    (tmp_path / "usr" / "local").mkdir(parents=True)
    (tmp_path / "usr" / "local" / "cuda").symlink_to(toolkit)
    assert find_cuda_home({}, tmp_path) == tmp_path / "usr" / "local" / "cuda"


@pytest.fixture
def stand_ins(tools: Path, toolkit: Path, tmp_path: Path) -> PathStandIns:
    return write_path_stand_ins(tmp_path / "made", cuda_home=toolkit, path=str(tools), socket=SOCKET)


def test_compilers_are_found_at_every_usual_place(stand_ins: PathStandIns, tools: Path) -> None:
    variables = watched_environment({"PATH": str(tools), "OTHER": "1"}, stand_ins, SOCKET)
    nvcc = f"{stand_ins.cuda_home}/bin/nvcc"
    assert variables["PATH"] == f"{stand_ins.path}:{tools}"
    assert variables["CUDA_HOME"] == variables["CUDA_PATH"] == str(stand_ins.cuda_home)
    assert variables["CUDACXX"] == variables["PYTORCH_NVCC"] == nvcc
    assert variables["CMAKE_CUDA_COMPILER_LAUNCHER"] == str(stand_ins.launch)
    assert variables[launcher.BUILD]
    assert variables["OTHER"] == "1"
    assert "CC" not in variables


def test_what_a_person_has_set_stays_theirs(stand_ins: PathStandIns, tools: Path) -> None:
    own = {
        "PATH": str(tools),
        "CC": f"{tools}/gcc -m64",
        "CXX": "no-such-compiler",
        "CMAKE_CUDA_COMPILER_LAUNCHER": "sccache",
        "MAX_JOBS": "7",
    }
    variables = watched_environment(own, stand_ins, SOCKET)
    stand_in, *flags = variables["CC"].split()
    assert flags == ["-m64"]
    assert str(tools / "gcc") in Path(stand_in).read_text()
    assert {name: variables[name] for name in ("CXX", "CMAKE_CUDA_COMPILER_LAUNCHER", "MAX_JOBS")} == {
        name: own[name] for name in ("CXX", "CMAKE_CUDA_COMPILER_LAUNCHER", "MAX_JOBS")
    }


Run = Callable[..., Watched]


class Heard:
    def __init__(self) -> None:
        self.out, self.err = b"", b""
        self.looks: list[tuple[int, int, int, int]] = []
        self.notes: list[str] = []

    def output(self, piece: bytes, is_error: bool) -> None:
        if is_error:
            self.err += piece
        else:
            self.out += piece

    @property
    def listener(self) -> Listener:
        return Listener(output=self.output, look=lambda *look: self.looks.append(look), note=self.notes.append)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def run(heard: Heard, tools: Path, tmp_path: Path) -> Run:
    del tools

    def run_(script: str, **environ: str) -> Watched:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("CUDA", "CC", "CXX"))}
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        return watch(
            ["/bin/sh", "-c", script],
            environ={**ours, "PATH": path, **environ},
            request=BudgetRequest(memory=GIB, jobs=1),
            history=tmp_path / "costs.sqlite",
            listener=heard.listener,
        )

    return run_


def test_output_and_exit_status_are_the_commands_own(run: Run, heard: Heard) -> None:
    done = run("printf out; printf '\\377\\n' ; printf err >&2; exit 7")
    assert (heard.out, heard.err, done.code) == (b"out\xff\n", b"err", 7)
    assert done.kills == 0
    assert run("kill -TERM $$").code == -15


def test_looks_at_the_machine_are_told(run: Run, heard: Heard) -> None:
    run("sleep 2")  # a look a fraction of a second
    assert all(budget > 0 for _, budget, _, _ in heard.looks)
    assert heard.looks


def test_a_compiler_on_path_is_served_and_seen(run: Run, tmp_path: Path) -> None:
    write_program(tmp_path / "bin" / "nvcc", "#!/bin/sh\ncase $* in *--dryrun*) exit 1 ;; esac\necho compiled $*\n")
    done = run("nvcc -c a.cu -o a.o && gcc -c b.c -o b.o")
    assert done.code == 0
    assert [(unit.source, unit.kind, unit.outcome) for unit in done.timeline.units] == [
        ("a.cu", "device", "ok"),
        ("b.c", "host", "ok"),
    ]


def test_a_compiler_by_its_absolute_name_waits_behind_cmakes_launcher(run: Run, tmp_path: Path) -> None:
    done = run(f"$CMAKE_C_COMPILER_LAUNCHER {tmp_path}/bin/gcc -c c.c -o c.o")
    assert [unit.source for unit in done.timeline.units] == ["c.c"]


def test_no_more_compilers_run_at_once_than_allowed(run: Run, tmp_path: Path) -> None:
    write_program(tmp_path / "bin" / "gcc", "#!/bin/sh\nmkdir busy || exit 9\nsleep 0.1\nrmdir busy\n")
    units = (
        "for n in 1 2 3 4; do gcc -c $n.c -o $n.o & all=$all\\ $!; done; for one in $all; do wait $one || exit; done"
    )
    done = run(f"cd {tmp_path}; {units}")
    assert done.code == 0
    assert len(done.timeline.units) == 4
    assert done.timeline.most_running == 1


def test_nothing_that_a_command_leaves_behind_lives_on(run: Run, heard: Heard) -> None:
    done = run("setsid sleep 600 & echo $!")
    assert done.code == 0
    sleeper = int(heard.out)
    with pytest.raises(ProcessLookupError):
        os.kill(sleeper, 0)


def test_its_standard_input_is_the_callers(tmp_path: Path) -> None:
    """In a process of its own, since that of a test is pytest's."""
    program = (
        "import os, pathlib, sys\n"
        "from cudawheel.schedule.budget import BudgetRequest\n"
        "from cudawheel.schedule.watch import Listener, watch\n"
        "write = lambda piece, error: os.write(1, piece)\n"
        "listener = Listener(output=write, look=lambda *_: None, note=print)\n"
        "watch(['cat'], environ=dict(os.environ), request=BudgetRequest(), history=pathlib.Path(sys.argv[1]),"
        " listener=listener)\n"
    )
    import subprocess  # noqa: PLC0415 - nothing else here starts programs

    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "costs")], input=b"typed in", capture_output=True, check=True
    )
    assert done.stdout == b"typed in"


def test_a_program_that_does_not_exist_is_127(heard: Heard, tmp_path: Path) -> None:
    done = watch(
        ["no-such-program-here"],
        environ=dict(os.environ),
        request=BudgetRequest(),
        history=tmp_path / "costs.sqlite",
        listener=heard.listener,
    )
    assert done.code == 127
    assert b"no-such-program-here" in heard.err
