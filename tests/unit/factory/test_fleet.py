"""All variants of a recipe, built side by side."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_rooms import Rooms, in_wheelhouse
from listening import Heard

from cudawheel.builder.build import BuiltWheel
from cudawheel.builder.order import BuildOrder, Workplace
from cudawheel.errors import BuildError, CapabilityError, PlanError, RecipeError, SelectionError
from cudawheel.factory import fleet, making
from cudawheel.factory.attempt import Attempt
from cudawheel.factory.cells import fleet_cells, runs_on
from cudawheel.factory.factory import Outcome
from cudawheel.factory.fleet import FleetRequest, make_all
from cudawheel.factory.proof import Proof
from cudawheel.factory.request import BuildRequest
from cudawheel.model.progress import Progress
from cudawheel.model.version import PythonVersion
from cudawheel.plan.selectors import Selector
from cudawheel.process import stream

pytestmark = pytest.mark.usefixtures("rooms")

Builder = Callable[[BuildOrder, Workplace, Progress], BuiltWheel]


@pytest.fixture
def asked(asked_of_folders: BuildRequest) -> BuildRequest:
    return asked_of_folders


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
        attempt.identifier: ["source", "compiling", "audit", "done"] for attempt in attempts
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


def all_of(asked: BuildRequest, *only: str, retry_failed: bool = False, heard: Heard | None = None) -> list[Attempt]:
    wanted = FleetRequest(request=asked, selector=Selector.parse(only), retry_failed=retry_failed)
    return list(make_all(wanted, heard or Heard(), lambda _identifier: Heard()))


def test_only_what_is_selected_is_built(matrix: BuildRequest, rooms: Rooms) -> None:
    (attempt,) = all_of(matrix, "*-torch2.11-*")
    assert torches([attempt.identifier]) == ["2.11"]
    assert rooms.built == ["upstream"]
    with pytest.raises(SelectionError, match=r"2\.99"):
        all_of(matrix, "*-torch2.99-*")


def test_a_run_goes_on_where_it_was_and_tries_last_what_failed(
    matrix: BuildRequest, rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "_side_by_side", lambda _variants, _jobserver: 1)
    matrix.recipe.write_text(matrix.recipe.read_text().replace('"2.12", "1.0"', '"2.12", "2.13", "2.14"'))
    tried: list[str] = []

    def build(order: BuildOrder, place: Workplace, progress: Progress) -> BuiltWheel:
        tried.append(str(order.variant.torch))
        return failing_for("2.12", rooms.build)(order, place, progress)

    monkeypatch.setattr(making, "build_variant", build)
    assert [attempt.word for attempt in all_of(matrix, "*-torch2.1[12]-*")] == ["failed", "built"]
    assert tried == ["2.12", "2.11"]
    again = all_of(matrix)
    assert [attempt.word for attempt in again] == ["failed", "built", "built", "from the store"]
    assert tried[2:] == ["2.13", "2.14", "2.12"], "what is in the store is not built, and what failed comes last"


def test_what_failed_can_be_tried_again_alone(
    matrix: BuildRequest, rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "build_variant", failing_for("2.12", rooms.build))
    all_of(matrix)
    failures = FleetRequest(request=matrix).journal.failures()
    assert [(torches([name]), failure.exit_code) for name, failure in failures.items()] == [(["2.12"], 14)]
    monkeypatch.setattr(making, "build_variant", rooms.build)
    (attempt,) = all_of(matrix, retry_failed=True)
    assert (torches([attempt.identifier]), attempt.word) == (["2.12"], "built")
    assert FleetRequest(request=matrix).journal.failures() == {}
    with pytest.raises(SelectionError, match="failed when it was tried last"):
        all_of(matrix, retry_failed=True)


@pytest.mark.parametrize("text", ["", "[]", '{"failed": [{"odd": 1}]}', '{"failed": 7}', "\0"])
def test_a_journal_that_cannot_be_read_knows_of_no_failure(text: str, matrix: BuildRequest) -> None:
    journal = FleetRequest(request=matrix).journal
    journal.path.parent.mkdir(parents=True)
    journal.path.write_text(text)
    assert journal.failures() == {}
    journal.failed("a", BuildError("no"))
    assert list(journal.failures()) == ["a"]


def test_cells_that_contradict_each_other_are_refused_before_anything_is_built(
    matrix: BuildRequest, rooms: Rooms
) -> None:
    matrix.recipe.write_text(matrix.recipe.read_text().replace('["2.12", "1.0", "2.11"]', '["2.12", "2.12"]'))
    with pytest.raises(RecipeError, match="contradict"):
        all_of(matrix)
    assert rooms.built == []


@pytest.mark.parametrize(
    ("tags", "served"),
    [
        ("py3-none-any", "3.10 3.11 3.12 3.13"),
        ("py2.py3-none-linux_x86_64", "3.10 3.11 3.12 3.13"),
        ("cp311-abi3-manylinux_2_28_x86_64", "3.11 3.12 3.13"),
        ("cp312-cp312-manylinux_2_28_x86_64", "3.12"),
        ("cp312-none-manylinux_2_28_x86_64", "3.12"),
        ("cp312-cp312t-manylinux_2_28_x86_64", ""),
    ],
)
def test_the_tags_of_a_wheel_say_which_pythons_it_serves(tags: str, served: str) -> None:
    pythons = [PythonVersion(3, minor) for minor in range(10, 14)]
    assert [str(p) for p in pythons if runs_on(Path(f"demo-1.0-{tags}.whl"), p)] == served.split()


def several_pythons(asked: BuildRequest, tag: str, rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four Pythons and two torches on torch's stable ABI, built into wheels of one tag for a Python."""
    text = asked.recipe.read_text().replace("[build]\n", '[build]\nabi = "torch-stable >= 2.11"\n')
    head, _, tail = text.partition("python = ")
    rest = tail.partition("\n")[2]
    asked.recipe.write_text(f'{head}python = ["3.12", "3.10", "3.11", "3.13"]\n{rest}')

    def prove(order: BuildOrder, *words: Any) -> Proof:
        proof = rooms.prove(order, *words)
        name = proof.wheel.name.replace("py3-none-any", tag.format(python=order.variant.python.tag) + "-linux_x86_64")
        return Proof(wheel=proof.wheel.rename(proof.wheel.with_name(name)), findings=proof.findings)

    monkeypatch.setattr(making, "prove", prove)


