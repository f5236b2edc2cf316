"""Compilers that compile nothing, and a jobserver that serves them: what the tests of real processes share.

Each of these compilers runs its source, which is a shell script, and leaves marks of when it ran on how many threads.
So a test writes what a compiler is to do where it says which file is compiled.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from fake_tools import write_program

from cudawheel.schedule import launcher
from cudawheel.schedule.budget import BudgetRequest
from cudawheel.schedule.dispatcher import Build
from cudawheel.schedule.history import CostKey, History
from cudawheel.schedule.jobserver import Jobserver
from cudawheel.schedule.limits import GIB
from cudawheel.schedule.stand_ins import StandIns, write_stand_ins

BUILD = "project sm90"
# On a quiet machine everything here is over in a moment; on a busy one a test waits rather than fails.
PATIENCE = 60.0

# What a source finds: `$try`, how often it was compiled, this time counted; `$threads`; `wait_for GATE`; `eat MIB`.
COMPILER = """#!/bin/sh
threads=1 source= python={python} folder={folder}
for word in "$@"; do
    case "$word" in
        --threads=*) threads=${{word#--threads=}} ;;
        --dryrun) exit 1 ;; # it has no steps that could be run without it
        *.cu | *.cpp | *.o) [ "$previous" = -o ] || source=$word ;;
    esac
    previous=$word
done
mark() {{ echo "$1 ${{source##*/}} $threads $$" >>"$folder/marks"; }}
wait_for() {{ until [ -e "$folder/$1" ] || [ -e "$folder/closed" ] || [ ! -d "$folder" ]; do sleep 0.02; done; }}
eat() {{ "$python" -IS -c 'import sys; eaten = b"x" * (int(sys.argv[1]) << 20)' "$1"; }}
if [ -z "$source" ]; then
    mark asked
    echo "{name} answers $*"
    exit 0
