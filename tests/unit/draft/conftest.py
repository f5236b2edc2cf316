from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from build_fixtures import isolated, links, load, site

from cudawheel.draft.drafting import Draft, draft_recipe
from cudawheel.draft.origin import Origin
from cudawheel.draft.project import Project, read_project
from cudawheel.draft.tree import SourceTree

__all__ = ["isolated", "links", "load", "site"]

PIN = {"kind": "sdist", "label": "index", "project": "tiny-ext", "version": "1.0", "sha256": "0" * 64}

Read = Callable[..., Project]
DraftOf = Callable[..., Draft]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Write a source and read it; the keywords are those of `read_project`."""

    def read_(files: Mapping[str, str], **words: object) -> Project:
        root = tmp_path / "source"
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return read_project(SourceTree(root), **words)  # type: ignore[arg-type]

    return read_


@pytest.fixture
def draft_of(read: Read, tmp_path: Path) -> DraftOf:
    """Write a source and draft its recipe."""

    def draft_of_(files: Mapping[str, str]) -> Draft:
        return draft_recipe(read(files), Origin(asked_for="tiny", folder=tmp_path / "source", pin=dict(PIN)))

    return draft_of_
