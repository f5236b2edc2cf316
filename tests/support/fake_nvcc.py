"""A toolkit that compiles nothing and says what of it ran, for tests of what runs nvcc's steps."""

from __future__ import annotations

import atexit
import marshal
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
_FLAGS = ("NVCC_APPEND_FLAGS", "NVCC_PREPEND_FLAGS", nvcc_steps.SWITCH)


def flags(*numbers: int) -> list[str]:
    """Flags for the passes of some capabilities."""
    return [f"-gencode=arch=compute_{number},code=sm_{number}" for number in numbers]


@cache
def compiled_program() -> str:
    """The program as bytecode: what is run by its path is otherwise compiled each time, a dozen times a compilation."""
    folder = tempfile.mkdtemp(prefix="fake-nvcc-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(py_compile.compile(fake_nvcc_program.__file__, f"{folder}/program.pyc", doraise=True))


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
            command = [sys.executable, "-IS", compiled_program(), str(self.folder), name]
            write_program(self.folder / place / name, f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
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
        (self.folder / "orders").write_bytes(marshal.dumps(orders))

    def unit(self, name: str = "a.cu", text: str = "source") -> Path:
        source = self.project / name
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(text, encoding="utf-8")
        return source

    def compile(self, *arguments: str, threads: int = 1, **environment: str) -> Done:
        """Run `nvcc_steps` in the project, with what it is given or else a usual command line."""
        command = [sys.executable, "-IS", nvcc_steps.__file__, str(threads), self.nvcc, *(arguments or self.usual())]
        return self.run(*command, **environment)

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
        marks = fake_nvcc_program.marks_of(str(file)) if file.is_file() else []
        return [Mark(what, label, words) for what, label, *words in marks]

    def forget(self) -> None:
        (self.folder / "marks").unlink()
