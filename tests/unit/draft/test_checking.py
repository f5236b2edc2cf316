"""Checking a recipe: what is wrong, with which exit code, and what is only strange."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from draft_projects import TORCH
from small_packages import MACHINE as PROCESSOR
from small_packages import git_source, path_source

from cudawheel.draft.checking import Checked, check_recipe
from cudawheel.model.progress import Silent
from cudawheel.model.version import PythonVersion
from cudawheel.plan.plan import Machine
from cudawheel.plan.selectors import Selector
from cudawheel.recipe.loading import LoadedRecipe, load_recipe

MACHINE = Machine(machine=PROCESSOR, python=PythonVersion(3, 12))
NO_SUCH = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def checked(load, tmp_path: Path) -> Callable[..., Checked]:
    """Check a recipe whose source lies beside it, changed as the texts say."""

    def checked_(
        *changes: tuple[str, str], build: str = "", only: tuple[str, ...] = (), offline: bool = True
    ) -> Checked:
        for name, text in TORCH.items():
            path = tmp_path / "recipes" / "here" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        loaded: LoadedRecipe = load(path_source("here"), build=build)
        text = loaded.path.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        loaded.path.write_text(text)
        return check(load_recipe(loaded.path), tmp_path, only, offline=offline)

    return checked_


def check(loaded: LoadedRecipe, tmp_path: Path, only: tuple[str, ...] = (), *, offline: bool = False) -> Checked:
    return check_recipe(
        loaded, MACHINE, selector=Selector.parse(only), cache=tmp_path / "cache", progress=Silent(), offline=offline
    )


def test_a_sound_recipe_has_no_problem(checked) -> None:
    found = checked()
    assert (found.problems, found.exit_code, found.rejected) == ((), 0, 0)
    assert len(found.cells) == 1


@pytest.mark.parametrize(
    ("old", "new", "path", "code"),
    [
        ('torch = ["2.11"]', 'torch = ["2.11", "2.11"]', "matrix.torch", 3),
        ('torch = ["2.11"]', 'torch = ["2.11"]\ncuda = ["12.6"]', "matrix.cuda", 3),
        ('torch = ["2.11"]', 'torch = ["2.11", "1.0"]', "matrix.torch", 5),
        ('torch = ["2.11"]', 'torch = ["1.0"]', "matrix", 5),
        ('name = "tiny-ext"', 'name = "other-ext"', "package.name", 3),
        ("memory-per-job = 0.1", 'requires = ["torch<2.11"]', "build.requires", 3),
        ("memory-per-job = 0.1", 'environment = { CMAKE_ARGS = "-DCMAKE_CUDA_ARCHITECTURES=80" }', "build", 3),
        (
            "memory-per-job = 0.1",
            'capability-list = { variable = "X_CUDA_ARCHS" }\nenvironment = { X_CUDA_ARCHS = "80" }',
            "build.environment",
            3,
        ),
        ("memory-per-job = 0.1", 'patches = ["nowhere.patch"]', "build.patches", 9),
        ('imports = ["tiny_ext"]', 'imports = ["tiny_ext"]\ncheck = "nowhere.py"', "wheel.check", 3),
        ('path = "here"', 'path = "nowhere"', "sources.here", 6),
    ],
)
def test_what_is_wrong_is_found_with_its_exit_code(checked, old: str, new: str, path: str, code: int) -> None:
    found = checked((old, new))
    assert path in [problem.path for problem in found.problems if problem.is_error]
    assert found.exit_code == code


def test_a_replacement_that_does_not_apply_is_found_without_building(checked) -> None:
    build = '[[build.replacements]]\nfile = "setup.py"\nold = "nowhere"\nnew = ""\n'
    assert checked(build=build).exit_code == 9
    there = """'    cmdclass={"build_ext": BuildExtension},'"""
    assert checked(build=build.replace('"nowhere"', there)).exit_code == 0


def test_all_changes_that_do_not_apply_are_found_and_what_else_is_wrong(checked) -> None:
    line = '[[build.replacements]]\nfile = "setup.py"\nold = "{}"\nnew = ""\n'
    build = "".join(line.format(text) for text in ("nowhere", "neither"))
    found = checked(('version = "1.0"', 'version = "1.5"'), ('name = "tiny-ext"', 'name = "other"'), build=build)
    paths = [problem.path for problem in found.problems]
    assert paths == ["sources.here", "sources.here", "package.name", "package.version"]
    assert ["'nowhere'" in found.problems[0].found, "'neither'" in found.problems[1].found] == [True, True]
    assert found.exit_code == 9


def test_what_a_draft_asked_for_and_nobody_settled_is_a_warning(checked) -> None:
    found = checked(("[matrix]", "# UNSURE matrix.torch: all.\n# EDIT Say which.\n# An UNSURE word.\n[matrix]"))
    (problem,) = found.problems
    assert found.exit_code == 0
    first = int(problem.found.split()[-2].rstrip(","))
    assert problem.found == f"1 UNSURE and 1 EDIT of the draft are left: lines {first}, {first + 1}"


def test_another_version_in_the_source_is_a_warning(checked) -> None:
    found = checked(('version = "1.0"', 'version = "1.5"'))
    assert found.exit_code == 0
    assert "setup.py 1.0" in next(problem.found for problem in found.problems if problem.path == "package.version")


def test_a_capability_that_no_wheel_carries_is_a_warning(checked) -> None:
    found = checked(('request = "8.0;9.0+PTX"', 'request = "7.0;8.0"'))
    assert found.exit_code == 0
    assert found.problems[0].found.startswith("7.0 is in no wheel")


@pytest.mark.parametrize(("only", "code"), [(("cp3*",), 0), (("cp27-*",), 40)])
def test_a_pattern_that_matches_nothing_is_found(checked, only: tuple[str, ...], code: int) -> None:
    assert checked(only=only).exit_code == code


def test_a_source_without_cuda_is_found_where_cuda_is_required(load, tmp_path: Path) -> None:
    folder = tmp_path / "recipes" / "here"
    folder.mkdir(parents=True)
    (folder / "setup.py").write_text("from setuptools import setup\nsetup(name='tiny-ext', version='1.0')\n")
    loaded = load(path_source("here"))
    assert check(loaded, tmp_path).exit_code == 0
    loaded.path.write_text(loaded.path.read_text().replace('cuda = "optional"', 'cuda = "required"'))
    assert check(load_recipe(loaded.path), tmp_path).exit_code == 71


def test_a_source_that_cannot_be_reached_is_an_error_unless_another_can(load, tmp_path: Path, checked) -> None:
    nowhere = git_source((tmp_path / "nowhere").as_uri(), NO_SUCH)
    alone = load(nowhere)
    assert check(alone, tmp_path).exit_code == 6
    assert check(alone, tmp_path, offline=True).exit_code == 0
    checked()
    both = check(load(nowhere, path_source("here", "bundled")), tmp_path)
    assert (both.exit_code, both.reached) == (0, ("bundled",))
    assert both.problems[0].path == "sources.upstream"
