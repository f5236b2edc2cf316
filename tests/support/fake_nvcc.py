"""A toolkit that compiles nothing and says what of it ran, for tests of what runs nvcc's steps."""

from __future__ import annotations

import atexit
import os
import py_compile
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import fake_nvcc_program
from fake_compilers import PATIENCE, Done
from fake_tools import write_program

from cudawheel.schedule import nvcc_steps

_PLACES = {
    "nvcc": "bin",
    "cudafe++": "bin",
    "ptxas": "bin",
    "fatbinary": "bin",
    "cicc": "nvvm/bin",
    "g++": "host",
}
# What a compilation for two capabilities consists of, as nvcc lists it.
STEPS = [
    "g++ -E",
    "cudafe++",
    "g++ -E compute_80",
    "cicc compute_80",
    "ptxas sm_80",
    "g++ -E compute_90",
    "cicc compute_90",
    "ptxas sm_90",
    "fatbinary",
    "g++ -c",
]
_STEP = Path(__file__).with_name("fake_nvcc_step.sh")
_SEPARATOR = "\037"
_FLAGS = ("NVCC_APPEND_FLAGS", "NVCC_PREPEND_FLAGS", nvcc_steps.SWITCH)


def flags(*numbers: int) -> list[str]:
    """Flags for the passes of some capabilities."""
    return [f"-gencode=arch=compute_{number},code=sm_{number}" for number in numbers]


@cache
def compiled(path: str) -> str:
    """A program as bytecode: what is run by its path is otherwise compiled each time."""
    folder = tempfile.mkdtemp(prefix="fake-nvcc-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(py_compile.compile(path, f"{folder}/program.pyc", doraise=True))


def _as_shell(orders: dict[str, Any]) -> str:
    """What one step is to do besides, in the words of fake_nvcc_step.sh; what nvcc is to answer with `--dryrun`."""
    lines = []
    if "say" in orders:
        lines.append(f"printf '%s\\n' {shlex.quote(orders['say'])}")
    for what in ("start", "end"):
        lines += [f'wait_for 1 {what} "{other}"' for other in orders.get(f"after {what} of", ())]
    if "crowd" in orders:
        # After which one too many could start.
        lines.append(f"wait_for {orders['crowd']} start; sleep 0.05")
    if "forever" in orders:
        lines.append("exec sleep 600")
    if "once killed" in orders:
        lines.append('[ "$(count start "$label")" -gt 1 ] || kill -9 $$')
    if "signal" in orders:
        lines.append(f"kill -{orders['signal']} $$")
    if "first" in orders:
        lines.append(f"printf '%s\\n' {shlex.join(orders['first'])} >&2")
    if "instead" in orders:
        lines.append(f"printf %s {shlex.quote(orders['instead'])} >&2; exit {orders.get('exit', 0)}")
    elif "exit" in orders:
        lines.append(f'leave end "$label"; exit {orders["exit"]}')
    return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True)
class Mark:
    """The start or the end of a program."""

    what: str
    label: str
    words: list[str]


@dataclass(frozen=True)
class FakeNvcc:
    """The toolkit in a folder, and a project beside it."""

    folder: Path

    def __post_init__(self) -> None:
        for folder in (self.project, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)
        for name, place in _PLACES.items():
            program = compiled(fake_nvcc_program.__file__)
            facts = {"folder": str(self.folder), "name": name, "python": sys.executable, "program": program}
            known = " ".join(f"{fact}={shlex.quote(value)}" for fact, value in facts.items())
            write_program(self.folder / place / name, f"#!/bin/sh\n{known}\n. {shlex.quote(str(_STEP))}\n")
        self.order({})

    @property
    def nvcc(self) -> Path:
        return self.folder / "bin" / "nvcc"

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    @property
    def environment(self) -> dict[str, str]:
        rest = {name: text for name, text in os.environ.items() if name not in _FLAGS}
        return {**rest, "TMPDIR": str(self.scratch)}

    def order(self, orders: dict[str, Any]) -> None:
        """Say what steps are to do besides; `all` is for each of them, `--dryrun` for what nvcc answers."""
        everywhere = orders.get("all", {})
        told = {label: {**everywhere, **orders[label]} for label in orders if label not in {"all", "--dryrun"}}
        told["--dryrun"] = orders.get("--dryrun", {})
        cases = [f"{shlex.quote(label)})\n{_as_shell(of_one)}:;;" for label, of_one in told.items()]
        script = "\n".join(["case $label in", *cases, f"*)\n{_as_shell(everywhere)}:;;", "esac"])
        (self.folder / "orders").write_text(f"{script}\n", encoding="utf-8")

    def unit(self, name: str = "a.cu", text: str = "source") -> Path:
        source = self.project / name
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(text, encoding="utf-8")
        return source

    def compile(self, *arguments: str, threads: int = 1, **environment: str) -> Done:
        """Run `nvcc_steps` in the project, with what it is given or else a usual command line."""
        words = [str(threads), self.nvcc, *(arguments or self.usual())]
        return self.run(sys.executable, "-IS", compiled(nvcc_steps.__file__), *words, **environment)

    def run(self, *command: str | Path, **environment: str) -> Done:
        done = subprocess.run(
            command,
            cwd=self.project,
            env={**self.environment, **environment},
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def usual(self, *more: str, source: str = "a.cu", output: str = "a.o") -> list[str]:
        """A command line that is compiled in steps, two passes of them."""
        return [*flags(80, 90), *more, "-c", source, "-o", output]

    def object(self, name: str = "a.o") -> str:
        return (self.project / name).read_text(encoding="utf-8", errors="surrogateescape")

    def module_id(self, name: str = "a.o") -> str:
        """The id of the module, which every part of an object agrees upon."""
        [found] = set(re.findall("id=(.*?);", self.object(name)))
        return str(found)

    def marks(self, what: str) -> list[Mark]:
        return [mark for mark in self.all_marks() if mark.what == what]

    def all_marks(self) -> list[Mark]:
        """What started and ended, in that order."""
        file = self.folder / "marks"
        lines = os.fsdecode(file.read_bytes()).split("\n")[:-1] if file.is_file() else []
        marks = [line.split(_SEPARATOR)[:-1] for line in lines]
        return [Mark(what, label, words) for what, label, *words in marks]

    def forget(self) -> None:
        (self.folder / "marks").unlink()
