"""What a shell offers for the arguments of commands when Tab is pressed."""

from __future__ import annotations

import glob
import os
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


def command_lines(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Offer programs of PATH for the first word of a command that is run, and files for the others."""
    first = not context.params.get(parameter.name or "")
    if not first or not incomplete or os.sep in incomplete:
        return any_file(context, parameter, incomplete)
    folders = [Path(folder) for folder in dict.fromkeys(os.get_exec_path()) if Path(folder).is_dir()]
    # The pattern is a person's unfinished word: what stands for itself in it has to.
    found = (path for folder in folders for path in folder.glob(f"{glob.escape(incomplete)}*"))
    names = sorted({path.name for path in found if path.is_file() and os.access(path, os.X_OK)})
    return [CompletionItem(name) for name in names] or any_file(context, parameter, incomplete)


def _offer(paths: Iterable[Path], incomplete: str) -> list[CompletionItem[str]]:
    meant = sorted(str(path) for path in paths if str(path).startswith(incomplete) or path.name.startswith(incomplete))
    return [CompletionItem(path) for path in meant] or [CompletionItem(incomplete, type="file")]
