"""Git repositories on this machine, made as a person would."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

_GIT = shutil.which("git") or "git"

# Nothing of the person's own configuration, and nobody's clock.
ISOLATED = {
    "GIT_CONFIG_GLOBAL": str(Path(__file__).with_name("gitconfig")),
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.invalid",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.invalid",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
}


def git(folder: Path, *words: str | Path) -> str:
    """Run git in a folder, in whatever environment the test has set."""
    done = subprocess.run([_GIT, "-C", folder, *words], check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


def commit(folder: Path, files: Mapping[str, str]) -> str:
    """Write files and commit everything in the folder; gives the commit."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "change")
    return git(folder, "rev-parse", "HEAD")


def new_repository(folder: Path, files: Mapping[str, str]) -> str:
    """Make a repository of one commit; gives that."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main", "--template=")
    return commit(folder, files)


def configure(**settings: str) -> dict[str, str]:
    """Write git settings as environment variables; `__` stands for a dot."""
    pairs = {f"GIT_CONFIG_KEY_{n}": key.replace("__", ".") for n, key in enumerate(settings)}
    values = {f"GIT_CONFIG_VALUE_{n}": value for n, value in enumerate(settings.values())}
    return {"GIT_CONFIG_COUNT": str(len(settings)), **pairs, **values}