@pytest.mark.parametrize(
    ("tag", "built"),
    [("py3-none", 1), ("cp310-abi3", 1), ("{python}-abi3", 2), ("{python}-{python}", 4)],
)
def test_one_wheel_where_its_tags_allow_one_and_else_one_for_each_python(
    tag: str, built: int, matrix: BuildRequest, rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    several_pythons(matrix, tag, rooms, monkeypatch)
    attempts = all_of(matrix)
    assert len(rooms.built) == len(attempts) == built
    cells = [name for attempt in attempts for name in (attempt.identifier, *attempt.serves)]
    assert len(cells) == len(set(cells)) == 8, "every cell is served, and by one wheel"


def test_a_shared_wheel_that_fails_is_tried_for_the_other_cells(
    matrix: BuildRequest, rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    several_pythons(matrix, "py3-none", rooms, monkeypatch)
    monkeypatch.setattr(making, "build_variant", failing_for("2.12", rooms.build))
    attempts = all_of(matrix)
    assert {attempt.word for attempt in attempts} == {"failed", "built"}
    assert len(rooms.built) == 1


def test_a_cell_is_a_plain_value(matrix: BuildRequest) -> None:
    one, other = fleet_cells(matrix)
    assert one == fleet_cells(matrix)[0] != other
    assert one.request.selection.torch == one.variant.torch
    assert hash(one.identifier)
    with pytest.raises(AttributeError):
        one.identifier = "other"  # type: ignore[misc]


def test_two_runs_at_once_build_no_cell_twice(matrix: BuildRequest, rooms: Rooms) -> None:
    results: list[list[Attempt]] = []
    threads = [threading.Thread(target=lambda: results.append(all_of(matrix))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert rooms.built == ["upstream"] * 2
    words = [attempt.word for attempts in results for attempt in attempts]
    assert sorted(words) == ["built"] * 2 + ["from the store"] * 4


def test_a_variant_that_fails_stops_no_other(
    matrix: BuildRequest, rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "build_variant", failing_for("2.12", rooms.build))
    heard: dict[str, Heard] = {}
    failed, built = make_all(matrix, Heard(), lambda identifier: heard.setdefault(identifier, Heard()))
    assert isinstance(failed.result, BuildError)
    assert isinstance(built.result, Outcome)
    assert (heard[failed.identifier].phases[-1], heard[failed.identifier].details[-1]) == (
        "failed",
        "the package did not build",
    )
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
    heard = Heard()
    with pytest.raises(KeyboardInterrupt):
        make_all(matrix, Heard(), lambda _identifier: heard)
    assert len(started) == 1
    assert rooms.built == []
    assert "failed" not in heard.phases
    assert FleetRequest(request=matrix).journal.failures() == {}, "what was ended has not failed"
