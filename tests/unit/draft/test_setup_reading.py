"""What is read out of a setup.py: constants, variables, extensions; and that nothing of it is run."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from cudawheel.draft.environment_reads import EnvironmentRead, EnvironmentReads
from cudawheel.draft.folding import OPEN, Constants
from cudawheel.draft.setup_script import read_setup
from cudawheel.draft.tree import SourceTree


def reads(code: str) -> dict[str, EnvironmentRead]:
    tree = ast.parse(code)
    return {read.name: read for read in EnvironmentReads(tree, Constants(tree)).all()}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("'a' + B", "ab"),
        ("f'{B}._C'", "b._C"),
        ("os.path.join('csrc', B, 'x.cu')", "csrc/b/x.cu"),
        ("os.path.join(os.path.dirname(__file__), 'x')", "x"),
        ("Path(__file__).parent / 'csrc' / 'x.cu'", "csrc/x.cu"),
        ("['a', unknown(), B]", ["a", "b"]),
        ("LIST", ["x", "y"]),
        ("{'k': B}", {"k": "b"}),
        ("unknown()", OPEN),
        ("TWICE", OPEN),
        ("LOOP", OPEN),
    ],
)
def test_constants_are_worked_out_and_the_rest_stays_open(expression: str, value: object) -> None:
    code = "B = 'b'\nTWICE = 1\nTWICE = 2\nLOOP = LOOP2\nLOOP2 = LOOP\nLIST = ['x']\nLIST += ['y']\n"
    constants = Constants(ast.parse(code))
    assert constants.fold(ast.parse(expression, mode="eval").body) == value


@pytest.mark.parametrize(
    ("code", "on"),
    [
        ("A = os.getenv('X', '0') == '1'", "1"),
        ("A = os.environ.get('X', 'FALSE') == 'TRUE'", "TRUE"),
        ("A = os.environ.get('X', '').lower() in ('on', 'yes')", "on"),
        ("A = bool(int(os.environ.get('X', 0)))", "1"),
        ("A = int(os.getenv('X', '0'))", "1"),
        ("A = os.getenv('X')\nif A == 'ON':\n    pass", "ON"),
        ("if 'X' in os.environ:\n    pass", "1"),
        ("if os.getenv('X'):\n    pass", "1"),
        ("A = os.getenv('X', '1') != '0'", "1"),
        ("A = os.getenv('X')", None),
    ],
)
def test_the_value_that_turns_a_variable_on_is_read_from_what_it_is_compared_with(code: str, on: str | None) -> None:
    assert reads(f"import os\n{code}")["X"].on == on


def test_a_variable_is_found_through_a_function_of_the_file_and_through_a_constant() -> None:
    found = reads(
        "import os\nNAME = 'BY_NAME'\n"
        "def flag(name, default='0'):\n    return os.environ.get(name, default) == 'YES'\n"
        "A = flag('BY_FUNCTION')\nB = os.getenv(NAME)\n"
    )
    assert found["BY_FUNCTION"].on == "YES"
    assert "BY_NAME" in found


@pytest.mark.parametrize(
    ("default", "on"), [("'1'", True), ("'ON'", True), ("'0'", False), ("'off'", False), ("x()", False)]
)
def test_a_default_says_whether_a_switch_is_on(default: str, on: bool) -> None:
    assert reads(f"import os\nos.getenv('X', {default}) == '1'")["X"].on_by_default is on


def test_writes_are_told_from_reads_and_those_that_yield_from_those_that_do_not() -> None:
    found = reads(
        "import os\nos.environ['A'] = '1'\nos.environ.setdefault('B', '1')\n"
        "if 'C' not in os.environ:\n    os.environ['C'] = '1'\nif odd():\n    os.environ['D'] = '1'\n"
    )
    writes = {name: (found[name].written, found[name].kept) for name in "ABD"}
    assert writes == {"A": (True, False), "B": (True, True), "D": (True, False)}
    assert found["D"].condition == "odd()"
    assert found["C"].kept


def test_a_setup_that_would_do_something_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (tmp_path / "setup.py").write_text(f"open({str(mark)!r}, 'w').close()\nraise SystemExit(3)\n")
    script = read_setup(SourceTree(tmp_path))
    assert script.present
    assert not mark.exists()


@pytest.mark.parametrize("text", ["print 'two'\n", "a = '\\0'\n\0", "(" * 500])
def test_a_setup_that_is_no_python_3_is_said_to_be_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "setup.py").write_text(text)
    script = read_setup(SourceTree(tmp_path))
    assert script.present
    assert script.broken


def test_modules_beside_setup_are_read_with_it(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("from setuptools import setup\nimport helpers\nsetup(name='x')\n")
    (tmp_path / "helpers.py").write_text("import os, numpy\nos.getenv('FORCE_CUDA', '0') == '1'\n")
    script = read_setup(SourceTree(tmp_path))
    assert [(file, read.name) for file, read in script.environment] == [("helpers.py", "FORCE_CUDA")]
    assert script.imports["numpy"] == "helpers.py:1"


@pytest.mark.parametrize(
    ("code", "outright"),
    [
        ("BuildExtension.with_options(use_ninja=False)", True),
        ("BuildExtension.with_options(use_ninja=True)", False),
        ("if os.getenv('NO_NINJA'):\n    b = B(use_ninja=False)", False),
    ],
)
def test_ninja_is_off_only_where_nothing_asks(tmp_path: Path, code: str, outright: bool) -> None:
    (tmp_path / "setup.py").write_text(f"import os\n{code}\n")
    assert bool(read_setup(SourceTree(tmp_path)).without_ninja) is outright
