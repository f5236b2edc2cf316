"""What the factory decides: what is built, what comes out of the store, and what is left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from fake_rooms import Rooms, in_wheelhouse
from fake_tools import build_request, compiler, give
from git_repositories import commit
from listening import Heard
from small_packages import path_source, write_project, write_recipe

from cudawheel.errors import (
    AuditError,
    CapabilityError,
    HostCompilerError,
    PlanError,
    RecipeError,
    SourceUnreachableError,
    StoreError,
)
from cudawheel.factory import job, making
from cudawheel.factory.factory import make_wheel
from cudawheel.factory.proof import Proof
from cudawheel.factory.request import BuildRequest
from cudawheel.model.capability_request import CapabilityRequest
from cudawheel.model.version import TorchVersion
from cudawheel.plan.plan import Selection
from cudawheel.schedule.budget import BudgetRequest

pytestmark = pytest.mark.usefixtures("rooms")

PHASES = ["source", "compiling", "audit"]


@pytest.fixture
def disconnect(tmp_path: Path) -> Callable[[], None]:
    return lambda: (tmp_path / "upstream").rename(tmp_path / "away") and None


@pytest.fixture
def reconnect(tmp_path: Path) -> Callable[[], None]:
    return lambda: (tmp_path / "away").rename(tmp_path / "upstream") and None


def test_the_second_call_only_checks(asked: BuildRequest, rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make_wheel(asked, Heard())
    assert (first.cached, rooms.built) == (False, ["upstream"])

    def network(*_words: object, **_named: object) -> None:
        pytest.fail("a wheel that is in the store needs no source")

    monkeypatch.setattr(making, "fetch", network)
    heard = Heard()
    second = make_wheel(asked, heard)
    assert (second.cached, second.wheel, second.record) == (True, first.wheel, first.record)
    assert heard.phases == []


def test_without_the_cache_it_is_built_again(asked: BuildRequest, rooms: Rooms) -> None:
    make_wheel(asked, Heard())
    assert not make_wheel(replace(asked, reuse=False), Heard()).cached
    assert rooms.built == ["upstream"] * 2


def test_a_wheelhouse_that_was_emptied_is_filled_from_the_store(asked: BuildRequest, rooms: Rooms) -> None:
    first = make_wheel(asked, Heard())
    content = first.wheel.read_bytes()
    first.wheel.unlink()
    assert make_wheel(asked, Heard()).wheel.read_bytes() == content
    first.wheel.write_bytes(content[:-1])
    assert make_wheel(asked, Heard()).wheel.read_bytes() == content
    assert rooms.built == ["upstream"]


def with_capabilities(asked: BuildRequest, text: str) -> BuildRequest:
    return replace(asked, selection=replace(asked.selection, capabilities=CapabilityRequest.parse(text, {})))


def test_a_wheel_that_takes_the_place_of_one_that_had_more_says_what_is_lost(asked: BuildRequest) -> None:
    wide = make_wheel(with_capabilities(asked, "8.0;9.0;12.0+PTX"), Heard())
    heard = Heard()
    narrow = make_wheel(with_capabilities(asked, "9.0"), heard)
    assert (wide.replaced, narrow.wheel) == (None, wide.wheel)
    assert narrow.replaced is not None
    assert narrow.replaced.lost == ("8.0", "12.0", "PTX 12.0")
    assert narrow.replaced.sha256 == wide.record["wheel"]["sha256"]
    assert narrow.replaced.fingerprint == wide.record["fingerprint"]
    said = f"a wheel that also had 8.0, 12.0, PTX 12.0; it is still in the store: {wide.record['fingerprint']}"
    assert heard.notes[-1] == f"replaces {said}"
    assert make_wheel(with_capabilities(asked, "9.0"), Heard()).replaced is None


def test_a_wheel_that_has_all_that_the_other_one_had_loses_nothing(asked: BuildRequest) -> None:
    make_wheel(with_capabilities(asked, "9.0"), Heard())
    wide = make_wheel(with_capabilities(asked, "8.0;9.0"), Heard())
    assert wide.replaced is not None
    assert (wide.replaced.lost, wide.replaced.is_loss) == ((), False)


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"wheel": {"sha256": "0"}}', '{"wheel": 1}'])
def test_a_wheel_that_replaces_one_without_a_record_may_lose_something(
    content: str | None, asked: BuildRequest
) -> None:
    first = make_wheel(asked, Heard())
    first.wheel.write_bytes(b"somebody's own")
    record = first.wheel.with_name(f"{first.wheel.name}.json")
    record.unlink() if content is None else record.write_text(content)
    found = make_wheel(asked, Heard()).replaced
    assert found is not None
    assert (found.lost, found.is_loss, found.fingerprint) == (None, True, "")
    assert "the store does not have it" in str(found)


@pytest.mark.parametrize("damage", ["wheel", "record", "gone"])
def test_a_damaged_entry_of_the_store_is_set_aside_and_built_anew(
    damage: str, asked: BuildRequest, rooms: Rooms
) -> None:
    first = make_wheel(asked, Heard())
    entry = asked.cache / "store" / first.record["fingerprint"]
    if damage == "wheel":
        (entry / first.wheel.name).write_bytes(b"damaged")
    elif damage == "record":
        (entry / "record.json").write_text("{")
    else:
        (entry / first.wheel.name).unlink()
    again = make_wheel(asked, Heard())
    assert not again.cached
    assert rooms.built == ["upstream"] * 2
    assert len(list((asked.cache / "store" / "damaged").iterdir())) == 1
    assert make_wheel(asked, Heard()).cached


def test_a_fallback_is_announced_recorded_and_named(
    asked: BuildRequest, disconnect: Callable[[], None], rooms: Rooms
) -> None:
    disconnect()
    heard = Heard()
    made = make_wheel(asked, heard)
    assert rooms.built == ["bundled"]
    assert heard.notes[0].startswith("FALLBACK: source 'upstream' could not be reached (fatal:")
    assert "--source upstream forbids this" in heard.notes[1]
    assert made.wheel.name.startswith("tiny_ext-1.0+bundled.cu.13.0.torch.2.11-")
    assert made.record["source"]["fallback"] is True
    assert [skip["label"] for skip in made.record["source"]["skipped"]] == ["upstream"]


def test_a_fallback_that_was_built_because_nothing_else_could_be_reached_serves_again(
    asked: BuildRequest, disconnect: Callable[[], None], rooms: Rooms
) -> None:
    disconnect()
    make_wheel(asked, Heard())
    heard = Heard()
    assert make_wheel(asked, heard).cached
    assert heard.phases == []
    assert rooms.built == ["bundled"]


def test_a_fallback_that_somebody_asked_for_does_not_keep_the_first_source_from_being_tried(
    asked: BuildRequest, rooms: Rooms
) -> None:
    chosen = make_wheel(replace(asked, source="bundled"), Heard())
    assert chosen.record["source"]["skipped"] == []
    assert make_wheel(replace(asked, source="bundled"), Heard()).cached
    made = make_wheel(asked, Heard())
    assert (made.cached, made.record["source"]["label"]) == (False, "upstream")
    assert rooms.built == ["bundled", "upstream"]


def test_a_chosen_source_forbids_all_others(asked: BuildRequest, disconnect: Callable[[], None], rooms: Rooms) -> None:
    disconnect()
    make_wheel(asked, Heard())
    with pytest.raises(SourceUnreachableError, match="no source of tiny-ext"):
        make_wheel(replace(asked, source="upstream"), Heard())
    assert rooms.built == ["bundled"]


def test_the_first_source_is_preferred_in_the_store_as_well(
    asked: BuildRequest, disconnect: Callable[[], None], reconnect: Callable[[], None]
) -> None:
    disconnect()
    make_wheel(asked, Heard())
    reconnect()
    make_wheel(replace(asked, source="upstream"), Heard())
    assert make_wheel(asked, Heard()).record["source"]["label"] == "upstream"


def test_a_first_source_whose_folder_is_missing_is_skipped_like_any_other(tmp_path: Path, rooms: Rooms) -> None:
    write_project(tmp_path / "recipes" / "bundled")
    recipe = write_recipe(tmp_path / "recipes", path_source("gone"), path_source("bundled", "bundled"))
    made = make_wheel(build_request(recipe, tmp_path), Heard())
    assert rooms.built == ["bundled"]
    assert [skip["label"] for skip in made.record["source"]["skipped"]] == ["here"]


def test_a_fallback_whose_folder_is_missing_is_not_missed(tmp_path: Path, rooms: Rooms) -> None:
    write_project(tmp_path / "recipes" / "here")
    recipe = write_recipe(tmp_path / "recipes", path_source("here"), path_source("gone", "bundled"))
    assert not make_wheel(build_request(recipe, tmp_path), Heard()).cached
    assert rooms.built == ["here"]


@pytest.mark.parametrize(
    "change",
    [
        lambda asked: replace(asked, selection=replace(asked.selection, torch=TorchVersion(2, 12))),
        lambda asked: replace(
            asked, selection=replace(asked.selection, capabilities=CapabilityRequest.parse("12.0", {}))
        ),
        lambda asked: replace(asked, toolchain="redist"),
        lambda asked: commit_and_pin(asked),  # noqa: PLW0108 - it is defined further down
        lambda asked: rewrite(asked, "[build]", '[build]\nenvironment = { FORCE_CUDA = "1" }'),
        lambda asked: rewrite(asked, 'imports = ["tiny_ext"]', 'imports = ["tiny_ext", "tiny_ext.other"]'),
    ],
)
def test_whatever_goes_into_a_wheel_makes_it_another_one(
    change: Callable[[BuildRequest], BuildRequest], asked: BuildRequest
) -> None:
    first = make_wheel(asked, Heard())
    second = make_wheel(change(asked), Heard())
    assert not second.cached
    assert second.record["fingerprint"] != first.record["fingerprint"]


def commit_and_pin(asked: BuildRequest) -> BuildRequest:
    repository = asked.recipe.parent.parent / "upstream"
    old = json.loads(asked.recipe.read_text().split("commit = ")[1].splitlines()[0])
    return rewrite(asked, old, commit(repository, {"a.cu": "new\n"}))


def rewrite(asked: BuildRequest, old: str, new: str) -> BuildRequest:
    asked.recipe.write_text(asked.recipe.read_text().replace(old, new))
    return asked


@pytest.mark.parametrize(
    "change",
    [
        lambda asked: rewrite(asked, "memory-per-job = 0.1", "memory-per-job = 0.2"),
        lambda asked: rewrite(asked, "[build]", "# a remark\n[build]"),
        lambda asked: replace(asked, wheelhouse=asked.wheelhouse.with_name("elsewhere")),
        lambda asked: replace(asked, environ={}),
        lambda asked: replace(asked, allowed=BudgetRequest(memory=1 << 40, jobs=1, force=True)),
    ],
)
def test_what_goes_into_no_wheel_makes_no_difference(
    change: Callable[[BuildRequest], BuildRequest], asked: BuildRequest
) -> None:
    make_wheel(asked, Heard())
    assert make_wheel(change(asked), Heard()).cached


def test_another_compiler_makes_another_wheel(asked: BuildRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wheel(asked, Heard())
    monkeypatch.setattr(job, "find_host_compiler", give(compiler("13.1.0")))
    assert not make_wheel(asked, Heard()).cached


@pytest.mark.parametrize("phase", PHASES)
def test_ctrl_c_leaves_nothing_and_the_next_run_succeeds(phase: str, asked: BuildRequest) -> None:
    with pytest.raises(KeyboardInterrupt):
        make_wheel(asked, Heard(interrupt_at=PHASES.index(phase)))
    assert in_wheelhouse(asked) == []
    assert not list((asked.cache / "work").glob("*"))
    assert not [path for path in (asked.cache / "store").glob("*") if path.suffix != ".lock"]
    made = make_wheel(asked, Heard())
    assert not made.cached
    own, *rest = in_wheelhouse(asked)
    assert own.startswith("cudawheel-")
    assert rest == [f"{made.wheel.name}{ending}" for ending in ("", ".json", ".svg")]


def test_a_wheel_that_fails_its_audit_is_not_stored(
    asked: BuildRequest, rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_words: object) -> Proof:
        raise AuditError("not what was planned")

    with monkeypatch.context() as patched:
        patched.setattr(making, "prove", fail)
        with pytest.raises(AuditError):
            make_wheel(asked, Heard())
    assert in_wheelhouse(asked) == []
    assert not make_wheel(asked, Heard()).cached
    assert rooms.built == ["upstream"] * 2


def test_a_package_that_is_built_by_cudawheel_gets_its_wheel_beside_it(asked: BuildRequest, rooms: Rooms) -> None:
    rooms.pins = ("cudawheel==0.1.0", "torch==2.11.0")
    make_wheel(asked, Heard())
    assert f"cudawheel-{distribution('cudawheel').version}-py3-none-any.whl" in in_wheelhouse(asked)


def test_a_cache_that_cannot_be_written_is_refused_before_anything_is_fetched(
    asked: BuildRequest, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    heard = Heard()
    with pytest.raises(StoreError, match="cannot be written") as caught:
        make_wheel(replace(asked, cache=tmp_path / "file" / "cache"), heard)
    assert "--cache" in caught.value.remedy
    assert heard.phases == []


def test_a_recipe_with_faults_is_refused_before_anything_is_touched(asked: BuildRequest) -> None:
    rewrite(asked, "imports", "import")
    with pytest.raises(RecipeError):
        make_wheel(asked, Heard())
    assert not asked.wheelhouse.exists()


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"source": "else"}, PlanError),
        ({"selection": Selection(torch=TorchVersion(1, 0), toolchain="system")}, PlanError),
        (
            {"selection": Selection(capabilities=CapabilityRequest.parse("7.0", {}), toolchain="system")},
            CapabilityError,
        ),
    ],
)
def test_what_cannot_be_planned_is_refused_before_anything_is_touched(
    changes: dict[str, Any], kind: type[Exception], asked: BuildRequest
) -> None:
    heard = Heard()
    with pytest.raises(kind):
        make_wheel(replace(asked, **changes), heard)
    assert heard.phases == []
    assert not asked.wheelhouse.exists()


def test_a_machine_without_a_compiler_is_told_before_anything_is_fetched(
    asked: BuildRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_here(*_words: object) -> None:
        raise HostCompilerError("there is no C++ compiler")

    monkeypatch.setattr(job, "find_host_compiler", none_here)
    heard = Heard()
    with pytest.raises(HostCompilerError):
        make_wheel(asked, heard)
    assert heard.phases == []


def test_the_record_says_what_went_in(asked: BuildRequest) -> None:
    record = make_wheel(asked, Heard()).record
    assert record["recipe"]["file"] == "tiny.toml"
    assert record["source"]["kind"] == "git"
    assert record["source"]["url"].startswith("file://")
    assert record["toolchain"] == {
        "kind": "system",
        "cuda": "13.0",
        "nvcc": "13.0.88",
        "host_compiler": "gcc 14.2.0",
    }
    assert record["build"]["environment"] == ["torch==2.11.0"]
