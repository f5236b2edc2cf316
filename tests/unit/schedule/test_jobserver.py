"""The jobserver with real launchers and compilers: it gives no more than there is, and gets everything back."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_compilers import Served, eventually, finish, is_over, serving
from fake_machine import V2, write

from cudawheel.schedule.budget import BudgetRequest
from cudawheel.schedule.confinement import Confinement
from cudawheel.schedule.jobserver import _group
from cudawheel.schedule.limits import GIB, MIB

# Launchers that wait are counted too, at some MiB each.
CHANGE = 512 * MIB


@pytest.fixture
def served(machine: Path, tmp_path: Path) -> Iterator[Served]:
    """A workshop whose jobserver has four threads to give, and memory for them."""
    with serving(tmp_path / "shop", BudgetRequest(memory=5 * GIB, jobs=4), root=machine) as served:
        yield served
        eventually(lambda: (served.held, served.waiting) == (0, 0), "every lease is back")


def most_threads(served: Served) -> int:
    """The most threads of which the marks say that they ran at once."""
    now = most = 0
    for mark in served.workshop.all_marks():
        now += mark.threads if mark.what == "start" else -mark.threads
        most = max(most, now)
    return most


@pytest.mark.parametrize(
    "allowed",
    [
        pytest.param(BudgetRequest(memory=3 * GIB + CHANGE, jobs=6), id="memory"),
        pytest.param(BudgetRequest(memory=40 * GIB, jobs=3), id="slots"),
    ],
)
def test_with_room_for_three_passes_never_more_than_three_run(
    allowed: BudgetRequest, machine: Path, tmp_path: Path
) -> None:
    with serving(tmp_path / "shop", allowed, root=machine) as served:
        shop = served.workshop
        units = [shop.unit(f"{number}.cu", "sleep 0.03") for number in range(9)]
        links = [shop.unit(f"{number}.cpp", "sleep 0.01") for number in range(3)]
        children = [shop.start_nvcc(unit, passes=1 + number % 4) for number, unit in enumerate(units)]
        children += [shop.start(shop.stand_ins.cxx, "-c", unit) for unit in links]
        assert [finish(child).code for child in children] == [0] * 12
        assert most_threads(served) <= 3
        assert len(shop.marks("start")) == len(shop.marks("end")) == 12
        assert (served.held, served.waiting) == (0, 0)
        assert served.jobserver.timeline.most_running <= 3


def test_what_there_is_room_for_runs_side_by_side_and_the_rest_waits(machine: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "shop", BudgetRequest(memory=3 * GIB + CHANGE, jobs=6), root=machine) as served:
        shop = served.workshop
        children = [shop.start_cxx(shop.unit(f"{number}.cpp", "wait_for gate")) for number in range(5)]
        eventually(lambda: len(shop.marks("start")) == 3 and served.waiting == 2, "three run and two wait")
        shop.open("gate")
        assert [finish(child).code for child in children] == [0] * 5
        assert most_threads(served) == 3


def test_one_unit_alone_gets_the_threads_that_it_can_use(served: Served) -> None:
    shop = served.workshop
    assert finish(shop.start_cxx(shop.unit("single.cpp"))).code == 0
    assert shop.run_nvcc(shop.unit("narrow.cu"), passes=1).code == 0
    assert shop.run_nvcc(shop.unit("wide.cu"), passes=8).code == 0
    single, narrow, wide = [mark.threads for mark in shop.marks("start")]
    assert (single, wide) == (1, 4)
    assert single <= narrow < wide


def test_who_is_about_to_ask_is_waited_for_but_not_for_ever(served: Served) -> None:
    """A mark that nobody takes away again is of a launcher that was killed; it holds up one decision, and no second."""
    shop, starting = served.workshop, served.jobserver.socket.with_name("starting")
    (starting / "1").touch()
    shop.open("gate")
    assert shop.run_nvcc(shop.unit("first.cu"), passes=8).code == 0
    assert list(starting.iterdir()) == []
    [unit] = served.jobserver.timeline.units
    assert unit.threads == 4


def test_two_that_start_together_share_the_threads(served: Served) -> None:
    shop = served.workshop
    (mark := served.jobserver.socket.with_name("starting") / "1").touch()
    first = shop.start_nvcc(shop.unit("a.cu", "sleep 0.2"), passes=8)
    eventually(lambda: served.waiting == 1, "the first has asked")
    second = shop.start_nvcc(shop.unit("b.cu", "sleep 0.2"), passes=8)
    eventually(lambda: served.waiting == 2 or shop.marks("start"), "the second has asked")
    mark.unlink(missing_ok=True)
    assert [finish(child).code for child in (first, second)] == [0, 0]
    assert [mark.threads for mark in shop.marks("start")] == [2, 2]


def test_a_killed_compiler_is_compiled_again_and_gives_its_threads_back(served: Served) -> None:
    shop = served.workshop
    child = shop.start_nvcc(shop.unit("a.cu", "[ $try = 2 ] || wait_for ever"), passes=4)
    eventually(lambda: shop.marks("start"), "the compiler runs")
    os.kill(shop.marks("start")[0].process, signal.SIGKILL)
    assert finish(child).code == 0
    assert [mark.threads for mark in shop.marks("start")] == [4, 2]
    assert served.held == 0


def test_a_killed_launcher_gives_its_threads_back_and_its_compiler_ends(served: Served) -> None:
    shop = served.workshop
    script = 'sleep 600 & echo $! >"$folder/child"; wait'
    child = shop.start_nvcc(shop.unit("a.cu", script), passes=4)
    note = shop.folder / "child"
    eventually(lambda: note.is_file() and note.read_text(encoding="ascii"), "the compiler runs and has a child")
    other = shop.start_nvcc(shop.unit("b.cu"), passes=4)
    eventually(lambda: served.waiting == 1, "another waits")
    child.kill()
    assert finish(child).code == -signal.SIGKILL
    assert finish(other).code == 0
    left_behind = [shop.marks("start", "a.cu")[0].process, int(note.read_text(encoding="ascii"))]
    eventually(lambda: all(is_over(process) for process in left_behind), "nothing of the compiler is left")
    assert len(shop.marks("start", "a.cu")) == 1


def test_a_launcher_that_is_killed_while_it_waits_never_gets_a_turn(served: Served) -> None:
    shop = served.workshop
    first = shop.start_nvcc(shop.unit("a.cu", "wait_for gate"), passes=4)
    eventually(lambda: shop.marks("start"), "the first compiler runs")
    second = shop.start_nvcc(shop.unit("b.cu"), passes=4)
    eventually(lambda: served.waiting == 1, "the second waits")
    second.kill()
    finish(second)
    eventually(lambda: served.waiting == 0, "nobody waits any more")
    shop.open("gate")
    assert finish(first).code == 0
    assert [mark.name for mark in shop.marks("start")] == ["a.cu"]


DEATHS = {
    "killed": "kill -9 $$",
    "shell of a killed one": "exit 137",
    "nvcc of a killed cicc": "echo \"nvcc error   : 'cicc' died due to signal 9 (Kill signal)\" >&2; exit 1",
    "gcc": "echo 'c++: fatal error: Killed signal terminated program cc1plus' >&2; exit 1",
    "clang": "echo 'LLVM ERROR: out of memory'; exit 134",
}


@pytest.mark.parametrize("death", DEATHS.values(), ids=DEATHS)
def test_a_unit_that_ran_out_of_memory_is_compiled_again_on_fewer_threads(death: str, served: Served) -> None:
    shop = served.workshop
    frail = shop.start_nvcc(shop.unit("frail.cu", f"[ $try = 2 ] || {{ {death}; }}"), passes=4)
    assert finish(frail).code == 0
    others = [shop.start_nvcc(shop.unit(f"{number}.cu")) for number in range(2)]
    assert [finish(child).code for child in others] == [0, 0]
    assert [mark.threads for mark in shop.marks("start", "frail.cu")] == [4, 2]
    assert [len(shop.marks("start", f"{number}.cu")) for number in range(2)] == [1, 1]
    [note] = shop.notes
    assert note.startswith("frail.cu ran out of memory on 4 threads")
    assert note.endswith("compiling it once more on 2 threads")
    assert served.build.starved == []
    outcomes = [(unit.source, unit.outcome) for unit in served.jobserver.timeline.units]
    assert outcomes[:2] == [("frail.cu", "out of memory"), ("frail.cu", "ok")]


def test_a_unit_that_always_dies_ends_up_alone_and_fails_with_its_own_words(served: Served) -> None:
    shop = served.workshop
    # Whoever is there first holds a thread until the other has come down to being compiled alone.
    bystander = shop.start_cxx(shop.unit("bystander.cpp", "wait_for gate"))
    eventually(lambda: shop.marks("start"), "the bystander runs")
    huge = shop.start_nvcc(shop.unit("huge.cu", "echo try $try; echo 'std::bad_alloc' >&2; exit 7"), passes=4)
    eventually(lambda: any("alone" in note for note in shop.notes), "it is to be compiled alone")
    assert huge.poll() is None
    before = len(shop.marks("start", "huge.cu"))
    shop.open("gate")
    assert finish(bystander).code == 0
    done = finish(huge)
    threads = [mark.threads for mark in shop.marks("start", "huge.cu")]
    assert (done.code, done.err, done.out) == (7, b"std::bad_alloc\n", f"try {len(threads)}\n".encode())
    assert threads[-2:] == [1, 1]
    assert threads == sorted(threads, reverse=True)
    assert len(threads) == before + 1
    names = [(mark.what, mark.name) for mark in shop.all_marks()]
    assert names.index(("end", "bystander.cpp")) < len(names) - 2
    assert names[-2:] == [("start", "huge.cu"), ("end", "huge.cu")]
    [end] = served.build.starved
    assert end.startswith("huge.cu ran out of memory on one thread with nothing else running")
    assert shop.notes[-1] == end


def test_a_kill_that_the_kernel_counts_is_put_down_to_what_failed_even_if_that_has_no_words_for_it(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = served.workshop
    kills = 0
    monkeypatch.setattr(Confinement, "kills", lambda _confinement: kills)
    frail = shop.start_nvcc(shop.unit("frail.cu", "[ $try = 2 ] && exit; wait_for gate; exit 1"), passes=2)
    eventually(lambda: shop.marks("start"), "it runs")
    kills = 1
    assert shop.run_nvcc(shop.unit("other.cu")).code == 0
    shop.open("gate")
    assert finish(frail).code == 0
    assert shop.run_nvcc(shop.unit("wrong.cu", "exit 1")).code == 1
    assert [len(shop.marks("start", name)) for name in ("frail.cu", "other.cu", "wrong.cu")] == [2, 1, 1]
    killed = [event.text for event in served.jobserver.timeline.events if event.kind == "killed"]
    assert killed == ["the kernel killed a process of frail.cu"]


def test_a_plain_error_is_no_want_of_memory(served: Served) -> None:
    shop = served.workshop
    done = shop.run_nvcc(shop.unit("a.cu", "echo 'a.cu(1): error: expected a ;' >&2; exit 2"), passes=4)
    assert (done.code, len(shop.marks("start"))) == (2, 1)
    assert (shop.notes, served.build.starved) == ([], [])


class Dialler:
    """A connection to the jobserver that no launcher made."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(60)
        self._socket.connect(str(path))

    def say(self, content: bytes) -> None:
        self._socket.sendall(content)

    def hear(self) -> bytes:
        """What comes next; nothing when the other end has closed."""
        try:
            return self._socket.recv(1 << 12)
        except ConnectionResetError:
            return b""

    def close(self) -> None:
        self._socket.close()


