"""Pages of the documentation: their blocks, what the comment before each says of it, and running them.

A comment on the line before a block says what becomes of it:

`run`                         run by a test, in a folder that the blocks of a page share
`run: exit 20`                the same, and it ends with that code; `exit 0 60 61` with one of these
`run: online`                 needs a C++ compiler and the package index, so the whole page runs with integration tests
`file: NAME`                  what the block holds is written to that file of the folder
`output`                      lines of the block are in what the block before printed; `…` stands for anything
`not run: WHY`                cannot run in a test
`command: NAME`               a command of README.md that CI runs
`tested: NAME`                taken by another test, which asks for it by that name
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from small_packages import write_wheel

ROOT = Path(__file__).parents[2]
# Blocks in these languages are looked at, not typed in; all others, those without a language too, need a mark.
NOT_COMMANDS = {"ini", "json", "nginx", "text", "toml"}
_MARK = re.compile(r"<!-- (?P<word>not run|run|file|output|command|tested)(?:: (?P<rest>.+))? -->")
_FENCE = re.compile(r"```(?P<language>\w*)")
_TYPED = re.compile(r" {4}(?:\$ )?(?:cudawheel|pip|uv|python3?|nox|wsl) ")
_SECONDS = {True: 850, False: 60}


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block of a page.

    Attributes:
        line: where it begins, counted from 1.
        language: what stands behind the fence.
        word: the mark's first word, such as `run`; empty where there is no mark.
        rest: what follows it.
    """

    line: int
    language: str
    text: str
    word: str
    rest: str

    @property
    def online(self) -> bool:
        return self.word == "run" and "online" in self.rest.split(", ")

    @property
    def exit_codes(self) -> tuple[int, ...]:
        wanted = [part for part in self.rest.split(", ") if part.startswith("exit ")]
        return tuple(int(word) for word in wanted[0].split()[1:]) if wanted else (0,)


def pages() -> list[Path]:
    """Give every page that readers follow; docs/verification holds protocols of what was once run elsewhere."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md")), *guides()]


def guides() -> list[Path]:
    return sorted(ROOT.glob("docs/guides/*.md"))


def blocks_of(text: str) -> list[Block]:
    """Read the fenced blocks of a page."""
    found: list[Block] = []
    lines = text.splitlines()
    inside: list[str] | None = None
    head = Block(line=0, language="", text="", word="", rest="")
    for number, line in enumerate(lines, start=1):
        if inside is not None:
            if line.strip() == "```":
                found.append(Block(**{**vars(head), "text": "\n".join(inside) + "\n"}))
                inside = None
            else:
                inside.append(line)
        elif fence := _FENCE.match(line):
            mark = _MARK.fullmatch(lines[number - 2]) if number > 1 else None
            word, rest = (mark["word"], mark["rest"] or "") if mark else ("", "")
            head = Block(line=number, language=fence["language"], text="", word=word, rest=rest)
            inside = []
    return found


def faults_of(text: str, *, command_names: str, tested_names: str) -> list[str]:
    """Say which blocks of a page nobody answers for.

    Args:
        text: the page.
        command_names: what CI runs of README.md, in which the names of commands have to be.
        tested_names: the tests in which the names of other blocks have to be, in quotes.
    """
    faults = [f"line {number}: a command that is no fenced block" for number in _typed_lines(text)]
    for block in blocks_of(text):
        where = f"line {block.line}"
        if block.language not in NOT_COMMANDS and block.word in {"", "output"}:
            faults.append(f"{where}: neither `run` nor `not run: WHY` stands before it")
        if block.word == "not run" and len(block.rest.split()) < 3:
            faults.append(f"{where}: `not run` without a reason")
        if block.word == "command" and f" {block.rest})" not in command_names:
            faults.append(f"{where}: CI runs no command {block.rest!r}")
        if block.word == "tested" and f'"{block.rest}"' not in tested_names:
            faults.append(f"{where}: no test asks for {block.rest!r}")
    return faults


def _typed_lines(text: str) -> list[int]:
    lines = text.splitlines()
    return [number for number, line in enumerate(lines, start=1) if _TYPED.match(line)]


def run_page(text: str, folder: Path, environment: Mapping[str, str]) -> list[str]:
    """Do what a page says, block by block, and give what did not come out as it says.

    Args:
        text: the page.
        folder: where its blocks run and its files are written.
        environment: what they get.
    """
    printed = ""
    for block in blocks_of(text):
        where = f"line {block.line}"
        if block.word == "file":
            path = folder / block.rest
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.word == "run":
            done = subprocess.run(
                ["/usr/bin/env", "bash", "-euo", "pipefail", "-c", block.text],
                cwd=folder,
                env={**environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_SECONDS[block.online],
                check=False,
            )
            printed = done.stdout
            if done.returncode not in block.exit_codes:
                return [f"{where}: ended with {done.returncode}\n{printed}"]
        elif block.word == "output" and (missing := _missing(block.text, printed)):
            return [f"{where}: {missing!r} is not in\n{printed}"]
    return []


def _missing(wanted: str, printed: str) -> str:
    """Give the first line that was not printed after the ones before it; how wide a column is does not matter."""
    rest = _one_space(printed)
    for line in filter(None, map(_one_space, wanted.splitlines())):
        match = re.search(".*?".join(map(re.escape, line.split("…"))), rest)
        if match is None:
            return line
        rest = rest[match.end() :]
    return ""


def _one_space(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in text.splitlines())


def reader(folder: Path, environment: Mapping[str, str], *, home: Path | None) -> dict[str, str]:
    """Prepare a folder as a clone has it, and give the environment of somebody who reads there.

    Args:
        folder: where the blocks are to run; gets the recipes, the small packages, and one wheel.
        environment: what is there already; nothing about CUDA is taken from it.
        home: a home to read in, which installers' caches and settings are then not in.
    """
    for part in ("recipes", "tests/packages"):
        shutil.copytree(ROOT / part, folder / part)
    write_wheel(folder / "wheelhouse", "tiny-ext", "1.0")
    programs = folder.parent / "programs"
    programs.mkdir()
    # As an installer writes it: the name is how a shell's script asks for completions.
    program = programs / "cudawheel"
    program.write_text(f"#!{sys.executable}\nfrom cudawheel.cli.main import run\n\nrun()\n", encoding="utf-8")
    program.chmod(0o755)
    foreign = ("CUDA_", "NVCC_", "TORCH_", *(("XDG_",) if home else ()))
    own = {name: value for name, value in environment.items() if not name.startswith(foreign)}
    path = [str(programs), str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
    own.update(PATH=":".join(path), COLUMNS="120", TERM="dumb", CUDAWHEEL_CACHE=str(folder.parent / "cache"))
    if home is not None:
        home.mkdir()
        own["HOME"] = str(home)
    return own
