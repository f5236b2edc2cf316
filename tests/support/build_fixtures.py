"""Fixtures that the tests of the builder, the factory and the command line share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from git_repositories import ISOLATED
from loopback_server import Site, serving
from small_packages import write_recipe, write_wheel

from cudawheel.recipe.loading import LoadedRecipe, load_recipe
from cudawheel.schedule.budget import BudgetRequest
from cudawheel.schedule.history import History
from cudawheel.schedule.jobserver import Jobserver

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


@pytest.fixture
def jobserver(tmp_path: Path) -> Iterator[Jobserver]:
    """A jobserver that makes no cgroup: which ones a machine allows is no matter of the builder's."""
    with Jobserver(BudgetRequest(), History(tmp_path / "costs.sqlite"), confined=False) as serving_:
        yield serving_


@pytest.fixture
def links(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that is all that uv knows; torch is among them, in name."""
    folder = tmp_path / "links"
    write_wheel(folder, "tiny-helper", "1.0")
    write_wheel(folder, "tiny-helper", "2.0")
    write_wheel(folder, "tiny-tool", "1.0", requires=["tiny-helper<2"])
    write_wheel(folder, "torch", "2.11.0")
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_"))]:
        monkeypatch.delenv(name)
    # Offline, and without what uv has in its cache from other days.
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "uv-cache"))
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    return folder


@pytest.fixture
def shared_environments(
    request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A cache with the build environments that other tests of the file have made, for what is not about making them.

    Not those of other files, whose packages in name may be others.
    """
    shared = tmp_path_factory.getbasetemp() / f"environments-of-{request.module.__name__}"
    shared.mkdir(exist_ok=True)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "environments").symlink_to(shared)
