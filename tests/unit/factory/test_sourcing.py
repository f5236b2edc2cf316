"""A matrix whose fallback promises more than its first source: what is built is known before cells are put together."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fake_rooms import Rooms, in_wheelhouse
from fake_tools import build_request
from git_repositories import new_repository
from listening import Heard
from small_packages import git_source, path_source, write_project, write_recipe

from cudawheel.factory.attempt import Attempt
from cudawheel.factory.cells import FleetCell, fleet_cells
from cudawheel.factory.factory import Outcome
from cudawheel.factory.fleet import FleetRequest, make_all
from cudawheel.factory.request import BuildRequest
from cudawheel.recipe.loading import load_recipe

pytestmark = pytest.mark.usefixtures("rooms")

STABLE = '\n[sources.build]\nabi = "torch-stable >= 2.9"\n'


@pytest.fixture
def two_promises(tmp_path: Path) -> BuildRequest:
    """Three torches; a repository that promises one of them, and a folder behind it on the stable ABI."""
    commit = new_repository(tmp_path / "upstream", {"pyproject.toml": "[project]\n"})
    write_project(tmp_path / "recipes" / "bundled")
    sources = git_source((tmp_path / "upstream").as_uri(), commit), path_source("bundled", "bundled")
    recipe = write_recipe(tmp_path / "recipes", *sources)
    head, found, tail = recipe.read_text().partition('path = "bundled"\n')
    recipe.write_text((head + found + STABLE + tail).replace('["2.11"]', '["2.11", "2.12", "2.13"]'))
    return build_request(recipe, tmp_path)


def make(asked: BuildRequest, heard: Heard | None = None) -> list[Attempt]:
    return list(make_all(asked, heard or Heard(), lambda _identifier: Heard()))


def test_a_fallback_on_the_stable_abi_is_built_once_for_all_torches(two_promises: BuildRequest, rooms: Rooms) -> None:
    shutil.rmtree(two_promises.recipe.parents[1] / "upstream")
    heard = Heard()
    (attempt,) = make(two_promises, heard)
    assert rooms.built == ["bundled"]
    assert len(attempt.serves) == 2, "the other two torches have the same wheel"
    assert heard.notes == [f"torch-stable >= 2.9: one wheel may serve 3 cells, so {attempt.identifier} is built first"]
    assert sum(name.endswith(".whl") and name.startswith("tiny") for name in in_wheelhouse(two_promises)) == 1


def test_where_the_first_source_is_there_each_torch_has_its_wheel(two_promises: BuildRequest, rooms: Rooms) -> None:
    attempts = make(two_promises)
    assert rooms.built == ["upstream"] * 3
    assert [attempt.serves for attempt in attempts] == [()] * 3


def test_what_was_built_from_the_fallback_is_found_without_asking_for_the_first_source(
    two_promises: BuildRequest, rooms: Rooms
) -> None:
    upstream = two_promises.recipe.parents[1] / "upstream"
    hidden = upstream.rename(upstream.with_name("hidden"))
    make(two_promises)
    hidden.rename(upstream)
    heard = Heard()
    (again,) = make(two_promises, heard)
    assert (again.word, len(again.serves), rooms.built) == ("from the store", 2, ["bundled"])
    assert heard.phases == [], "nothing was fetched"


def test_a_source_that_is_named_is_the_one_that_counts(two_promises: BuildRequest, rooms: Rooms) -> None:
    (attempt,) = make(build_request(two_promises.recipe, two_promises.recipe.parents[1], source="bundled"))
    assert (len(attempt.serves), rooms.built) == (2, ["bundled"])


def test_sources_that_cannot_be_had_are_told_of_by_each_build(two_promises: BuildRequest, rooms: Rooms) -> None:
    root = two_promises.recipe.parents[1]
    shutil.rmtree(root / "upstream")
    shutil.rmtree(root / "recipes" / "bundled")
    assert [attempt.word for attempt in make(two_promises)] == ["failed"] * 3
    assert rooms.built == []


def test_a_fallback_that_can_be_built_for_nothing_stands_in_nobodys_way(
    two_promises: BuildRequest, rooms: Rooms
) -> None:
    two_promises.recipe.write_text(two_promises.recipe.read_text().replace(">= 2.9", ">= 2.14"))
    assert [attempt.word for attempt in make(two_promises)] == ["built"] * 3
    assert rooms.built == ["upstream"] * 3


def test_a_source_that_comes_back_meanwhile_serves_only_the_torch_that_it_promises(
    two_promises: BuildRequest, rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = next(s for s in load_recipe(two_promises.recipe).recipe.sources if s.label == "bundled")

    def expected(fleet: FleetRequest, _progress: object) -> tuple[FleetCell, ...]:
        return fleet_cells(fleet.request, fleet.selector, bundled)

    monkeypatch.setattr(FleetRequest, "cells", expected)
    attempts = make(two_promises)
    assert rooms.built == ["upstream"] * 3, "upstream is built, though the folder was expected"
    assert [attempt.serves for attempt in attempts] == [()] * 3
    built = [attempt.result for attempt in attempts if isinstance(attempt.result, Outcome)]
    assert [outcome.record["variant"]["torch"] for outcome in built] == ["2.11", "2.12", "2.13"]
