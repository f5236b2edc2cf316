"""What may be used of the machine and its cgroups, read out of /proc and /sys."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest
from fake_machine import V1, V1_CPU, V2, set_memory, set_up_machine, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cudawheel.schedule.limits import (
    GIB,
    MIB,
    memory_groups,
    memory_limits,
    read_number,
    read_statistic,
    usable_cores,
)

CORES = 16
CACHE_KEPT = 128 * MIB
NONSENSE = st.one_of(
    st.sampled_from(["", "max", "-1", "0", "²", "1.5", "max 100000", "1e3", "\x00", "a b c"]), st.text(max_size=20)
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 16 cores with 64 of 128 GiB free, and no cgroups."""
    return set_up_machine(tmp_path, monkeypatch, cores=CORES)


def available_in_cgroups(root: Path) -> list[int]:
    return [limit.available for limit in memory_limits(root)[1:]]


def test_the_machine_has_what_the_kernel_calls_available_and_swap_does_not_count(root: Path) -> None:
    set_memory(root, total=20 * GIB, available=12 * GIB, swap=500 * GIB)
    (machine,) = memory_limits(root)
    assert (machine.limit, machine.available, machine.reserve) == (20 * GIB, 12 * GIB, 2 * GIB)
    assert machine.room == 10 * GIB


def test_room_is_negative_when_the_reserve_is_being_eaten(root: Path) -> None:
    set_memory(root, total=20 * GIB, available=GIB)
    assert memory_limits(root)[0].room == -GIB


@pytest.mark.parametrize(("total", "reserve"), [(4, 1.2), (20, 2.0), (140, 8.0), (1024, 8.0)])
def test_a_machine_keeps_a_gibibyte_and_a_twentieth_and_no_more_than_eight(
    total: int, reserve: float, root: Path
) -> None:
    set_memory(root, total=total * GIB, available=total * GIB)
    assert memory_limits(root)[0].reserve == int(reserve * GIB)


@pytest.mark.parametrize(
    ("limit", "reserve"),
    [(GIB, 96 * MIB + int(GIB * 0.03)), (10 * GIB, 96 * MIB + int(10 * GIB * 0.03)), (100 * GIB, GIB)],
)
def test_a_cgroup_keeps_less_since_little_else_lives_in_it(limit: int, reserve: int, root: Path) -> None:
    write(root, {"proc/self/cgroup": "0::/job", f"{V2}/job/memory.max": limit, f"{V2}/job/memory.current": 0})
    assert memory_limits(root)[1].reserve == reserve


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, [], id="no cgroups at all"),
        pytest.param({"proc/self/cgroup": "0::/"}, [], id="v2, no limit files"),
        pytest.param(
            {"proc/self/cgroup": "0::/job", f"{V2}/job/memory.max": "max", f"{V2}/job/memory.current": GIB},
            [],
            id="v2, no limit",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/job", f"{V2}/job/memory.max": 8 * GIB, f"{V2}/job/memory.current": 3 * GIB},
            [5 * GIB],
            id="v2, own limit",
        ),
        pytest.param({"proc/self/cgroup": "0::/job", f"{V2}/job/memory.max": 8 * GIB}, [], id="v2, no usage"),
        pytest.param(
            {"proc/self/cgroup": "0::/", f"{V2}/memory.max": 8 * GIB, f"{V2}/memory.current": 3 * GIB},
            [5 * GIB],
            id="v2, in a namespace of its own",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/docker/abc", f"{V2}/memory.max": 8 * GIB, f"{V2}/memory.current": 3 * GIB},
            [5 * GIB],
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
            [15 * GIB, 2 * GIB],
            id="v2, an ancestor has less",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/job", f"{V2}/job/memory.max": GIB, f"{V2}/job/memory.current": 2 * GIB},
            [0],
            id="v2, over its limit",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/job",
                f"{V2}/job/memory.max": 8 * GIB,
                f"{V2}/job/memory.current": 7 * GIB,
                f"{V2}/job/memory.stat": f"anon {GIB}\ninactive_anon 5\nactive_file {GIB}\ninactive_file {3 * GIB}",
            },
            [5 * GIB - CACHE_KEPT],
            id="v2, cached files are given up, but for the compilers' own",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/job",
                f"{V2}/job/memory.max": 8 * GIB,
                f"{V2}/job/memory.current": 2 * GIB,
                f"{V2}/job/memory.stat": f"inactive_file {CACHE_KEPT // 2}",
            },
            [6 * GIB],
            id="v2, few cached files",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "12:cpu,cpuacct:/job\n5:memory:/docker/abc\n1:name=systemd:/job",
                f"{V1}/docker/abc/memory.limit_in_bytes": 6 * GIB,
                f"{V1}/docker/abc/memory.usage_in_bytes": 2 * GIB,
                f"{V1}/docker/memory.limit_in_bytes": 5 * GIB,
                f"{V1}/docker/memory.usage_in_bytes": 4 * GIB,
            },
            [4 * GIB, GIB],
            id="v1, own limit and an ancestor's",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "5:memory:/docker/abc",
                f"{V1}/memory.limit_in_bytes": 6 * GIB,
                f"{V1}/memory.usage_in_bytes": 5 * GIB,
                f"{V1}/memory.stat": f"inactive_file 1\ntotal_inactive_file {GIB}\ntotal_active_file {GIB}",
            },
            [3 * GIB - CACHE_KEPT],
            id="v1, path of the host, cached files are given up",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "5:memory:/job",
                f"{V1}/job/memory.limit_in_bytes": 0x7FFFFFFFFFFFF000,
                f"{V1}/job/memory.usage_in_bytes": 2 * GIB,
            },
            [],
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
            [4 * GIB, 2 * GIB],
            id="both",
        ),
    ],
)
def test_every_cgroup_above_is_a_limit_less_what_it_holds(
    files: dict[str, object], expected: list[int], root: Path
) -> None:
    write(root, files)
    assert available_in_cgroups(root) == expected


