"""Compute capabilities that are hard-wired into a setup.py, and the lines that take them out.

torch adds the flags of TORCH_CUDA_ARCH_LIST only where no flag speaks of an architecture already
(torch.utils.cpp_extension, `_get_cuda_arch_flags`), so that with the hard-wired ones gone its variable counts again.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from cudawheel.draft.values import Line

HARD_WIRED = re.compile(r"arch=compute_\d|--?(gpu-)?arch(itecture)?[= ](sm_|compute_|native|all)|code=sm_\d")
_FLAG = re.compile(r"--?(gencode|generate-code)$")
# A text in quotes with such a flag, and the comma behind it.
_TOKEN = re.compile(
    r"""[fr]?(["'])(?:--?gencode|--?generate-code|(?:--?(?:gencode|generate-code)[= ])?arch=compute_\d\w*,code=[^"']*"""
    r"""|--?(?:gpu-)?arch(?:itecture)?[= ](?:sm_|compute_|native|all)[^"']*)\1\s*,?[ ]?"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HardWired:
    """Capabilities that a file names in its flags.

    Attributes:
        lines: numbers of the lines, from 1.
        made_up: lines with flags that are put together as the file runs, from a list that it has elsewhere.
        replacements: lines that take the flags out; empty where that cannot be done line by line.
    """

    file: str
    lines: tuple[int, ...]
    made_up: tuple[int, ...]
    replacements: tuple[Line, ...]


def find_hard_wired(tree: ast.Module, text: str, file: str) -> HardWired:
    """Find the flags in a Python file, and work out how its lines have to change.

    Args:
        text: of the file, with the line ends of Unix.
    """
    whole, parts = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            spelt = ast.unparse(node)
            if "arch=compute_" in spelt or "code=sm_" in spelt:
                parts.add(node.lineno)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and HARD_WIRED.search(node.value):
            whole.add(node.lineno)
    made_up = tuple(sorted(parts))
    lines = tuple(sorted(whole - parts))
    replacements = () if made_up or not lines else _replacements(tree, text, file, frozenset(lines))
    return HardWired(file=file, lines=lines, made_up=made_up, replacements=replacements)


def _replacements(tree: ast.Module, text: str, file: str, hard_wired: frozenset[int]) -> tuple[Line, ...]:
    rows = text.split("\n")
    flags = {
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _FLAG.fullmatch(node.value)
    }
    alone = set(_statements(tree))
    changed = {number: _without(rows[number - 1], statement=number in alone) for number in hard_wired | flags}
    if any(new is None for new in changed.values()):
        return ()
    after = [changed.get(number, row) or "" for number, row in enumerate(rows, 1)]
    if not _sound("\n".join(after)):
        return ()
    by_text = Counter(rows[number - 1] for number in changed)
    # A recipe replaces every line of a text or none: one that also stands elsewhere cannot be told apart.
    if any(rows.count(old) != count for old, count in by_text.items()):
        return ()
    return tuple(
        Line(file=file, old=old, new=_without_line(old, changed, rows), hits=count) for old, count in by_text.items()
    )


def _without_line(old: str, changed: dict[int, str | None], rows: list[str]) -> str:
    return next(new or "" for number, new in changed.items() if rows[number - 1] == old)


def _statements(tree: ast.Module) -> Iterator[int]:
    """Give the lines that are one whole call of `append` or `extend`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and node.lineno == node.end_lineno:
            called = node.value.func
            if isinstance(called, ast.Attribute) and called.attr in {"append", "extend"}:
                yield node.lineno


def _without(row: str, *, statement: bool) -> str | None:
    """Take the flags out of a line; None where they cannot be told from the rest."""
    rest = _TOKEN.sub("", row)
    if rest == row:
        return None
    if statement and re.search(r"\(\s*\[?\s*,?\s*\]?\s*\)\s*(#.*)?$", rest):
        return f"{row[: len(row) - len(row.lstrip())]}pass"
    return rest.rstrip()


def _sound(text: str) -> bool:
    """Whether what is left is Python, and without hard-wired capabilities."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return not any(HARD_WIRED.search(found) or _FLAG.fullmatch(found) for found in texts)