fi
case $source in */*) ;; *) source=./$source ;; esac
try=0
[ -e "$source.try" ] && read -r try <"$source.try"
try=$((try + 1))
echo "$try" >"$source.try"
trap 'mark end' EXIT
mark start
. "$source"
"""


def capabilities(number: int) -> list[str]:
    """The flags that make nvcc run so many device passes."""
    return [f"-gencode=arch=compute_{75 + count},code=sm_{75 + count}" for count in range(number)]


def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until something holds; fail where it never does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.01)


def is_over(process: int) -> bool:
    """Whether a process has ended; one that nobody has buried counts as ended."""
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@dataclass(frozen=True)
class Mark:
    """What a compiler left behind: `start`, `end`, or `asked` for a question."""

    what: str
    name: str
    threads: int
    process: int


@dataclass(frozen=True)
class Done:
    """A compiler that has ended, as whoever called it sees it."""

    code: int
    out: bytes
    err: bytes


@dataclass
class Workshop:
    """A project, the compilers that stand in for its toolkit's, and everything started with them.

    Attributes:
        notes: what the build was told to tell people.
    """

    folder: Path
    socket: Path
    notes: list[str] = field(default_factory=list)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.project.mkdir(parents=True)
        toolkit, host = self.folder / "toolkit", self.folder / "host"
        nvcc, cxx, cc = (self._compiler(path) for path in (toolkit / "bin" / "nvcc", host / "c++", host / "cc"))
        self.stand_ins: StandIns = write_stand_ins(
            self.folder / "compilers", cuda_home=nvcc.parents[1], cxx=cxx, cc=cc, path="", socket=self.socket
        )
        self.nvcc = self.stand_ins.cuda_home / "bin" / "nvcc"

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def environment(self) -> dict[str, str]:
        ours = {launcher.HOLDING, launcher.COMPILER_CACHE}
        return {**{name: value for name, value in os.environ.items() if name not in ours}, launcher.BUILD: BUILD}

    def unit(self, name: str, script: str = "") -> Path:
        """A source that does what the script says when it is compiled."""
        source = self.project / name
        source.write_text(script + "\n", encoding="utf-8")
        return source

    def start(self, *command: str | Path, **environment: str) -> subprocess.Popen[bytes]:
        """Start a command of the project; of a stand-in this gives the launcher, which takes its place."""
        child = subprocess.Popen(
            command,
            cwd=self.project,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.started.append(child)
        return child

    def start_nvcc(self, source: Path, passes: int = 1, **environment: str) -> subprocess.Popen[bytes]:
        return self.start(self.nvcc, *capabilities(passes), "-c", source, "-o", f"{source}.o", **environment)

    def start_cxx(self, source: Path) -> subprocess.Popen[bytes]:
        """Start a host compiler, which takes one thread whatever there is."""
        return self.start(self.stand_ins.cxx, "-c", source, "-o", f"{source}.o")

    def run(self, *command: str | Path, **environment: str) -> Done:
        return finish(self.start(*command, **environment))

    def run_nvcc(self, source: Path, passes: int = 1, **environment: str) -> Done:
        return finish(self.start_nvcc(source, passes, **environment))

    def open(self, gate: str) -> None:
        """Let go on what waits for a gate."""
        (self.folder / gate).touch()

    def marks(self, what: str, name: str = "") -> list[Mark]:
        """The marks of one kind in the order in which they were left, of one source or of all."""
        return [mark for mark in self.all_marks() if mark.what == what and name in {"", mark.name}]

    def all_marks(self) -> list[Mark]:
        file = self.folder / "marks"
        words = [line.split() for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []
        # A question has no source.
        return [Mark(word[0], " ".join(word[1:-2]), int(word[-2]), int(word[-1])) for word in words]

    def end_all(self) -> None:
        """End what was started; a compiler whose launcher is gone goes by itself."""
        self.open("closed")
        for child in self.started:
            if child.returncode is None:
                with suppress(ProcessLookupError):
                    child.kill()
                child.communicate()

    def _compiler(self, path: Path) -> Path:
        words = {"python": sys.executable, "folder": str(self.folder)}
        quoted = {name: shlex.quote(word) for name, word in words.items()}
        return write_program(path, COMPILER.format(**quoted, name=path.name))


@dataclass
class Served:
    """A workshop and the jobserver that serves it."""

    workshop: Workshop
    jobserver: Jobserver
    build: Build

    @property
    def held(self) -> int:
        """Threads that run."""
        return sum(lease.threads for lease in self.jobserver._dispatcher.pool.held)

    @property
    def waiting(self) -> int:
        """Compilers that wait."""
        return len(self.jobserver._dispatcher.pool.waiting)


def finish(child: subprocess.Popen[bytes]) -> Done:
    """Wait for a command and give what came of it."""
    out, err = child.communicate(timeout=PATIENCE)
    return Done(child.returncode, out, err)


@contextmanager
def serving(
    folder: Path,
    request: BudgetRequest,
    *,
    root: Path,
    each: int = GIB,
    confined: bool = False,
    remember: bool = False,
    on_look: Callable[[int, int, int, int], None] | None = None,
) -> Iterator[Served]:
    """Serve a workshop in a folder.

    Args:
        root: where /proc and /sys are found.
        each: bytes that one device pass is taken to need.
    """
    history = History(folder / "costs.sqlite")
    jobserver = Jobserver(request, history, confined=confined, root=root)
    if on_look is not None:
        jobserver.on_look = on_look
    with ExitStack() as closing:
        closing.enter_context(jobserver)
        workshop = Workshop(folder, jobserver.socket)
        closing.callback(workshop.end_all)
        key = CostKey(package="project", fingerprint="f", cuda="13.0", torch="2.11", memory=each)
        build = Build(name=BUILD, key=key, folder=workshop.project, note=workshop.notes.append, remember=remember)
        with jobserver.serve(build):
            yield Served(workshop, jobserver, build)
