"""What compilers cost before: which earlier build is believed, and a file that many write and anything may damage."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schedule_values import BESIDE, FIXED, PER_PASS, make_compilation, make_key

from cudawheel.schedule import history as history_module
from cudawheel.schedule.demand import Kind
from cudawheel.schedule.history import CostKey, History, trial, unmeasured
from cudawheel.schedule.limits import GIB, MIB

KEY = make_key(memory=3 * GIB)
MARGIN = 1.1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "costs.sqlite"


@pytest.fixture
def history(path: Path) -> History:
    return History(path)


def memory_in(history: History, key: CostKey = KEY, source: str = "kernel.cu") -> float:
    """Give what a unit held, the margin taken off again, in GiB; 0 where it was never measured."""
    cost = history.cost_of(key, source, "device")
    return round(cost.memory / MARGIN / GIB, 3) if cost.measured else 0


def remember(history: History, key: CostKey, gibibytes: float, source: str = "kernel.cu") -> None:
    history.add(key, [make_compilation(source, peak=int(gibibytes * GIB))])


@pytest.mark.parametrize(
    ("kind", "memory", "passes_cost"), [("device", 3 * GIB, True), ("host", 2 * GIB, False), ("link", GIB // 2, False)]
)
def test_what_was_never_measured_costs_what_the_recipe_says(
    kind: Kind, memory: int, passes_cost: bool, history: History
) -> None:
    cost = history.cost_of(KEY, "kernel.cu", kind)
    assert cost == unmeasured(KEY, kind)
    assert (cost.memory, cost.per_pass > 0, cost.measured) == (memory, passes_cost, False)


@pytest.mark.parametrize("kind", ["device", "host", "link"])
def test_nothing_is_taken_to_need_more_than_the_recipe_says(kind: Kind) -> None:
    assert unmeasured(make_key(memory=100 * MIB), kind).memory == 100 * MIB


def test_a_host_compiler_is_taken_to_be_done_long_before_nvcc() -> None:
    assert unmeasured(KEY, "host").seconds(1, 1) < unmeasured(KEY, "device").seconds(1, 1) / 3


def test_asking_a_history_does_not_make_its_file(history: History, path: Path) -> None:
    history.cost_of(KEY, "kernel.cu", "device")
    assert history.units_of(KEY) == ()
    assert not path.parent.exists()


def test_a_unit_is_given_a_tenth_more_than_it_ever_took(history: History) -> None:
    history.add(KEY, [make_compilation(peak=2 * GIB)])
    cost = history.cost_of(KEY, "kernel.cu", "device")
    assert cost.measured
    assert cost.memory == int(2 * GIB * MARGIN)


def test_of_the_last_compilations_the_largest_counts(history: History) -> None:
    for gibibytes in (2, 4, 3):
        remember(history, KEY, gibibytes)
    assert memory_in(history) == 4


def test_a_cost_that_has_gone_down_is_believed_after_some_builds(history: History) -> None:
    remember(history, KEY, 8)
    for _ in range(5):
        remember(history, KEY, 2)
    assert memory_in(history) == 2


@pytest.mark.parametrize(
    "far",
    [
        make_key(fingerprint="other"),
        make_key(fingerprint="other", torch="2.10"),
        make_key(fingerprint="other", cuda="12.8"),
    ],
)
def test_the_nearest_builds_are_believed_though_others_are_newer(far: CostKey, history: History) -> None:
    for key, gibibytes in ((KEY, 2.0), (far, 6.0)):
        for _ in range(5):
            remember(history, key, gibibytes)
    assert memory_in(history) == 2
    assert memory_in(history, far) == 6


def test_the_same_toolkit_is_nearer_than_the_same_torch(history: History) -> None:
    for key, gibibytes in ((make_key(fingerprint="1", torch="2.10"), 2.0), (make_key(fingerprint="2", cuda="12.8"), 6)):
        for _ in range(5):
            remember(history, key, gibibytes)
    assert memory_in(history, make_key(fingerprint="new")) == 2


def test_the_same_torch_is_nearer_than_neither(history: History) -> None:
    for key, gibibytes in (
        (make_key(fingerprint="1", cuda="12.8"), 2.0),
        (make_key(fingerprint="2", cuda="12.8", torch="2.10"), 6),
    ):
        for _ in range(5):
            remember(history, key, gibibytes)
    assert memory_in(history, make_key(fingerprint="new")) == 2


def test_the_time_is_that_of_the_nearest_build(history: History) -> None:
    history.add(KEY, [make_compilation(cpu_seconds=90)])
    history.add(make_key(fingerprint="other"), [make_compilation(cpu_seconds=500)])
    assert history.cost_of(KEY, "kernel.cu", "device").seconds(1, 1) == pytest.approx(90)


def test_other_packages_files_and_kinds_tell_nothing(history: History) -> None:
    history.add(make_key("other"), [make_compilation()])
    history.add(KEY, [make_compilation("other.cu"), make_compilation(kind="host")])
    assert not history.cost_of(KEY, "kernel.cu", "device").measured


@given(cpu_seconds=st.floats(0, 1e5), passes=st.integers(1, 20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
def test_processor_time_is_split_in_the_proportions_of_nvcc(cpu_seconds: float, passes: int, tmp_path: Path) -> None:
    (tmp_path / "costs.sqlite").unlink(missing_ok=True)
    history = History(tmp_path / "costs.sqlite")
    history.add(KEY, [make_compilation(passes=passes, cpu_seconds=cpu_seconds)])
    cost = history.cost_of(KEY, "kernel.cu", "device")
    assert cost.seconds(passes, 1) == pytest.approx(cpu_seconds)
    assert cost.fixed * PER_PASS == pytest.approx(cost.per_pass * FIXED)
    assert cost.beside == pytest.approx(cost.fixed * BESIDE)


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize(("kind", "some"), [("device", True), ("host", False), ("link", False)])
def test_only_nvcc_has_work_that_runs_beside_the_passes(
    kind: Kind, some: bool, measured: bool, history: History
) -> None:
    if measured:
        history.add(KEY, [make_compilation(kind=kind)])
    cost = history.cost_of(KEY, "kernel.cu", kind)
    assert (cost.measured, cost.beside > 0) == (measured, some)
    assert cost.beside < cost.fixed


def test_the_trials_of_a_compiler_have_nothing_to_run_side_by_side() -> None:
    assert trial(KEY).seconds(1, 1) == trial(KEY).seconds(1, 2)


def test_processor_time_of_a_host_compiler_is_not_shortened_by_threads(history: History) -> None:
    history.add(KEY, [make_compilation("a.cpp", kind="host", cpu_seconds=12)])
    cost = history.cost_of(KEY, "a.cpp", "host")
    assert (cost.fixed, cost.per_pass) == (12, 0)


def test_a_history_survives_being_opened_anew(history: History, path: Path) -> None:
    remember(history, KEY, 2)
    remember(History(path), KEY, 4, "other.cu")
    units = History(path).units_of(KEY)
    assert [(source, kind) for source, kind, _ in units] == [("kernel.cu", "device"), ("other.cu", "device")]
    assert units[0][2] == History(path).cost_of(KEY, "kernel.cu", "device")


def test_the_units_are_those_of_the_same_build_or_else_of_the_last(history: History) -> None:
    for fingerprint in ("first", "second"):
        history.add(make_key(fingerprint=fingerprint), [make_compilation(f"{fingerprint}.cu")] * 2)
    units = {fingerprint: history.units_of(make_key(fingerprint=fingerprint)) for fingerprint in ("first", "new")}
    assert {fingerprint: [unit[0] for unit in found] for fingerprint, found in units.items()} == {
        "first": ["first.cu"],
        "new": ["second.cu"],
    }
    assert history.units_of(make_key("other")) == ()


def test_a_build_that_was_interrupted_does_not_tell_which_units_there_are(history: History) -> None:
    before, broken = make_key(fingerprint="before"), make_key(fingerprint="broken")
    history.add(before, [make_compilation("large.cu", peak=2 * GIB), make_compilation("small.cpp", kind="host")])
    history.add(broken, [make_compilation("small.cpp", kind="host", peak=GIB // 4)], finished=False)
    assert [source for source, _, _ in history.units_of(broken)] == ["large.cu", "small.cpp"]
    history.add(broken, [make_compilation("large.cu")], finished=False)
    history.add(broken, (), finished=True)
    history.add(broken, [make_compilation("new.cu")])
    assert [source for source, _, _ in history.units_of(broken)] == ["large.cu", "new.cu", "small.cpp"]


def test_of_a_package_that_was_never_finished_no_units_are_known_but_their_costs_are(history: History) -> None:
    history.add(KEY, [make_compilation(peak=2 * GIB)], finished=False)
    assert history.units_of(KEY) == ()
    assert memory_in(history) == 2


def test_a_finished_build_that_is_interrupted_when_it_is_done_again_stays_finished(history: History) -> None:
    history.add(KEY, [make_compilation("a.cu"), make_compilation("b.cu")])
    history.add(KEY, [make_compilation("a.cu")], finished=False)
    assert [source for source, _, _ in history.units_of(KEY)] == ["a.cu", "b.cu"]


WRITER = """
import sys
from pathlib import Path
from cudawheel.schedule.history import Compilation, CostKey, History