def test_limits_are_called_by_whose_they_are(root: Path) -> None:
    held = {f"{V2}{folder}/memory.current": 0 for folder in ("", "/user", "/user/job")}
    limits = dict.fromkeys((f"{V2}{folder}/memory.max" for folder in ("", "/user", "/user/job")), GIB)
    write(root, {"proc/self/cgroup": "0::/user/job", **limits, **held})
    names = [limit.name for limit in memory_limits(root)]
    assert names == ["the machine", "the cgroup user/job", "the cgroup user", "the cgroup /"]


def test_files_outside_of_the_tree_are_not_looked_at(root: Path) -> None:
    write(
        root, {"proc/self/cgroup": "0::/job", "sys/fs/memory.max": GIB, "sys/fs/memory.current": 0, "memory.max": GIB}
    )
    assert available_in_cgroups(root) == []


def test_a_limit_that_changes_between_two_looks_is_seen(root: Path) -> None:
    write(root, {"proc/self/cgroup": "0::/job", f"{V2}/job/memory.max": 8 * GIB, f"{V2}/job/memory.current": GIB})
    before = available_in_cgroups(root)
    write(root, {f"{V2}/job/memory.max": 4 * GIB})
    lowered = available_in_cgroups(root)
    write(root, {f"{V2}/job/memory.max": "max"})
    assert (before, lowered, available_in_cgroups(root)) == ([7 * GIB], [3 * GIB], [])


def test_files_that_cannot_be_read_are_no_limit(root: Path) -> None:
    write(root, {"proc/self/cgroup": "0::/job", f"{V2}/job/memory.current": GIB})
    for name in ("memory.max", "memory.stat", "cpu.max"):
        (root / V2 / "job" / name).mkdir()
    assert available_in_cgroups(root) == []
    assert usable_cores(root) == CORES


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contents=st.lists(NONSENSE, min_size=5, max_size=5), membership=NONSENSE)
def test_nonsense_is_no_limit(contents: list[str], membership: str, root: Path) -> None:
    names = ("memory.max", "memory.current", "memory.stat", "cpu.max", "cpu.weight")
    files = {f"{V2}/job/{name}": content.replace("\x00", "") for name, content in zip(names, contents, strict=True)}
    write(root, {"proc/self/cgroup": f"{membership}\n::\n0::/job", **files})
    machine, *cgroups = memory_limits(root)
    assert machine.available == 64 * GIB
    assert all(limit.limit > 0 and limit.available >= 0 for limit in cgroups)
    assert 1 <= usable_cores(root) <= CORES


