"""All variants of a recipe, built side by side."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_rooms import Rooms, in_wheelhouse
from listening import Heard

from cudawheel.builder.build import BuiltWheel
from cudawheel.builder.order import BuildOrder, Workplace
from cudawheel.errors import BuildError, CapabilityError, PlanError
from cudawheel.factory import fleet, making
from cudawheel.factory.factory import Outcome
from cudawheel.factory.fleet import make_all
from cudawheel.factory.request import BuildRequest
from cudawheel.model.progress import Progress
from cudawheel.process import stream

pytestmark = pytest.mark.usefixtures("rooms")

Builder = Callable[[BuildOrder, Workplace, Progress], BuiltWheel]


@pytest.fixture
def matrix(asked: BuildRequest) -> BuildRequest:
    """The recipe for two releases of torch, and one that does not exist."""
    asked.recipe.write_text(asked.recipe.read_text().replace('["2.11"]', '["2.12", "1.0", "2.11"]'))
    return asked


def torches(names: list[str]) -> list[str]:
    return [name.split("-torch")[1].split("-")[0] for name in names]


def test_every_variant_that_can_be_built_is_and_each_is_heard_by_its_name(matrix: BuildRequest, rooms: Rooms) -> None:
    heard: dict[str, Heard] = {}
    attempts = make_all(matrix, Heard(), lambda identifier: heard.setdefault(identifier, Heard()))
    assert torches([attempt.identifier for attempt in attempts]) == ["2.12", "2.11"], "in the order of the plan"
    outcomes = [attempt.result for attempt in attempts if isinstance(attempt.result, Outcome)]
    assert [outcome.record["variant"]["torch"] for outcome in outcomes] == ["2.12", "2.11"]
    assert {outcome.wheel.name for outcome in outcomes} < set(in_wheelhouse(matrix))
    assert {name: listener.phases for name, listener in heard.items()} == {
        attempt.identifier: ["source", "compiling", "audit"] for attempt in attempts
    }
    one, other = (place.jobserver for place in rooms.places)
    assert one is other


def test_what_was_built_before_is_not_built_again(matrix: BuildRequest, rooms: Rooms) -> None:
    make_all(matrix, Heard(), lambda _identifier: Heard())
    again = make_all(matrix, Heard(), lambda _identifier: Heard())
    assert [isinstance(attempt.result, Outcome) and attempt.result.cached for attempt in again] == [True, True]
    assert rooms.built == ["upstream"] * 2


def failing_for(torch: str, build: Builder) -> Builder:
    def build_(order: BuildOrder, place: Workplace, progress: Progress) -> BuiltWheel:
        if str(order.variant.torch) == torch:
            raise BuildError("the package did not build")
        return build(order, place, progress)

    return build_


def test_a_variant_that_fails_stops_no_other(
    matrix: BuildRequest, rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "build_variant", failing_for("2.12", rooms.build))
    heard: dict[str, Heard] = {}
    failed, built = make_all(matrix, Heard(), lambda identifier: heard.setdefault(identifier, Heard()))
    assert isinstance(failed.result, BuildError)
    assert isinstance(built.result, Outcome)
    assert "failed: the package did not build" in heard[failed.identifier].notes
    assert built.result.wheel.is_file()


def test_a_wheel_that_serves_every_torch_is_built_once(matrix: BuildRequest, rooms: Rooms) -> None:
    text = matrix.recipe.read_text()
    matrix.recipe.write_text(text.replace("[build]\n", '[build]\nabi = "torch-stable >= 2.11"\n'))
    (attempt,) = make_all(matrix, Heard(), lambda _identifier: Heard())
    assert isinstance(attempt.result, Outcome)
    assert rooms.built == ["upstream"]


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ('"2.12", "1.0", "2.11"', '"1.0"', PlanError),
        ("8.0;9.0+PTX", "7.0", CapabilityError),
    ],
)
def test_a_matrix_of_which_nothing_can_be_built_is_refused(
    old: str, new: str, kind: type[Exception], matrix: BuildRequest, rooms: Rooms
) -> None:
    matrix.recipe.write_text(matrix.recipe.read_text().replace(old, new))
    with pytest.raises(kind):
        make_all(matrix, Heard(), lambda _identifier: Heard())
    assert rooms.built == []


def test_ctrl_c_ends_what_runs_and_starts_nothing_more(
    matrix: BuildRequest, rooms: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, started = threading.Barrier(2), []

    def build(order: BuildOrder, *_rest: object) -> BuiltWheel:
        started.append(str(order.variant.torch))
        program = "import time; print('running', flush=True); time.sleep(600)"
        stream([sys.executable, "-c", program], log=tmp_path / "log", on_line=lambda _line: running.wait(60) and None)
        raise BuildError("it was ended")

    def interrupted(_futures: object) -> None:
        running.wait(60)
        raise KeyboardInterrupt

    monkeypatch.setattr(making, "build_variant", build)
    monkeypatch.setattr(fleet, "as_completed", interrupted)
    monkeypatch.setattr(fleet, "_side_by_side", lambda _variants, _jobserver: 1)
    with pytest.raises(KeyboardInterrupt):
        make_all(matrix, Heard(), lambda _identifier: Heard())
    assert len(started) == 1
    assert rooms.built == []