history = History(Path(sys.argv[1]))
key = CostKey(package="demo", fingerprint="f", cuda="13.0", torch="2.11", memory=1)
print("ready", flush=True)
sys.stdin.readline()
for index in range(20):
    history.add(key, [Compilation(source=f"{sys.argv[2]}{index}.cu", kind="device", passes=1, threads=1, peak=1,
                                  cpu_seconds=1, seconds=1)])
"""


def test_two_processes_that_write_at_once_lose_nothing(history: History, path: Path) -> None:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", WRITER, str(path)]
    writers = [subprocess.Popen([*command, name], stdin=pipe, stdout=pipe, text=True) for name in "ab"]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    sources = {source for source, _, _ in history.units_of(KEY)}
    assert sources == {f"{name}{index}.cu" for name in "ab" for index in range(20)}


def spoil(path: Path, how: str) -> None:
    """Damage a database in one of the ways in which files are damaged."""
    whole = path.read_bytes()
    damaged = {
        "not a database": b"nonsense\n" * 1000,
        "cut off": whole[: len(whole) // 2],
        "overwritten": whole[:100] + os.urandom(len(whole) - 100),
    }
    path.write_bytes(damaged[how])


@pytest.mark.parametrize("how", ["not a database", "cut off", "overwritten"])
def test_a_damaged_file_is_an_empty_history_and_is_set_aside_by_the_next_build(
    how: str, history: History, path: Path
) -> None:
    remember(history, KEY, 2)
    spoil(path, how)
    damaged = path.read_bytes()
    assert not history.cost_of(KEY, "kernel.cu", "device").measured
    assert history.units_of(KEY) == ()
    remember(history, KEY, 4)
    assert memory_in(history) == 4
    assert path.with_name("costs.sqlite.damaged").read_bytes() == damaged


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_what_lies_beside_a_damaged_file_does_not_get_into_the_new_one(mode: str, history: History, path: Path) -> None:
    # A process that was killed leaves a log of changes, for SQLite to play back or to undo.
    remember(history, KEY, 2)
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA journal_mode = {mode}")
        database.execute("PRAGMA cache_spill = 1")
        database.execute("INSERT INTO compilation SELECT * FROM compilation")
        beside = {file: file.read_bytes() for file in path.parent.iterdir() if file != path}
    for file, left in beside.items():
        file.write_bytes(left)
    assert beside
    path.write_bytes(b"nonsense\n" * 1000)
    remember(history, KEY, 4, "new.cu")
    assert [source for source, _, _ in history.units_of(KEY)] == ["new.cu"]


def test_an_empty_file_is_an_empty_history(history: History, path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    assert not history.cost_of(KEY, "kernel.cu", "device").measured
    remember(history, KEY, 2)
    assert memory_in(history) == 2
    assert [file.name for file in path.parent.iterdir()] == ["costs.sqlite"]


def test_a_database_that_another_holds_is_left_alone(
    history: History, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "_BUSY_SECONDS", 0.01)
    remember(history, KEY, 2)
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    remember(history, KEY, 4)
    assert memory_in(history) == 0
    other.close()
    assert memory_in(history) == 2
    assert [file.name for file in path.parent.iterdir()] == ["costs.sqlite"]


@pytest.mark.parametrize("name", ["file/costs.sqlite", "x" * 300, "."])
def test_a_place_that_nothing_can_be_written_to_fails_no_build(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    history = History(tmp_path / name)
    remember(history, KEY, 2)
    assert memory_in(history) == 0


def test_a_name_that_is_no_text_fails_no_build(history: History) -> None:
    source = os.fsdecode(b"k\xffrnel.cu")
    remember(history, KEY, 2, source)
    assert memory_in(history, source=source) == 0
