"""Guides whose commands build real wheels say what happens."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import Cudawheel
from shell_pages import ROOT, blocks_of, pages, reader, run_page

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

ONLINE = [page for page in pages() if any(block.online for block in blocks_of(page.read_text(encoding="utf-8")))]


@pytest.mark.parametrize("page", ONLINE, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_guide_says_is_what_happens(page: Path, cudawheel: Cudawheel, tmp_path: Path) -> None:
    folder = tmp_path / "clone"
    environment = reader(folder, {**os.environ, **cudawheel.environment}, home=None)
    # What other tests have fetched serves here too.
    environment["CUDAWHEEL_CACHE"] = cudawheel.environment["CUDAWHEEL_CACHE"]
    assert run_page(page.read_text(encoding="utf-8"), folder, environment) == []


def test_the_guide_for_authors_is_among_them() -> None:
    assert ROOT / "docs" / "guides" / "writing-a-recipe.md" in ONLINE
