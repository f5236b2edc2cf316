"""Choosing cells on the command line: `plan --identifiers`, `build --only`, and the table at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import run_main
from fake_tools import write_compiler, write_toolkit
from small_packages import MACHINE, PYTHON_TAG, path_source, write_project, write_recipe, write_wheel

Call = Callable[..., tuple[int, str, str]]

CELLS = [f"{PYTHON_TAG}-torch{torch}-cu130-{MACHINE}" for torch in ("2.11", "2.12", "2.13")]


@pytest.fixture
def recipe(links: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three torches, of which the package index, a folder, has two; toolkit and compiler only say what they are."""
    write_wheel(links, "torch", "2.13.0")
    for name in [name for name in os.environ if name.startswith(("CUDA", "CXX", "CC"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CUDA_HOME", str(write_toolkit(tmp_path / "cuda")))
    monkeypatch.setenv("CXX", str(write_compiler(tmp_path / "bin" / "g++")))
    monkeypatch.setenv("CUDAWHEEL_CACHE", str(tmp_path / "cache"))
    write_project(tmp_path / "recipes" / "here")
    path = write_recipe(tmp_path / "recipes", path_source("here"))
    path.write_text(path.read_text().replace('["2.11"]', '["2.11", "2.12", "1.0", "2.13"]'))
    return path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    monkeypatch.setattr("signal.signal", lambda *_words: None)
    monkeypatch.setattr("cudawheel.cli.console.out.width", 40)

    def call_(command: str, *words: str | Path) -> tuple[int, str, str]:
        more = ["--wheelhouse", tmp_path / "house"] if command == "build" else []
        return run_main(capsys, monkeypatch, command, *words, "--toolchain", "system", *more)

    return call_


def test_identifiers_are_one_a_line_or_a_list(recipe: Path, call: Call) -> None:
    assert call("plan", recipe, "--identifiers") == (0, "\n".join(CELLS) + "\n", "")
    assert json.loads(call("plan", recipe, "--identifiers", "--json")[1]) == CELLS
    assert call("plan", recipe, "--identifiers", "--only", "*-torch2.1[13]-*")[1].split() == CELLS[::2]
    assert call("plan", recipe, "--identifiers", "--skip", "*2.11*,*2.12*")[1].split() == CELLS[2:]


def test_identifiers_go_into_a_shell_and_back(recipe: Path, call: Call) -> None:
    listed = call("plan", recipe, "--identifiers")[1]
    assert call("plan", recipe, "--identifiers", "--only", listed)[1] == listed


def test_a_plan_says_once_what_all_its_cells_carry(recipe: Path, call: Call) -> None:
    recipe.write_text(recipe.read_text().replace('"8.0;9.0+PTX"', '"7.0;9.0;12.0"'))
    code, out, _err = call("plan", recipe)
    assert code == 0
    assert out.count("9.0 12.0") == out.count("7.0: removed in CUDA 13.0") == 1
    for cell in CELLS:
        assert [line.split() for line in out.splitlines() if cell in line] == [["✓", cell]]
    assert "torch 1.0 is not known here" in next(line for line in out.splitlines() if "rejected" in line)


def test_a_plan_can_be_narrowed_and_keeps_its_rejections(recipe: Path, call: Call) -> None:
    plan = json.loads(call("plan", recipe, "--only", "*-torch*1*", "--skip", "*2.1[12]*", "--json")[1])
    assert [(cell["identifier"], cell["accepted"]) for cell in plan["cells"]] == [
        (f"{PYTHON_TAG}-torch1.0-{MACHINE}", False),
        (CELLS[2], True),
    ]


@pytest.mark.parametrize("command", ["plan", "build"])
def test_a_glob_that_matches_nothing_names_the_nearest(command: str, recipe: Path, call: Call, tmp_path: Path) -> None:
    code, out, err = call(command, recipe, "--only", "*-torch2.14-*")
    assert (code, out) == (40, "")
    assert "'*-torch2.14-*' matches no cell of tiny-ext 1.0" in err
    assert CELLS[0] in err
    assert not (tmp_path / "house").exists()


@pytest.mark.parametrize("command", ["plan", "build"])
def test_an_empty_selection_builds_nothing(command: str, recipe: Path, call: Call, tmp_path: Path) -> None:
    code, out, err = call(command, recipe, "--only", "")
    assert (code, out) == (40, "")
    assert "--only is given and names no cell" in err
    assert not (tmp_path / "house").exists()


@pytest.mark.parametrize("command", ["plan", "build"])
def test_cells_that_contradict_each_other_are_a_fault_of_the_recipe(command: str, recipe: Path, call: Call) -> None:
    recipe.write_text(recipe.read_text().replace('"2.12"', '"2.11"'))
    code, out, err = call(command, recipe, *(["--all"] if command == "build" else []))
    assert (code, out) == (3, "")
    assert "matrix.torch: found 2.11 2 times" in err


def test_nothing_is_planned_where_nothing_can_be_built(recipe: Path, call: Call) -> None:
    assert call("plan", recipe, "--identifiers", "--torch", "1.0") == (5, "", "")


@pytest.mark.usefixtures("shared_environments")
def test_what_is_selected_is_built_and_the_table_says_what_became_of_it(recipe: Path, call: Call) -> None:
    code, out, _err = call("build", recipe, "--only", "*-torch2.1[13]-*")
    assert code == 0
    assert out.splitlines()[-1] == "2 built"
    code, out, err = call("build", recipe, "--all")
    rows = [[part.strip() for part in line.split("│")] for line in out.splitlines() if "torch2" in line]
    assert code == 13, "the index has no torch 2.12"
    assert [(row[0][2:], row[1]) for row in rows] == [
        (CELLS[0], "from the store"),
        (CELLS[1], "failed"),
        (CELLS[2], "from the store"),
    ]
    assert "tiny_ext-1.0+cu.13.0.torch.2.13" in rows[2][4]
    assert out.splitlines()[-1] == "2 from the store, 1 failed"
    assert "exit 13)" in err
    code, out, _err = call("build", recipe, "--retry-failed", "--json")
    (attempt,) = json.loads(out)
    assert (code, attempt["identifier"], attempt["result"]) == (13, CELLS[1], "failed")
    assert attempt["error"]["exit_code"] == 13


@pytest.mark.usefixtures("shared_environments")
def test_a_wheel_that_serves_others_stands_in_their_rows(recipe: Path, call: Call) -> None:
    recipe.write_text(recipe.read_text().replace("[build]\n", '[build]\nabi = "torch-stable >= 2.11"\n'))
    code, out, _err = call("build", recipe, "--all")
    assert code == 0
    assert out.splitlines()[-1] == "1 built, 2 served by a wheel of another"
    assert out.count(f"as {CELLS[0]}") == 2
    (attempt,) = json.loads(call("build", recipe, "--all", "--json")[1])
    assert (attempt["result"], attempt["serves"]) == ("from the store", CELLS[1:])


def test_help_shows_how_cells_are_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cudawheel", "build", "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert "cp312-torch2.1[13]-*" in done.stdout
    for option in ("--only", "--skip", "--retry-failed", "--container", "--image"):
        assert option in done.stdout