def test_bytes_that_are_no_text_are_no_limit(root: Path) -> None:
    write(root, {"proc/self/cgroup": "0::/job", f"{V2}/job/memory.current": GIB})
    (root / V2 / "job/memory.max").write_bytes(b"\xff\xfe1\n")
    assert available_in_cgroups(root) == []


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        pytest.param({}, CORES, id="no cgroups"),
        pytest.param({"proc/self/cgroup": "0::/job", f"{V2}/job/cpu.max": "max 100000"}, CORES, id="v2, no quota"),
        pytest.param({"proc/self/cgroup": "0::/job", f"{V2}/job/cpu.max": "400000 100000"}, 4, id="v2, four cores"),
        pytest.param({"proc/self/cgroup": "0::/job", f"{V2}/job/cpu.max": "150000 100000"}, 2, id="v2, rounded up"),
        pytest.param({"proc/self/cgroup": "0::/job", f"{V2}/job/cpu.max": "10000 100000"}, 1, id="v2, a tenth"),
        pytest.param({"proc/self/cgroup": "0::/job", f"{V2}/job/cpu.max": "9900000 100000"}, CORES, id="v2, too many"),
        pytest.param({"proc/self/cgroup": "0::/job", f"{V2}/job/cpu.max": "400000"}, CORES, id="v2, half a file"),
        pytest.param({"proc/self/cgroup": "0::/job", f"{V2}/job/cpu.max": "400000 0"}, CORES, id="v2, no period"),
        pytest.param(
            {
                "proc/self/cgroup": "0::/user/job",
                f"{V2}/user/job/cpu.max": "800000 100000",
                f"{V2}/user/cpu.max": "300000 100000",
            },
            3,
            id="v2, an ancestor has less",
        ),
        pytest.param({"proc/self/cgroup": "0::/docker/abc", f"{V2}/cpu.max": "200000 100000"}, 2, id="v2, at the top"),
        pytest.param(
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/job\n5:memory:/job",
                f"{V1_CPU}/job/cpu.cfs_quota_us": 250000,
                f"{V1_CPU}/job/cpu.cfs_period_us": 100000,
            },
            3,
            id="v1, rounded up",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "4:cpuacct,cpu:/docker/abc",
                f"{V1_CPU}/docker/abc/cpu.cfs_quota_us": -1,
                f"{V1_CPU}/docker/abc/cpu.cfs_period_us": 100000,
                f"{V1_CPU}/cpu.cfs_quota_us": 500000,
                f"{V1_CPU}/cpu.cfs_period_us": 100000,
            },
            5,
            id="v1, only an ancestor has one",
        ),
        pytest.param(
            {"proc/self/cgroup": "4:cpu:/job", f"{V1_CPU}/job/cpu.cfs_quota_us": 200000}, CORES, id="v1, no period"
        ),
        pytest.param({"proc/self/cgroup": "4:cpuset:/job", f"{V1_CPU}/job/cpu.max": "1 1"}, CORES, id="v1, another's"),
    ],
)
def test_cores_are_those_of_the_affinity_and_the_quotas(files: dict[str, object], cores: int, root: Path) -> None:
    write(root, files)
    assert usable_cores(root) == cores


def test_fewer_cores_by_affinity_than_by_quota_count(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {3, 7})
    write(root, {"proc/self/cgroup": "0::/job", f"{V2}/job/cpu.max": "400000 100000"})
    assert usable_cores(root) == 2


@pytest.mark.parametrize(
    ("membership", "groups"),
    [
        ("", []),
        ("0::/job", [("memory.max", f"{V2}/job")]),
        ("5:memory:/a/b\n6:cpu:/c", [("memory.limit_in_bytes", f"{V1}/a/b")]),
        ("5:memory:/a:b", [("memory.limit_in_bytes", f"{V1}/a:b")]),
        ("no membership", []),
    ],
)
def test_the_groups_that_count_memory_are_found(membership: str, groups: list[tuple[str, str]], root: Path) -> None:
    write(root, {"proc/self/cgroup": membership})
    found = [(controller.limit, str(group.relative_to(root))) for controller, group in memory_groups(root)]
    assert found == groups


def test_a_number_is_read_only_where_there_is_one(tmp_path: Path) -> None:
    write(tmp_path, {"number": " 12 ", "word": "max", "negative": -1, "stat": "anon 5\ncache x\nfile 7 8\nslab 3"})
    names = ("number", "word", "negative", "missing", ".")
    assert [read_number(tmp_path / name) for name in names] == [12, None, None, None, None]
    statistics = [read_statistic(tmp_path / "stat", name) for name in ("anon", "cache", "file", "slab", "missing")]
    assert statistics == [5, 0, 0, 3, 0]


def test_this_machine_has_memory_and_cores() -> None:
    total = psutil.virtual_memory().total
    assert all(0 <= limit.available <= max(total, limit.limit) for limit in memory_limits())
    assert memory_limits()[0].limit == total
    assert 1 <= usable_cores() <= (psutil.cpu_count() or 1)
