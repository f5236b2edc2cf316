"""What a shell offers for the arguments of commands when Tab is pressed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem


def recipes(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Offer the recipes of `recipes/`, by path or by bare name, and any file where none of them is meant."""
    return _offer(Path("recipes").glob("*.toml"), incomplete)


def wheels(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Offer the wheels of `wheelhouse/`, by path or by bare name, and any file where none of them is meant."""
    return _offer(Path("wheelhouse").glob("*.whl"), incomplete)


def any_file(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Offer files, for an argument that may be one and need not."""
    return [CompletionItem(incomplete, type="file")]


def _offer(paths: Iterable[Path], incomplete: str) -> list[CompletionItem[str]]:
    meant = sorted(str(path) for path in paths if str(path).startswith(incomplete) or path.name.startswith(incomplete))
    return [CompletionItem(path) for path in meant] or [CompletionItem(incomplete, type="file")]
