from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from git_repositories import ISOLATED
from loopback_server import Site, serving
from small_packages import write_recipe

from cudawheel.recipe.loading import LoadedRecipe, load_recipe

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

Load = Callable[..., LoadedRecipe]


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the person's git configuration, and no proxy between a test and its own server."""
    for name, value in ISOLATED.items():
        monkeypatch.setenv(name, value)
    for name in _PROXIES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as served:
        yield served


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write and load a recipe whose sources are the tables given."""

    def load_(*sources: Mapping[str, Any], build: str = "") -> LoadedRecipe:
        return load_recipe(write_recipe(tmp_path / "recipes", *sources, build=build))

    return load_
