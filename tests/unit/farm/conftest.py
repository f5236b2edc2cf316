from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from build_fixtures import isolated, links, load, site
from dask_farm import TORCHES
from fake_rooms import Rooms
from fake_tools import PLAIN_TAG, build_request, compiler, give
from farm_cluster import FakeFarm
from small_packages import path_source, write_project, write_recipe

from cudawheel.audit import report
from cudawheel.factory import job, making
from cudawheel.factory.request import BuildRequest
from cudawheel.schedule import jobserver
from cudawheel.schedule.confinement import Confinement
from cudawheel.wheel.rewrite import Changes, rewrite

__all__ = ["isolated", "links", "load", "site"]


class ProvenRooms(Rooms):
    """Rooms whose wheels are named and pinned as the planned ones are, so that a true audit passes."""

    def prove(self, *words: Any) -> Any:
        proof = super().prove(*words)
        order = words[0]
        local = proof.wheel.name.split("+")[1].split("-")[0]
        plain = proof.wheel.with_name("tiny_ext-1.0-py3-none-any.whl")
        proof.wheel.rename(plain)
        (folder := plain.parent / "named").mkdir()
        changes = Changes(local_version=local, requirements=(order.variant.abi.requirement(order.variant.torch),))
        return replace(proof, wheel=rewrite(plain, folder, changes))


@pytest.fixture
def rooms(monkeypatch: pytest.MonkeyPatch) -> Rooms:
    proven = ProvenRooms()
    monkeypatch.setattr(making, "build_variant", proven.build)
    monkeypatch.setattr(making, "prove", proven.prove)
    monkeypatch.setattr(report, "find_platform_tag", give(PLAIN_TAG))
    monkeypatch.setattr(job, "find_host_compiler", give(compiler()))
    monkeypatch.setattr(jobserver, "confine", lambda _limit, _root: nullcontext(Confinement()))
    return proven


@pytest.fixture
def asked(tmp_path: Path) -> BuildRequest:
    """A matrix of four cells, and a shared store."""
    write_project(tmp_path / "recipes" / "here")
    recipe = write_recipe(tmp_path / "recipes", path_source("here"))
    recipe.write_text(recipe.read_text().replace('["2.11"]', json.dumps(list(TORCHES))))
    return build_request(recipe, tmp_path, remote=str(tmp_path / "shared"))


@pytest.fixture
def farm(tmp_path: Path, rooms: Rooms) -> FakeFarm:
    """A cluster of two workers that build in this process, with caches of their own."""
    del rooms
    made = FakeFarm(folder=tmp_path)
    made.there = {"a", "b"}
    return made
