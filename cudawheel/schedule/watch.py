"""Any command under the memory guard: what a recipe's build gets, for people who do not use recipes.

Its compilers are found through PATH and the usual variables, so stand-ins at these places make them wait their turn.
What is not caught that way still runs within the cgroup, on the leash.
"""

from __future__ import annotations

import hashlib
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cudawheel.process import follow
from cudawheel.schedule import launcher
from cudawheel.schedule.budget import BudgetRequest
from cudawheel.schedule.dispatcher import Build
from cudawheel.schedule.history import CostKey, History
from cudawheel.schedule.jobserver import Jobserver
from cudawheel.schedule.limits import GIB
from cudawheel.schedule.stand_ins import PathStandIns, write_path_stand_ins, write_stand_in
from cudawheel.schedule.timeline import Timeline

_NAME = "watch"
# One nvcc pass with torch's headers takes 2.98 GB (torch 2.11, CUDA 13.0), whatever the number of capabilities. Of
# a smaller budget a part is left to whoever calls the compilers: pip and its backend hold 0.1 to 0.5 GiB.
_EACH = 3 * GIB
_SHARE_OF_ONE = 0.75
_NAMED = ("CC", "CXX", "CUDACXX", "PYTORCH_NVCC")
_LAUNCHERS = ("CMAKE_C_COMPILER_LAUNCHER", "CMAKE_CXX_COMPILER_LAUNCHER", "CMAKE_CUDA_COMPILER_LAUNCHER")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Who is told what.

    Attributes:
        output: pieces of the command's output, and whether they came on standard error.
        look: after every look at the machine: bytes used, bytes of the budget, threads running, compilers waiting.
        note: what people should know.
    """

    output: Callable[[bytes, bool], None]
    look: Callable[[int, int, int, int], None]
    note: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A command that has ended.

    Attributes:
        code: its exit status; negative for a signal.
        seconds: wall time.
        timeline: memory and compilers while it ran.
        budget: what there was, in words.
        confinement: how it was held, in words.
        kills: processes of it that the kernel ended for want of memory.
        starved: sources that found too little memory even alone, in words.
    """

    code: int
    seconds: float
    timeline: Timeline
    budget: str
    confinement: str
    kills: int
    starved: tuple[str, ...]


def watch(
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    request: BudgetRequest,
    history: Path,
    listener: Listener,
) -> Watched:
    """Run a command whose compilers wait their turn, in a cgroup where that is permitted, on the leash everywhere.

    Args:
        environ: the environment that it would have.
        request: what it may take.
        history: the file in which costs are remembered, under this very command.
        listener: told what goes on.

    Raises:
        OSError: there is no folder to write stand-ins into.
        KeyboardInterrupt: passed on after everything below the command has been ended.
    """
    with Jobserver(request, History(history)) as jobserver:
        jobserver.on_look = listener.look
        cuda_home = find_cuda_home(environ)
        folder = jobserver.socket.parent / "compilers"
        path = environ.get("PATH", "")
        stand_ins = write_path_stand_ins(folder, cuda_home=cuda_home, path=path, socket=jobserver.socket)
        build = _build(command, jobserver, listener)
        variables = watched_environment(environ, stand_ins, jobserver.socket) if stand_ins.can_run else dict(environ)
        if not stand_ins.can_run:
            listener.note(f"nothing may be executed in {folder}: compilers do not wait their turn; set TMPDIR")
        with jobserver.serve(build):
            done = follow(command, env=variables, on_output=listener.output, hold=jobserver.confinement.command)
            build.finished = done.code == 0
        return Watched(
            code=done.code,
            seconds=done.seconds,
            timeline=jobserver.timeline,
            budget=str(jobserver.budget),
            confinement=str(jobserver.confinement),
            kills=jobserver.confinement.kills(),
            starved=tuple(build.starved),
        )


def find_cuda_home(environ: Mapping[str, str], root: Path = Path("/")) -> Path | None:
    """Give the toolkit that torch and CMake would find: CUDA_HOME, CUDA_PATH, the nvcc on PATH, /usr/local/cuda."""
    named = [Path(environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if environ.get(name)]
    on_path = shutil.which("nvcc", path=environ.get("PATH", ""))
    found = [Path(on_path).resolve().parent.parent] if on_path else []
    homes = (*named, *found, root / "usr/local/cuda")
    return next((home.absolute() for home in homes if (home / "bin" / "nvcc").is_file()), None)


def watched_environment(environ: Mapping[str, str], stand_ins: PathStandIns, socket: Path) -> dict[str, str]:
    """Give the environment in which compilers are found that wait their turn; what a person has set stays set."""
    path = environ.get("PATH", "")
    variables = {**environ, "PATH": f"{stand_ins.path}:{path}" if path else str(stand_ins.path), launcher.BUILD: _NAME}
    if stand_ins.cuda_home is not None:
        nvcc = str(stand_ins.cuda_home / "bin" / "nvcc")
        variables.update({"CUDA_HOME": str(stand_ins.cuda_home), "CUDA_PATH": str(stand_ins.cuda_home)})
        variables.update({name: nvcc for name in ("CUDACXX", "PYTORCH_NVCC") if not environ.get(name)})
    for name in _NAMED:
        words = shlex.split(environ.get(name, ""))
        compiler = shutil.which(words[0], path=path) if words else None
        # A cache in front of the compiler finds the stand-in behind it by PATH.
        if compiler and Path(compiler).resolve().name not in {"ccache", "sccache"}:
            stand_in = write_stand_in(stand_ins.launch.with_name(name) / Path(compiler).name, Path(compiler), socket)
            variables[name] = shlex.join([str(stand_in), *words[1:]])
    for name in _LAUNCHERS:
        variables.setdefault(name, str(stand_ins.launch))
    return variables


def _build(command: Sequence[str], jobserver: Jobserver, listener: Listener) -> Build:
    # The command itself is not written down: its words may hold a password.
    digest = hashlib.sha256("\0".join(command).encode("utf-8", "surrogateescape")).hexdigest()
    memory = min(_EACH, int(jobserver.budget.memory * _SHARE_OF_ONE))
    key = CostKey(package=f"{_NAME} {digest[:16]}", fingerprint="", cuda="", torch="", memory=memory)
    return Build(name=_NAME, key=key, folder=Path.cwd(), note=listener.note)
