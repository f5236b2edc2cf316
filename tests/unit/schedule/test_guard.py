"""What a look at the machine shows, with processes that hold a known amount and a kernel made of files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from fake_machine import V2, write

from cudawheel.schedule.confinement import Confinement
from cudawheel.schedule.guard import Guard, Look
from cudawheel.schedule.limits import GIB, MIB, MemoryController, MemoryLimit

# Touched page by page, so that it is resident; ends when its input does. Its child, if it has one, does the same.
HOLDER = """
import subprocess, sys
held = bytearray(b"x") * (int(sys.argv[1]) << 20)
if sys.argv[2:]:
    pipe = subprocess.PIPE
    child = subprocess.Popen([sys.executable, "-IS", "-c", *sys.argv[2:]], stdin=pipe, stdout=pipe)
    child.stdout.readline()
print("held", flush=True)
sys.stdin.read()
if sys.argv[2:]:
    child.communicate()
"""
SECOND = 1_000_000
CONTROLLER = MemoryController(
    top=Path("/"),
    limit="memory.max",
    brake="memory.high",
    usage="memory.current",
    cache=("inactive_file", "active_file"),
)


@contextmanager
def holding(*mebibytes: int) -> Iterator[int]:
    """A process that holds so much, with a child that holds the second figure, and give its id."""
    words = [str(mebibytes[0])]
    for size in mebibytes[1:]:
        words += [HOLDER, str(size)]
    command = [sys.executable, "-IS", "-c", HOLDER, *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        yield child.pid


def put_into_group(root: Path, limit: int, usage: int) -> None:
    write(root, {"proc/self/cgroup": "0::/job", f"{V2}/job/memory.max": limit, f"{V2}/job/memory.current": usage})


def press(root: Path, microseconds: object) -> None:
    lines = "some avg10=0.00 avg60=0.00 avg300=0.00 total={0}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total={1}"
    write(root, {"proc/pressure/memory": lines.format(10**15, microseconds)})


def test_a_quiet_machine_holds_nothing_back(machine: Path) -> None:
    look = Guard(None, Confinement(), machine).look([])
    assert (look.withheld, look.is_emergency, look.stalled, dict(look.resident)) == ("", False, 0.0, {})
    assert look.limit.name == "the machine"


def test_what_is_held_is_put_down_to_the_launcher_above_it(machine: Path) -> None:
    with holding(30, 50) as first, holding(40) as second, holding(20) as other:
        look = Guard(None, Confinement(), machine).look([first, second])
    assert set(look.resident) == {first, second}
    assert 80 * MIB < look.resident[first] < 110 * MIB
    assert 40 * MIB < look.resident[second] < 60 * MIB
    assert other not in look.resident
    assert look.used > 140 * MIB


def test_a_launcher_that_is_gone_holds_nothing(machine: Path) -> None:
    with holding(1) as gone:
        pass
    assert dict(Guard(None, Confinement(), machine).look([gone]).resident) == {gone: 0}


def test_what_the_builds_hold_is_taken_off_what_the_person_allows(machine: Path) -> None:
    guard = Guard(100 * MIB, Confinement(), machine)
    assert guard.look([]).withheld == ""
    with ExitStack() as held:
        held.enter_context(holding(60))
        look = guard.look([])
        assert (look.limit.name, look.withheld) == ("--memory", "")
        assert look.limit.available == 100 * MIB - look.used
        held.enter_context(holding(60))
        look = guard.look([])
    assert look.limit.room < 0
    assert "within --memory" in look.withheld


def test_a_cgroup_of_the_builds_knows_best_what_they_hold(machine: Path, tmp_path: Path) -> None:
    write(tmp_path, {"group/memory.current": 3 * GIB, "group/memory.stat": f"inactive_file {GIB}\nactive_file 0"})
    confinement = Confinement(group=tmp_path / "group", controller=CONTROLLER)
    with holding(30) as launcher:
        look = Guard(8 * GIB, confinement, machine).look([launcher])
    assert look.used == 2 * GIB
    assert look.limit.available == 6 * GIB
    assert look.resident[launcher] > 30 * MIB


def test_a_cgroup_that_the_builds_could_not_enter_knows_nothing(machine: Path, tmp_path: Path) -> None:
    write(tmp_path, {"group/memory.current": 0})
    with holding(30):
        look = Guard(None, Confinement(group=tmp_path / "group", controller=CONTROLLER), machine).look([])
    assert look.used > 30 * MIB


def test_what_the_cgroup_of_the_builds_may_hold_is_a_limit_too(machine: Path, tmp_path: Path) -> None:
    write(tmp_path, {"group/memory.current": 3 * GIB, "group/memory.max": 4 * GIB})
    guard = Guard(8 * GIB, Confinement(group=tmp_path / "group", controller=CONTROLLER), machine)
    assert (guard.look([]).limit.room, guard.look([]).withheld) == (GIB, "")
    write(tmp_path, {"group/memory.current": 4 * GIB + MIB})
    assert "within the builds' own cgroup" in guard.look([]).withheld


def test_nothing_new_starts_once_the_reserve_is_touched_and_half_of_it_is_an_emergency(machine: Path) -> None:
    limit = 4 * GIB
    put_into_group(machine, limit, GIB)
    guard = Guard(None, Confinement(), machine)
    reserve = guard.look([]).limit.reserve

    def look(left: int) -> tuple[bool, bool]:
        put_into_group(machine, limit, limit - left)
        seen = guard.look([])
        return bool(seen.withheld), seen.is_emergency

    assert look(reserve) == (False, False)
    assert look(reserve - 1) == (True, False)
    assert look(reserve - reserve // 2) == (True, False)
    assert look(reserve - reserve // 2 - 2) == (True, True)
    assert look(2 * reserve) == (False, False)


def test_the_reason_names_the_limit_and_its_figures() -> None:
    limit = MemoryLimit(name="the cgroup job", limit=8 * GIB, available=GIB // 2, reserve=GIB)
    look = Look(used=7 * GIB, limit=limit, stalled=0.5)
    assert look.withheld == "0.5 GiB are left within the cgroup job, of which 1.0 are the reserve"


def test_nothing_new_starts_while_the_kernel_struggles(machine: Path) -> None:
    press(machine, 5 * SECOND)
    guard = Guard(None, Confinement(), machine)
    # What was before the build does not count, and no second lasts an hour.
    assert guard.look([]).withheld == ""
    press(machine, 3605 * SECOND)
    look = guard.look([])
    assert look.stalled > 0.1
    assert look.withheld.startswith("the kernel waited for memory")
    assert not look.is_emergency
    assert guard.look([]).withheld == ""


@pytest.mark.parametrize(("stalled", "withheld"), [(0.0, False), (0.1, False), (0.11, True), (1.0, True)])
def test_up_to_a_tenth_of_the_time_is_no_struggle(stalled: float, withheld: bool) -> None:
    limit = MemoryLimit(name="the machine", limit=8 * GIB, available=8 * GIB, reserve=GIB)
    look = Look(used=0, limit=limit, stalled=stalled)
    assert (look.withheld == f"the kernel waited for memory {stalled:.0%} of the time") == withheld
    assert bool(look.withheld) == withheld


@pytest.mark.parametrize("nonsense", ["", "full", "full total=much", "full avg10=0.00 total=", "\x00"])
def test_a_kernel_that_does_not_say_how_it_fares_does_not_struggle(nonsense: str, machine: Path) -> None:
    write(machine, {"proc/pressure/memory": nonsense})
    assert Guard(None, Confinement(), machine).look([]).stalled == 0.0