ASK = b"ask\tproject sm90\t/\thost\t1\ta.cpp\n"


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n",
        b"hello\n",
        b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
        b"\xff\xfe\x00\x01\n",
        b"ask\n",
        b"ask\tproject sm90\t/\tdevice\tmany\ta.cu\n",
        b"ask\tnobody's build\t/\tdevice\t1\ta.cu\n",
        ASK.rstrip() + b"\tand more\n",
        ASK + ASK,
        b"run\n",
        b"run\t\n",
        b"run\t0\n",
        b"end\n",
        b"end\t0\t0\tmuch\t0\t0\t0\n",
    ],
)
def test_who_talks_garbage_is_hung_up_on_and_the_others_go_on(garbage: bytes, served: Served) -> None:
    shop = served.workshop
    before = shop.start_cxx(shop.unit("before.cpp", "wait_for gate"))
    eventually(lambda: shop.marks("start"), "a compiler runs")
    dialler = Dialler(served.jobserver.socket)
    dialler.say(garbage)
    while dialler.hear():
        pass
    dialler.close()
    shop.open("gate")
    assert finish(before).code == 0
    assert shop.run_nvcc(shop.unit("after.cu"), passes=4).code == 0
    assert [mark.threads for mark in shop.marks("start")] == [1, 4]


