"""A toolkit and host compilers that are the real ones but for this: each compiler waits its turn before it starts.

A build may call nvcc by CUDA_HOME, by CUDACXX or by PATH, and a host compiler by CXX or CC, be it CMake's, torch's or a
script's. So what stands at these places is a script of the same name, and nothing else has to know.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from cudawheel.schedule import launcher

_SCRIPT = """#!/bin/sh
# {name}, once there is memory and a core for it; written by cudawheel for one build.
[ -n "${{{holding}:-}}" ] && exec {compiler} "$@"
true 2>/dev/null >{starting}/$$
exec {python} -IS {launcher} {socket} {compiler} "$@"
"""

_COMPILER = re.compile(r"(?:[\w.]+-)*(?:gcc|g\+\+|cc|c\+\+|clang|clang\+\+|nvcc)(?:-\d+(?:\.\d+)*)?")
_CACHES = frozenset({"ccache", "sccache", "distcc", "icecc"})
_USUAL_NAMES = ("c++", "g++", "clang++", "cc", "gcc", "clang")


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIns:
    """Where the stand-ins lie.

    Attributes:
        cuda_home: a toolkit whose `bin/nvcc` is a stand-in and whose other files are links.
        cxx: stand-in of the C++ compiler.
        cc: stand-in of the C compiler, where there is one.
    """

    cuda_home: Path
    cxx: Path
    cc: Path | None


def write_stand_ins(folder: Path, *, cuda_home: Path, cxx: Path, cc: Path | None, path: str, socket: Path) -> StandIns:
    """Write the stand-ins of one build into `folder`, in place of earlier ones.

    Args:
        cuda_home: the toolkit that is stood in for.
        cxx: the C++ compiler that is.
        cc: the C compiler that is, if there is one.
        path: where a script that calls a compiler by another of its usual names would find it.
        socket: where the jobserver listens.
    """
    shutil.rmtree(folder, ignore_errors=True)
    home, host = folder / "cuda", folder / "host"
    _write_toolkit(home, cuda_home, socket)
    host.mkdir()
    called = {name: Path(found) for name in _USUAL_NAMES if (found := shutil.which(name, path=path))}
    for name, compiler in {**called, **({cc.name: cc} if cc is not None else {}), cxx.name: cxx}.items():
        _write(host / name, compiler, socket)
    return StandIns(cuda_home=home, cxx=host / cxx.name, cc=host / cc.name if cc is not None else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStandIns:
    """Stand-ins for whatever compilers a command may find.

    Attributes:
        path: a folder to go first on PATH, with a stand-in for every compiler that is on it.
        cuda_home: a toolkit whose `bin/nvcc` is a stand-in, where there is one.
        launch: a program that runs the compiler it is given as its arguments, once it is its turn.
    """

    path: Path
    cuda_home: Path | None
    launch: Path

    @property
    def can_run(self) -> bool:
        """Whether they may be executed where they lie: some machines forbid that for /tmp."""
        return os.access(self.launch, os.X_OK)


def write_path_stand_ins(folder: Path, *, cuda_home: Path | None, path: str, socket: Path) -> PathStandIns:
    """Write stand-ins for every compiler on a PATH, whatever prefix and version its name has, and for a toolkit.

    Args:
        folder: where to, in place of earlier ones.
        cuda_home: the toolkit, or None.
        path: the PATH; of compilers of one name the first stands for all, but for a compiler cache's links.
        socket: where the jobserver listens.
    """
    shutil.rmtree(folder, ignore_errors=True)
    host = folder / "host"
    host.mkdir(parents=True)
    compilers = compilers_on(path)
    if cuda_home is not None:
        _write_toolkit(folder / "cuda", cuda_home, socket)
        compilers.setdefault("nvcc", cuda_home / "bin" / "nvcc")
    for name, compiler in compilers.items():
        _write(host / name, compiler, socket)
    launch = write_stand_in(folder / "launch", None, socket)
    return PathStandIns(path=host, cuda_home=folder / "cuda" if cuda_home is not None else None, launch=launch)


def compilers_on(path: str) -> dict[str, Path]:
    """Give the compilers of a PATH by their names, such as `x86_64-linux-gnu-gcc-12`."""
    found: dict[str, Path] = {}
    for folder in map(Path, filter(None, path.split(":"))):
        try:
            names = sorted(os.listdir(folder))  # noqa: PTH208 - thousands of them, and few are compilers
        except OSError:
            continue
        for name in names:
            compiler = folder / name
            if not _COMPILER.fullmatch(name) or name in found or not os.access(compiler, os.X_OK):
                continue
            # A compiler cache looks for the real one on PATH, finds the stand-in, and would go round in circles.
            if compiler.resolve().name not in _CACHES:
                found[name] = compiler
    return found


def write_stand_in(path: Path, compiler: Path | None, socket: Path) -> Path:
    """Write one stand-in and give its path; without a compiler it runs the one that its first argument names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, compiler, socket)
    return path


def _write_toolkit(home: Path, cuda_home: Path, socket: Path) -> None:
    (home / "bin").mkdir(parents=True)
    for entry in cuda_home.iterdir():
        if entry.name != "bin":
            (home / entry.name).symlink_to(entry)
    for tool in (cuda_home / "bin").iterdir():
        if tool.name != "nvcc":
            (home / "bin" / tool.name).symlink_to(tool)
    _write(home / "bin" / "nvcc", cuda_home / "bin" / "nvcc", socket)


def _write(path: Path, compiler: Path | None, socket: Path) -> None:
    words = {
        "name": compiler or "the compiler that it is given",
        "compiler": compiler or "",
        "python": sys.executable,
        "launcher": Path(launcher.__file__),
        "socket": socket,
        "starting": launcher.starting_folder(str(socket)),
    }
    quoted = {name: shlex.quote(str(value)) if value else "" for name, value in words.items()}
    path.write_text(_SCRIPT.format(**quoted, holding=launcher.HOLDING), encoding="utf-8")
    path.chmod(0o755)
