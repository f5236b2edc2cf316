"""`cudawheel recipe` on the command line: what it writes, prints and ends with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import run_main
from draft_projects import TORCH
from small_packages import path_source, tar_of, write_recipe

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run the command line in this process, in a folder of its own; gives exit code, standard output and error."""
    monkeypatch.setattr("signal.signal", lambda *_words: None)
    monkeypatch.setattr("cudawheel.cli.console.out.width", 200)
    monkeypatch.setenv("CUDAWHEEL_CACHE", str(tmp_path / "cache"))
    # An index that does not answer, at once: what a person has at hand is drafted all the same.
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple/")
    monkeypatch.chdir(tmp_path)

    def call_(*words: str | Path) -> tuple[int, str, str]:
        return run_main(capsys, monkeypatch, *words)

    return call_


@pytest.fixture
def sdist(tmp_path: Path) -> Path:
    path = tmp_path / "tiny_ext-1.0.tar.gz"
    path.write_bytes(tar_of({f"tiny_ext-1.0/{name}": text.encode() for name, text in TORCH.items()}))
    return path


def test_a_draft_is_written_and_can_be_planned_at_once(call: Call, sdist: Path, tmp_path: Path) -> None:
    code, out, err = call("recipe", "new", sdist)
    assert (code, err) == (0, "")
    assert "20 of 20 cells can be built; wrote tiny-ext.toml" in out
    assert "unsure of 1" in out
    code, out, _ = call("plan", tmp_path / "tiny-ext.toml", "--json")
    assert code == 0
    assert all(cell["accepted"] for cell in json.loads(out)["cells"])


def test_a_draft_overwrites_nothing_unless_it_is_told_to(call: Call, sdist: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.toml"
    target.write_text("mine")
    code, _, err = call("recipe", "new", sdist, "--output", target)
    assert code == 2
    assert "is there already" in err
    assert target.read_text() == "mine"
    assert call("recipe", "new", sdist, "--output", target, "--force")[0] == 0
    assert "[package]" in target.read_text()


def test_a_draft_on_standard_output_is_the_recipe_and_nothing_else(call: Call, sdist: Path, tmp_path: Path) -> None:
    code, out, err = call("recipe", "new", sdist, "-o", "-")
    assert code == 0
    assert "unsure of 1" in err
    recipe = tmp_path / "printed.toml"
    recipe.write_text(out)
    assert call("recipe", "check", recipe, "--offline")[0] == 0


def test_a_draft_is_told_as_json(call: Call, sdist: Path) -> None:
    code, out, _ = call("recipe", "new", sdist, "--json")
    assert code == 0
    told = json.loads(out)
    assert told["recipe"] == "tiny-ext.toml"
    assert told["document"]["package"] == {"name": "tiny-ext", "version": "1.0"}
    assert [doubt["field"] for doubt in told["unsure"]] == ["sources"]
    assert len(told["cells"]) == 20


def test_what_has_no_cuda_leaves_no_recipe(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "plain-1.0.tar.gz"
    path.write_bytes(tar_of({"plain-1.0/setup.py": b"from setuptools import setup\nsetup(name='plain')\n"}))
    code, _, err = call("recipe", "new", path)
    assert code == 71
    assert "compiles nothing for CUDA" in err
    assert list(tmp_path.glob("*.toml")) == []


def test_several_recipes_are_checked_and_the_first_error_is_the_exit_code(call: Call, tmp_path: Path) -> None:
    for name, text in TORCH.items():
        path = tmp_path / "recipes" / "here" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    sound = write_recipe(tmp_path / "recipes", path_source("here"), name="sound.toml")
    gone = write_recipe(tmp_path / "recipes", path_source("gone"), name="gone.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[package]\n")
    assert call("recipe", "check", sound)[0] == 0
    code, out, _ = call("recipe", "check", sound, gone, broken)
    assert code == 6
    assert "broken.toml has" in out
    code, out, _ = call("recipe", "check", broken, sound, "--json")
    assert code == 3
    told = json.loads(out)
    assert [one["exit_code"] for one in told] == [3, 0]
    assert {"package.name", "sources", "matrix", "wheel"} <= {problem["path"] for problem in told[0]["problems"]}
    assert told[1]["sources"] == ["here"]


def test_a_pattern_that_matches_no_cell_ends_with_its_code(call: Call, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "recipes", path_source("gone"))
    code, out, _ = call("recipe", "check", recipe, "--only", "cp27-*")
    assert code in {6, 40}
    assert "'cp27-*' matches no cell" in out