@pytest.mark.parametrize("word", ["-1", "0", "1", str(os.getpgrp()), "", "all"], ids=repr)
def test_a_launcher_cannot_have_everything_killed(word: str) -> None:
    # Never over the socket: killpg(1) is kill(-1), which is everybody.
    with pytest.raises(ValueError, match=word or "''"):
        _group(word)


def test_half_a_line_is_waited_for_and_half_a_line_at_the_end_is_nothing(served: Served) -> None:
    dialler, silent = Dialler(served.jobserver.socket), Dialler(served.jobserver.socket)
    dialler.say(ASK[:9])
    silent.say(ASK[:-1])
    shop = served.workshop
    assert shop.run_nvcc(shop.unit("b.cu"), passes=4).code == 0
    dialler.say(ASK[9:])
    assert dialler.hear() == b"go\t1\n"
    assert served.held == 1
    silent.close()
    dialler.say(b"end\t0\t0\t1\t0.1\t0.1\t0\n")
    assert dialler.hear() == b"done\n"
    dialler.close()
    assert [unit.source for unit in served.jobserver.timeline.units] == ["b.cu", "a.cpp"]


def test_the_compilers_of_a_build_that_is_over_are_not_served(machine: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "shop", BudgetRequest(jobs=1), root=machine) as served:
        served.jobserver._dispatcher.leave(served.build, served.jobserver.now())
        done = served.workshop.run_nvcc(served.workshop.unit("a.cu"))
    assert (done.code, served.workshop.all_marks()) == (1, [])
    assert done.err.startswith(b"cudawheel is gone")


