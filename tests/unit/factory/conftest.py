from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
from build_fixtures import isolated, links, load, shared_environments, site
from fake_rooms import Rooms
from fake_tools import build_request, compiler, give
from git_repositories import new_repository
from small_packages import git_source, path_source, write_project, write_recipe

from cudawheel.factory import job, making
from cudawheel.factory.request import BuildRequest
from cudawheel.schedule import jobserver
from cudawheel.schedule.confinement import Confinement

__all__ = ["isolated", "links", "load", "shared_environments", "site"]


@pytest.fixture
def rooms(monkeypatch: pytest.MonkeyPatch) -> Rooms:
    rooms = Rooms()
    monkeypatch.setattr(making, "build_variant", rooms.build)
    monkeypatch.setattr(making, "prove", rooms.prove)
    monkeypatch.setattr(job, "find_host_compiler", give(compiler()))
    # Nothing is compiled here that a cgroup could hold.
    monkeypatch.setattr(jobserver, "confine", lambda _limit, _root: nullcontext(Confinement()))
    return rooms


@pytest.fixture
def asked(tmp_path: Path) -> BuildRequest:
    """A recipe with a repository first and a folder second."""
    found = new_repository(tmp_path / "upstream", {"pyproject.toml": "[project]\n"})
    write_project(tmp_path / "recipes" / "bundled")
    sources = git_source((tmp_path / "upstream").as_uri(), found), path_source("bundled", "bundled")
    return build_request(write_recipe(tmp_path / "recipes", *sources), tmp_path)


@pytest.fixture
def asked_of_folders(tmp_path: Path) -> BuildRequest:
    """The same with a folder first, for all to which it is nothing where a source comes from: git takes its time."""
    labels = "upstream", "bundled"
    for label in labels:
        write_project(tmp_path / "recipes" / label)
    return build_request(write_recipe(tmp_path / "recipes", *(path_source(label, label) for label in labels)), tmp_path)
