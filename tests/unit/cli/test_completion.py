"""Completion, asked for by the scripts that shells load."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cudawheel.cli import main

Complete = Callable[..., list[str]]

# What bash does when Tab is pressed: it calls the function that was registered for the program.
PRESS_TAB = """
source "$1"
shift
[[ "$(complete -p cudawheel)" =~ -F\\ ([^ ]+) ]]
compopt() { local IFS=' '; printf 'compopt %s\\n' "$*"; }
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
"${BASH_REMATCH[1]}" cudawheel "${!#}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Put the program on PATH as an installer does, and give the environment."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "cudawheel"
    program.write_text(f"#!{sys.executable}\nfrom cudawheel.cli.main import run\n\nrun()\n")
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory, program: dict[str, str]) -> Path:
    """The script for bash in a file."""
    path = tmp_path_factory.mktemp("script") / "cudawheel"
    path.write_text(
        subprocess.check_output(["/usr/bin/env", "cudawheel", "completion", "bash"], env=program, text=True)
    )
    return path


@pytest.fixture
def complete(tmp_path: Path, program: dict[str, str], script: Path) -> Complete:
    """Press Tab behind some words in a real bash, in a folder with two recipes and two wheels."""
    for name in ("recipes/torchmcubes.toml", "recipes/chamferdist.toml", "wheelhouse/a-1.whl", "wheelhouse/b-1.whl"):
        path = tmp_path / "clone" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def complete_(*words: str) -> list[str]:
        done = subprocess.run(
            ["/usr/bin/env", "bash", "--norc", "-c", PRESS_TAB, "bash", script, "cudawheel", *words],
            cwd=tmp_path / "clone",
            env=program,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.stderr == ""
        return done.stdout.split("\n")[:-1]

    return complete_


def test_commands_are_completed(complete: Complete) -> None:
    assert complete("bu") == ["build"]
    assert complete("") == list(main._COMMANDS)
    assert complete("bake") == [""]


def test_options_are_completed(complete: Complete) -> None:
    assert complete("build", "--capab") == ["--capabilities"]
    assert complete("plan", "--toolchain", "re") == ["redist"]


@pytest.mark.parametrize("command", [("build", "--all"), ("doctor", "--for")])
def test_recipes_are_completed_by_path_and_by_name(command: tuple[str, ...], complete: Complete) -> None:
    assert complete(*command, "recipes/tor") == ["recipes/torchmcubes.toml"]
    assert complete(*command, "cham") == ["recipes/chamferdist.toml"]


def test_recipes_are_all_offered_where_nothing_is_typed(complete: Complete) -> None:
    assert complete("plan", "") == ["recipes/chamferdist.toml", "recipes/torchmcubes.toml"]


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_wheels_are_completed(command: str, complete: Complete) -> None:
    assert complete(command, "wheelhouse/b") == ["wheelhouse/b-1.whl"]


@pytest.mark.parametrize(
    "words",
    [
        ("build", "elsewhere/"),
        ("inspect", "/usr/l"),
        ("explain", "build.l"),
        ("doctor", "--python", ".v"),
        ("inspect", "--python", ""),
        ("watch", "--", ""),
        ("watch", "--", "./buil"),
        ("watch", "--", "python3", "set"),
        ("watch", "--plot", "a", "--", "no-such-progr"),
    ],
)
def test_for_anything_else_the_shell_offers_files(words: tuple[str, ...], complete: Complete) -> None:
    assert complete(*words) == ["compopt -o default", ""]


def test_programs_are_completed_for_a_command_that_is_watched(complete: Complete) -> None:
    assert complete("watch", "--", "cudawhe") == ["cudawheel"]
    assert complete("watch", "cudawhe") == ["cudawheel"]


@pytest.mark.parametrize(("shell", "registers"), [("zsh", "compdef "), ("fish", "complete --no-files --command ")])
def test_other_shells_are_told_whom_to_ask(shell: str, registers: str, program: dict[str, str]) -> None:
    done = subprocess.run(
        ["/usr/bin/env", "cudawheel", "completion", shell], env=program, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert registers in done.stdout
    assert f"_CUDAWHEEL_COMPLETE={shell}_complete" in done.stdout
    if shutil.which(shell):
        parsed = subprocess.run([shell, "-n"], input=done.stdout, capture_output=True, text=True, check=False)
        assert (parsed.returncode, parsed.stderr) == (0, "")


def test_a_shell_that_is_not_known_is_refused(program: dict[str, str]) -> None:
    done = subprocess.run(
        ["/usr/bin/env", "cudawheel", "completion", "csh"], env=program, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "'bash', 'zsh', 'fish'" in done.stderr
