"""A toolkit and host compilers that are the real ones but for this: each compiler waits its turn before it starts.

A build may call nvcc by CUDA_HOME, by CUDACXX or by PATH, and a host compiler by CXX or CC, be it CMake's, torch's or a
script's. So what stands at these places is a script of the same name, and nothing else has to know.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from cudawheel.schedule import launcher

_SCRIPT = """#!/bin/sh
# {compiler}, once there is memory and a core for it; written by cudawheel for one build.
[ -n "${{{holding}:-}}" ] && exec {compiler} "$@"
true 2>/dev/null >{starting}/$$
exec {python} -IS {launcher} {socket} {compiler} "$@"
"""

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
    (home / "bin").mkdir(parents=True)
    host.mkdir()
    for entry in cuda_home.iterdir():
        if entry.name != "bin":
            (home / entry.name).symlink_to(entry)
    for tool in (cuda_home / "bin").iterdir():
        if tool.name != "nvcc":
            (home / "bin" / tool.name).symlink_to(tool)
    _write(home / "bin" / "nvcc", cuda_home / "bin" / "nvcc", socket)
    called = {name: Path(found) for name in _USUAL_NAMES if (found := shutil.which(name, path=path))}
    for name, compiler in {**called, **({cc.name: cc} if cc is not None else {}), cxx.name: cxx}.items():
        _write(host / name, compiler, socket)
    return StandIns(cuda_home=home, cxx=host / cxx.name, cc=host / cc.name if cc is not None else None)


def _write(path: Path, compiler: Path, socket: Path) -> None:
    words = {
        "compiler": compiler,
        "python": sys.executable,
        "launcher": Path(launcher.__file__),
        "socket": socket,
        "starting": launcher.starting_folder(str(socket)),
    }
    quoted = {name: shlex.quote(str(value)) for name, value in words.items()}
    path.write_text(_SCRIPT.format(**quoted, holding=launcher.HOLDING), encoding="utf-8")
    path.chmod(0o755)
