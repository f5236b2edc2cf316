"""What a build may use of the machine, and what its record says that it did."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fake_rooms import TIMELINE, Rooms, in_wheelhouse
from listening import Heard

from cudawheel.errors import MemoryBudgetError
from cudawheel.factory.factory import make_wheel
from cudawheel.factory.request import BuildRequest
from cudawheel.schedule.budget import BudgetRequest
from cudawheel.schedule.history import History
from cudawheel.schedule.jobserver import Jobserver
from cudawheel.schedule.limits import GIB, MIB
from cudawheel.schedule.timeline import Timeline

pytestmark = pytest.mark.usefixtures("rooms")


@pytest.fixture
def asked(asked_of_folders: BuildRequest) -> BuildRequest:
    return asked_of_folders


def test_the_record_says_what_it_took(asked: BuildRequest) -> None:
    build = make_wheel(asked, Heard()).record["build"]
    assert (build["peak_memory"], build["largest_process"], build["most_compilers"]) == (5 * GIB, 3 * GIB, 3)
    assert build["confinement"] == "oom_score_adj alone"
    assert "kept in reserve" in build["budget"]
    assert Timeline.from_json(json.loads(json.dumps(build["timeline"]))) == TIMELINE


def test_a_picture_of_memory_and_compilers_lies_beside_the_wheel(asked: BuildRequest) -> None:
    made = make_wheel(asked, Heard())
    picture = made.wheel.with_name(f"{made.wheel.name}.svg")
    content = picture.read_bytes()
    assert b"a.cu" in content
    picture.unlink()
    assert make_wheel(asked, Heard()).cached
    assert picture.read_bytes() == content, "it is drawn from the record"


def test_it_is_said_before_compiling_what_will_run_at_once_and_why(asked: BuildRequest) -> None:
    heard = Heard()
    make_wheel(replace(asked, allowed=BudgetRequest(jobs=1)), heard)
    (note,) = heard.notes
    assert note.startswith("up to 1 compiler at once (0.1 GiB each, never measured here), limited by --jobs")
    assert "GiB of memory" in note


def test_a_build_of_which_one_compiler_finds_no_room_is_refused(asked: BuildRequest, rooms: Rooms) -> None:
    heard = Heard()
    with pytest.raises(MemoryBudgetError, match=r"needs 0\.1 GiB, and 0\.0 GiB may be used") as caught:
        make_wheel(replace(asked, allowed=BudgetRequest(memory=10 * MIB)), heard)
    assert "within --memory" in caught.value.why
    assert "--force" in caught.value.remedy
    assert "memory-per-job" in caught.value.remedy
    assert (rooms.built, heard.phases) == ([], ["source"])
    assert in_wheelhouse(asked) == []


def test_a_build_that_is_forced_is_tried_in_whatever_room_there_is(asked: BuildRequest, rooms: Rooms) -> None:
    make_wheel(replace(asked, allowed=BudgetRequest(memory=10 * MIB, force=True)), Heard())
    assert rooms.built == ["upstream"]


def test_a_wheel_that_is_there_needs_no_room(asked: BuildRequest) -> None:
    make_wheel(asked, Heard())
    assert make_wheel(replace(asked, allowed=BudgetRequest(memory=1)), Heard()).cached


def test_builds_can_share_a_jobserver(asked: BuildRequest, rooms: Rooms, tmp_path: Path) -> None:
    with Jobserver(BudgetRequest(), History(tmp_path / "costs.sqlite"), confined=False) as jobserver:
        for source in ("upstream", "bundled"):
            make_wheel(replace(asked, source=source), Heard(), jobserver)
        assert jobserver.socket.exists(), "it is not theirs to close"
    assert rooms.built == ["upstream", "bundled"]
    assert [place.jobserver for place in rooms.places] == [jobserver] * 2


def test_a_build_has_a_jobserver_to_itself_unless_it_is_given_one(asked: BuildRequest, rooms: Rooms) -> None:
    make_wheel(asked, Heard())
    make_wheel(replace(asked, source="bundled"), Heard())
    one, other = (place.jobserver for place in rooms.places)
    assert one is not other
    assert not one.socket.parent.exists()
    assert (asked.cache / "work").is_dir()
