"""docs/doctor.md names every code and every option there is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import click

from cudawheel.cli.doctor import command

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")


def codes() -> Iterator[str]:
    """Every code that a finding is made with; one that is put together counts by each of its ends."""
    for path in (ROOT / "cudawheel" / "doctor").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "code":
                values = [part.value for part in ast.walk(node.value) if isinstance(part, ast.Constant)]
                joined = isinstance(node.value, ast.JoinedStr)
                ends = [f"compiler-too-{end}" for end in ("new", "old")]
                yield from ends if joined else (str(value) for value in values)


def test_every_code_is_on_the_page() -> None:
    known = set(codes())
    assert len(known) > 50
    assert [code for code in sorted(known) if f"`{code}`" not in PAGE] == []


def test_every_option_is_on_the_page() -> None:
    names = [name for option in command.params if isinstance(option, click.Option) for name in option.opts]
    assert [name for name in names if name not in PAGE and name != "--cache"] == []