def test_with_the_jobserver_every_compiler_ends(machine: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "shop", BudgetRequest(jobs=2), root=machine) as served:
        shop = served.workshop
        children = [shop.start_cxx(shop.unit(f"{number}.cpp", "wait_for ever")) for number in range(3)]
        eventually(lambda: len(shop.marks("start")) == 2 and served.waiting == 1, "two run and one waits")
        shop.started.clear()  # so that the launchers outlive the jobserver
    assert [finish(child).code for child in children] == [1, 1, 1]
    assert all(is_over(mark.process) for mark in shop.marks("start"))
    assert not served.jobserver.socket.parent.exists()
    assert "jobserver" not in {thread.name for thread in threading.enumerate()}


def test_a_jobserver_that_fails_lets_nobody_wait_and_says_why(machine: Path, tmp_path: Path) -> None:
    def fail(_used: int, _budget: int, _running: int, waiting: int) -> None:
        if waiting:
            raise ZeroDivisionError

    def build() -> None:
        with serving(tmp_path / "shop", BudgetRequest(jobs=1), root=machine, on_look=fail) as served:
            shop = served.workshop
            children = [shop.start_nvcc(shop.unit(f"{number}.cu", "wait_for ever")) for number in range(2)]
            codes.extend(finish(child).code for child in children)

    codes: list[int] = []
    with pytest.raises(ZeroDivisionError):
        build()
    assert codes == [1, 1]


class Looks:
    """What a jobserver tells of its looks: bytes used, bytes of the budget, threads running, compilers waiting."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, int, int]] = []

    def __call__(self, used: int, budget: int, running: int, waiting: int) -> None:
        self.seen.append((used, budget, running, waiting))

    def wait(self, number: int) -> None:
        """Wait for so many more."""
        enough = len(self.seen) + number
        eventually(lambda: len(self.seen) >= enough, "the jobserver looks again")


def limit_group(root: Path, limit: int) -> None:
    """Set the limit of the cgroup that this process seems to be in, in one step as the kernel does."""
    write(root, {"limit.new": limit})
    (root / "limit.new").replace(root / V2 / "job" / "memory.max")


def test_a_limit_that_comes_down_holds_compilers_back_until_it_is_lifted(machine: Path, tmp_path: Path) -> None:
    group = f"{V2}/job"
    write(machine, {"proc/self/cgroup": "0::/job", f"{group}/memory.max": 9 * GIB, f"{group}/memory.current": GIB})
    looks = Looks()
    with serving(tmp_path / "shop", BudgetRequest(jobs=4), root=machine, on_look=looks) as served:
        assert 7 * GIB < served.jobserver.budget.memory < 8 * GIB
        shop = served.workshop
        first = shop.start_cxx(shop.unit("first.cpp", "wait_for gate"))
        eventually(lambda: shop.marks("start"), "the first compiler runs")
        # Half of what is left is reserve.
        limit_group(machine, GIB + 64 * MIB)
        looks.wait(2)
        second = shop.start_cxx(shop.unit("second.cpp"))
        eventually(lambda: served.waiting == 1, "the second waits")
        looks.wait(3)
        used, budget, running, waiting = looks.seen[-1]
        assert (budget - used, running, waiting) == (0, 1, 1)
        assert len(shop.marks("start")) == 1
        limit_group(machine, 9 * GIB)
        assert finish(second).code == 0
        assert shop.marks("end", "first.cpp") == []
        used, budget, running, _ = looks.seen[-1]
        shop.open("gate")
        assert finish(first).code == 0
        [event] = [event for event in served.jobserver.timeline.events if event.kind == "withheld"]
    assert "within the cgroup job" in event.text
    assert event.until is not None


def test_a_look_tells_what_the_builds_hold_and_may_hold(machine: Path, tmp_path: Path) -> None:
    looks = Looks()
    with serving(
        tmp_path / "shop", BudgetRequest(memory=2 * GIB - CHANGE, jobs=2), root=machine, on_look=looks
    ) as served:
        looks.wait(2)
        assert looks.seen[-1][2:] == (0, 0)
        shop = served.workshop
        children = [shop.start_cxx(shop.unit(f"{number}.cpp", "wait_for gate")) for number in range(3)]
        eventually(lambda: looks.seen[-1][2:] == (1, 2), "a look shows one that runs and two that wait")
        used, budget, *_ = looks.seen[-1]
        assert 10 * MIB < used < 200 * MIB
        assert budget == 2 * GIB - CHANGE
        shop.open("gate")
        assert [finish(child).code for child in children] == [0, 0, 0]
