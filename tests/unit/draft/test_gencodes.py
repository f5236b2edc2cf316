"""Hard-wired capabilities: found in the code, not in comments, and taken out; what is left is the same program."""

from __future__ import annotations

import ast
from types import SimpleNamespace

import pytest

from cudawheel.builder.patching import apply_changes
from cudawheel.draft.gencodes import HardWired, find_hard_wired
from cudawheel.recipe.settings import BuildSettings

APPENDED = """flags = ["-O3"]
# flags.append("arch=compute_60,code=sm_60")
flags.append("-gencode")
flags.append("arch=compute_75,code=sm_75")
if new:
    flags.append("-gencode")
    flags.append("arch=compute_90,code=sm_90")
"""


def find(text: str) -> HardWired:
    return find_hard_wired(ast.parse(text), text, "setup.py")


def changed(text: str, tmp_path) -> str:
    (tmp_path / "setup.py").write_text(text)
    replacements = [
        {"file": line.file, "old": line.old, "new": line.new, "hits": line.hits} for line in find(text).replacements
    ]
    settings = BuildSettings.model_validate({"replacements": replacements})
    apply_changes(settings, patches_folder=tmp_path, project=tmp_path)
    return (tmp_path / "setup.py").read_text()


def flags_of(text: str) -> list[str]:
    names = SimpleNamespace(new=True)
    scope = {"new": names.new}
    exec(text, scope)  # noqa: S102 - the text is this test's own
    return scope["flags"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (APPENDED, ["-O3"]),
        ('flags = ["-O3", "-gencode", "arch=compute_80,code=sm_80", "-lineinfo"]\n', ["-O3", "-lineinfo"]),
        ('flags = [\n    "-gencode=arch=compute_80,code=sm_80",\n    "-O3",\n]\n', ["-O3"]),
        ("flags = ['-O3']\nflags += ['-gencode=arch=compute_80,code=sm_80']\n", ["-O3"]),
        ('flags = ["-arch=sm_80", "-O3"]\n', ["-O3"]),
        ('flags = []\nflags.extend(["-gencode", "arch=compute_80,code=[sm_80,compute_80]"])\n', []),
    ],
)
def test_the_replacements_leave_the_program_without_the_flags(text: str, left: list[str], tmp_path) -> None:
    assert flags_of(text) != left
    assert flags_of(changed(text, tmp_path)) == left


def test_lines_in_comments_do_not_count() -> None:
    assert find("# -gencode arch=compute_80,code=sm_80\nflags = []\n").lines == ()
    assert 2 not in find(APPENDED).lines


@pytest.mark.parametrize(
    "text",
    [
        "x = 'a'\nflags = '-O3 -gencode arch=compute_80,code=sm_80 -Xptxas -v'\n",
        'flags = ["-gencode",\n"arch=compute_80,"\n"code=sm_80"]\n',
    ],
)
def test_what_cannot_be_undone_line_by_line_is_left_alone(text: str) -> None:
    found = find(text)
    assert found.lines
    assert found.replacements == ()


def test_flags_that_are_put_together_are_told_apart() -> None:
    found = find("for n in archs:\n    flags.append(f'-gencode=arch=compute_{n},code=sm_{n}')\n")
    assert (found.lines, found.made_up) == ((), (2,))
