"""How many compilers may run at once: the arithmetic, and reading what is free out of /proc and /sys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cudawheel.schedule.budget import GIB, allocate, available_memory, usable_cores

FREE = 64 * GIB


@pytest.mark.parametrize(
    ("memory_per_job", "cores", "gibibytes", "jobs", "limit"),
    [
        (3.0, 16, 64, 12, "memory"),
        (3.0, 4, 64, 4, "cores"),
        (3.0, 2, 10, 2, "cores"),
        (3.0, 8, 10, 2, "memory"),
        (0.5, 2, 4, 2, "cores"),
        (3.0, 8, 1, 1, "memory"),
        (3.0, 1, 0, 1, "memory"),
    ],
)
def test_jobs_are_limited_by_what_is_short(
    memory_per_job: float, cores: int, gibibytes: int, jobs: int, limit: str
) -> None:
    allocation = allocate(memory_per_job, cores=cores, available=gibibytes * GIB)
    assert allocation.jobs == jobs
    assert f"limited by {limit}" in allocation.reason
    assert f"{cores} cores" in allocation.reason


@given(st.floats(0.1, 512), st.integers(1, 1024), st.integers(0, 4096 * GIB))
def test_a_plan_never_takes_more_than_three_fifths_unless_for_the_only_job(
    memory_per_job: float, cores: int, available: int
) -> None:
    jobs = allocate(memory_per_job, cores=cores, available=available).jobs
    assert 1 <= jobs <= cores
    assert jobs == 1 or jobs * memory_per_job * GIB <= 0.6 * available * (1 + 1e-9)


@given(st.floats(0.1, 512), st.integers(1, 64), st.integers(0, 512 * GIB), st.integers(0, 512 * GIB))
def test_more_memory_never_means_fewer_jobs(memory_per_job: float, cores: int, available: int, more: int) -> None:
    less = allocate(memory_per_job, cores=cores, available=available)
    assert less.jobs <= allocate(memory_per_job, cores=cores, available=available + more).jobs


def test_this_process_may_run_somewhere() -> None:
    assert 1 <= usable_cores() <= (psutil.cpu_count() or 1)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty machine with 64 GiB free."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=FREE))
    return tmp_path


def write(root: Path, files: Mapping[str, object]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{content}\n", encoding="ascii")


V2 = "sys/fs/cgroup"
V1 = "sys/fs/cgroup/memory"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, FREE, id="no cgroups at all"),
        pytest.param({"proc/self/cgroup": "0::/"}, FREE, id="v2, no limit files"),
        pytest.param(
            {"proc/self/cgroup": "0::/job", f"{V2}/job/memory.max": "max", f"{V2}/job/memory.current": GIB},
            FREE,
            id="v2, no limit",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/job", f"{V2}/job/memory.max": 8 * GIB, f"{V2}/job/memory.current": 3 * GIB},
            5 * GIB,
            id="v2, own limit",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/", f"{V2}/memory.max": 8 * GIB, f"{V2}/memory.current": 3 * GIB},
            5 * GIB,
            id="v2, in a namespace of its own",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/docker/abc", f"{V2}/memory.max": 8 * GIB, f"{V2}/memory.current": 3 * GIB},
            5 * GIB,
            id="v2, path of the host, mounted at the top",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/user/job/step",
                f"{V2}/user/job/step/memory.max": 16 * GIB,
                f"{V2}/user/job/step/memory.current": GIB,
                f"{V2}/user/job/memory.max": "max",
                f"{V2}/user/job/memory.current": GIB,
                f"{V2}/user/memory.max": 10 * GIB,
                f"{V2}/user/memory.current": 8 * GIB,
            },
            2 * GIB,
            id="v2, an ancestor has less",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/job", f"{V2}/job/memory.max": 999 * GIB, f"{V2}/job/memory.current": GIB},
            FREE,
            id="v2, the machine has less",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/job", f"{V2}/job/memory.max": GIB, f"{V2}/job/memory.current": 2 * GIB},
            0,
            id="v2, over its limit",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/job",
                f"{V2}/job/memory.max": 8 * GIB,
                f"{V2}/job/memory.current": 7 * GIB,
                f"{V2}/job/memory.stat": f"anon {GIB}\ninactive_anon 5\ninactive_file {4 * GIB}\nslab 9",
            },
            5 * GIB,
            id="v2, cached files are given up",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "12:cpu,cpuacct:/job\n5:memory:/docker/abc\n1:name=systemd:/job",
                f"{V1}/docker/abc/memory.limit_in_bytes": 6 * GIB,
                f"{V1}/docker/abc/memory.usage_in_bytes": 2 * GIB,
            },
            4 * GIB,
            id="v1, own limit",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "5:memory:/docker/abc",
                f"{V1}/memory.limit_in_bytes": 6 * GIB,
                f"{V1}/memory.usage_in_bytes": 5 * GIB,
                f"{V1}/memory.stat": f"inactive_file 1\ntotal_inactive_file {2 * GIB}",
            },
            3 * GIB,
            id="v1, path of the host, cached files are given up",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "5:memory:/job",
                f"{V1}/job/memory.limit_in_bytes": 0x7FFFFFFFFFFFF000,
                f"{V1}/job/memory.usage_in_bytes": 2 * GIB,
            },
            FREE,
            id="v1, the number that means no limit",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "5:cpu,memory:/job\n0::/job",
                f"{V1}/job/memory.limit_in_bytes": 6 * GIB,
                f"{V1}/job/memory.usage_in_bytes": 2 * GIB,
                f"{V2}/job/memory.max": 3 * GIB,
                f"{V2}/job/memory.current": GIB,
            },
            2 * GIB,
            id="both, the smaller counts",
        ),
    ],
)
def test_what_is_free_is_the_least_that_anything_allows(files: dict[str, object], expected: int, root: Path) -> None:
    write(root, files)
    assert available_memory(root) == expected


def test_files_outside_of_the_tree_are_not_looked_at(root: Path) -> None:
    write(
        root, {"proc/self/cgroup": "0::/job", "sys/fs/memory.max": GIB, "sys/fs/memory.current": 0, "memory.max": GIB}
    )
    assert available_memory(root) == FREE


def test_this_machine_has_memory() -> None:
    assert 0 < available_memory() <= psutil.virtual_memory().total
