"""The cgroup of a build in the real kernel, and its killer, which takes a compiler and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from fake_compilers import capabilities, serving

from cudawheel.process import stream
from cudawheel.schedule.budget import BudgetRequest
from cudawheel.schedule.confinement import Confinement, confine
from cudawheel.schedule.limits import GIB, MIB


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Iterator[Confinement]:
    """A cgroup of the real kernel."""
    monkeypatch.setattr(shutil, "which", lambda _name, **_named: None)
    with confine(256 * MIB) as made:
        if made.group is None:
            pytest.skip("no cgroup that counts memory can be made here: not root, or /sys/fs/cgroup is read-only")
        yield made


def test_the_real_kernel_holds_a_build_in_its_group(group: Confinement, tmp_path: Path) -> None:
    assert group.group is not None
    assert group.limit() == 256 * MIB
    done = stream(["cat", "/proc/self/cgroup"], log=tmp_path / "log", hold=group.command)
    assert group.group.name in done.output
    assert group.kills() == 0
    assert group.group.name not in Path("/proc/self/cgroup").read_text(encoding="ascii")


def test_the_real_kernel_lets_an_empty_group_go(tmp_path: Path, group: Confinement) -> None:
    with confine(64 * MIB) as made:
        assert made.group is not None
        done = stream(["/bin/sh", "-c", "setsid sleep 600 & echo $!"], log=tmp_path / "log", hold=made.command)
        assert made.group.is_dir()
    assert done.ok
    assert not made.group.exists()
    assert group.group is not None
    assert group.group.is_dir()


BACKEND = """
{nvcc} -c steady.cu -o steady.o &
{nvcc} {passes} -c greedy.cu -o greedy.o
echo "greedy: $?"
wait $!
echo "steady: $?"
"""
# The greedy one takes more than there is, in a process of its own as nvcc does, until its second try; until it has done
# that the steady one runs.
STEADY = """until grep -q 'end greedy.cu' "$folder/marks"; do sleep 0.02; done"""
GREEDY = """
[ $try = 2 ] && exit 0
eat 256 || { echo "nvcc error   : 'cicc' died due to signal 9 (Kill signal)" >&2; exit 1; }
"""


def test_the_real_kernel_kills_the_compiler_that_takes_too_much_and_the_build_goes_on(
    group: Confinement, real_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if psutil.swap_memory().total:
        pytest.skip("what does not fit into a cgroup goes to swap here, and nothing is killed")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=64 * GIB, available=64 * GIB))
    monkeypatch.setattr("cudawheel.schedule.budget.usable_cores", lambda _root: 4)
    monkeypatch.setattr("cudawheel.schedule.jobserver._LEAST_LIMIT", 0)
    # Having taken everything once, it finds no room when it comes back, and is not to wait long for any.
    monkeypatch.setattr("cudawheel.schedule.dispatcher._PATIENCE", 0.3)
    allowed = BudgetRequest(memory=128 * MIB, jobs=3)
    with serving(tmp_path / "shop", allowed, root=real_machine, each=24 * MIB, confined=True) as served:
        assert str(served.jobserver.confinement) == str(group)
        assert served.jobserver.confinement.limit() == 128 * MIB
        shop = served.workshop
        shop.unit("steady.cu", STEADY)
        shop.unit("greedy.cu", GREEDY)
        done = stream(
            ["/bin/sh", "-c", BACKEND.format(nvcc=shop.nvcc, passes=" ".join(capabilities(2)))],
            log=tmp_path / "log",
            env=shop.environment,
            cwd=shop.project,
            hold=served.jobserver.confinement.command,
        )
        assert (done.code, done.output.splitlines()) == (0, ["greedy: 0", "steady: 0"])
        assert served.jobserver.confinement.kills() == 1
        assert [len(shop.marks("start", name)) for name in ("steady.cu", "greedy.cu")] == [1, 2]
        assert shop.marks("start", "greedy.cu")[1].threads == 1
        assert any(note.startswith("greedy.cu ran out of memory on ") for note in shop.notes)
        killed = [event.text for event in served.jobserver.timeline.events if event.kind == "killed"]
        assert killed == ["the kernel killed a process of greedy.cu"]
        [unit] = [unit for unit in served.jobserver.timeline.units if unit.outcome != "ok"]
        assert (unit.source, unit.outcome) == ("greedy.cu", "out of memory")
        assert 50 * MIB < unit.peak <= 128 * MIB
    assert served.jobserver.confinement.group is not None
    assert not served.jobserver.confinement.group.exists()
