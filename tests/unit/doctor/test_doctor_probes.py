"""Probes by themselves, on what is damaged, odd or hostile."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from machines_of_files import (
    PYTHON,
    SITE,
    make_container,
    make_elf,
    make_nvml,
    make_world,
    write_files,
    write_memory,
    write_program,
    write_torch,
)

from cudawheel.audit.inspection import inspect
from cudawheel.doctor.diagnoses.memory import wsl_lines
from cudawheel.doctor.machine import DriverState
from cudawheel.doctor.probes.device_code import common_capabilities, read_device_code
from cudawheel.doctor.probes.driver import probe_driver
from cudawheel.doctor.probes.installed import environment_python, probe_environment, probe_other_torches
from cudawheel.doctor.probes.memory import probe_memory
from cudawheel.doctor.probes.places import probe_folders, probe_network
from cudawheel.doctor.probes.pythons import probe_pythons
from cudawheel.doctor.probes.toolkits import probe_compilers, probe_toolkits
from cudawheel.doctor.probes.wsl import probe_wsl, read_config
from cudawheel.doctor.world import World, connect_here
from cudawheel.errors import WheelError
from cudawheel.schedule.limits import GIB

SLOW_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


def world_of(root: Path, **described: Any) -> World:
    return make_world(root, described)


@pytest.mark.parametrize(
    ("meminfo", "known"),
    [
        ("MemTotal: 1000 kB\nMemAvailable: 400 kB", (1_024_000, 409_600)),
        ("MemTotal: 1000 kB\nMemFree: 100 kB", (1_024_000, 102_400)),
        ("MemTotal: 1000 kB\nMemAvailable: 4000 kB", None),
        ("MemTotal: 0 kB\nMemAvailable: 0 kB", None),
        ("MemTotal: -5 kB\nMemAvailable: 1 kB", None),
        ("MemTotal: 99999999999999999999999 kB\nMemAvailable: 1 kB", None),
        ("", None),
    ],
)
def test_memory_is_what_proc_says_or_unknown(meminfo: str, known: tuple[int, int] | None, tmp_path: Path) -> None:
    memory = probe_memory(world_of(tmp_path, files={"/proc/meminfo": meminfo}))
    found = memory.machine and (memory.machine.limit, memory.machine.available)
    assert found == known


@SLOW_FOLDER
@given(junk=st.binary(max_size=200))
def test_nonsense_in_proc_never_breaks_a_probe(junk: bytes, tmp_path: Path) -> None:
    world = world_of(tmp_path)
    for name in ("proc/meminfo", "proc/stat", "proc/version", "proc/self/cgroup"):
        (tmp_path / name).write_bytes(junk + b"microsoft")
    assert probe_memory(world).cores >= 1
    assert probe_wsl(world) is not None


@pytest.mark.parametrize(
    ("text", "memory", "faults"),
    [
        ("[wsl2]\nmemory=48GB\n", 48 * GIB, 0),
        ("[WSL2]\r\n  Memory = 8192 MB \r\n", 8 * GIB, 0),
        ("# memory=1GB\n[wsl2]\nprocessors=4\n", None, 0),
        ("[wsl2]\nmemory=lots\n", None, 1),
        ("[wsl2]\nmemory=4.5GB\n", None, 1),
        ("memory=48GB\n", None, 1),
        ("[experimental]\nmemory=48GB\n[wsl2]\nswap=0\n", None, 1),
        ("", None, 0),
    ],
)
def test_wslconfig_is_read_as_wsl_reads_it(text: str, memory: int | None, faults: int) -> None:
    config = read_config("/mnt/c/Users/ada/.wslconfig", text, None)
    assert (config.memory, len(config.faults)) == (memory, faults)


def test_a_wslconfig_in_utf_16_is_read(tmp_path: Path) -> None:
    world = world_of(tmp_path, files={"/proc/version": "Linux 6.6-microsoft-standard-WSL2"})
    path = tmp_path / "mnt/c/Users/ada/.wslconfig"
    path.parent.mkdir(parents=True)
    path.write_bytes("[wsl2]\r\nmemory=20GB\r\n".encode("utf-16"))
    wsl = probe_wsl(world)
    assert wsl is not None
    assert wsl.config is not None
    assert wsl.config.memory == 20 * GIB


@pytest.mark.parametrize(
    ("version", "generation"),
    [("Linux version 4.4.0-19041-Microsoft (Microsoft@Microsoft.com)", 1), ("Linux 5.15-microsoft-standard-WSL2", 2)],
)
def test_the_generation_of_wsl(version: str, generation: int, tmp_path: Path) -> None:
    wsl = probe_wsl(world_of(tmp_path, files={"/proc/version": version}))
    assert wsl is not None
    assert wsl.version == generation


@pytest.mark.parametrize(("computer", "gigabytes"), [(8, 4), (16, 12), (31.8, 24), (63.7, 48), (128, 112)])
def test_windows_keeps_a_quarter_within_bounds(computer: float, gigabytes: int) -> None:
    assert wsl_lines(int(computer * GIB)) == ("[wsl2]", f"memory={gigabytes}GB")


def test_a_driver_that_fails_in_every_question_is_still_told() -> None:
    described = {"count_error": [999, "Unknown Error"], "driver": None, "cuda": None}
    driver = probe_driver(World(root=Path("/nowhere"), nvml=make_nvml(described)))
    assert (driver.state, driver.fault, driver.gpus, driver.cuda) == (DriverState.BROKEN, "Unknown Error", (), None)


def test_without_the_library_for_python_there_is_no_driver() -> None:
    def absent() -> Any:
        raise ImportError("No module named 'pynvml'")

    driver = probe_driver(World(root=Path("/nowhere"), nvml=absent))
    assert driver.state is DriverState.ABSENT
    assert "pynvml" in driver.fault


def test_the_real_library_answers_or_says_why() -> None:
    driver = probe_driver(World())
    assert driver.fault or driver.version


def test_toolkits_come_in_the_order_in_which_builds_take_them(tmp_path: Path) -> None:
    toolkit = {"version": "12.8", "release": "12.8.93", "codes": [90, 120]}
    homes = ("/opt/a", "/opt/b", "/usr/local/cuda-12.8")
    world = world_of(
        tmp_path,
        toolkits=dict.fromkeys(homes, toolkit),
        programs={"/usr/bin/nvcc -v": "#$ TOP=/opt/b/bin/..\n#$ x", "/usr/bin/nvcc": "script"},
        environ={"CUDA_HOME": "/opt/a", "CUDA_PATH": "/opt/a/"},
    )
    assert [found.home for found in probe_toolkits(world)] == list(homes)
    assert [found.origin for found in probe_toolkits(world)] == ["CUDA_HOME", "PATH", "standard folder"]


def test_a_wish_for_a_compiler_goes_first_and_none_is_told_twice(tmp_path: Path) -> None:
    world = world_of(
        tmp_path,
        compilers={"/usr/bin/c++": "12.2.0", "/usr/bin/g++-13": "13.1.0", "/opt/x/g++": "11.4.0"},
        environ={"CXX": "/opt/x/g++"},
    )
    (tmp_path / "usr/bin/g++").symlink_to("c++")
    paths = [compiler.path for compiler in probe_compilers(world)]
    assert paths == ["/opt/x/g++", "/usr/bin/c++", "/usr/bin/g++-13"]


def test_pythons_are_found_without_running_them(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    write_program(tmp_path, "/usr/bin/python3.11")
    write_program(tmp_path, "/home/ada/.pyenv/versions/3.12.1/bin/python3.12")
    write_program(tmp_path, "/home/ada/.pyenv/shims/python3.10")
    write_files(tmp_path, {"/home/ada/.pyenv/versions/3.12.1/include/python3.12/Python.h": ""})
    found = [(python.version, python.headers) for python in probe_pythons(world)]
    assert found == [("3.11", False), ("3.12", True)]


def test_the_environment_is_the_chosen_one_or_the_active_one(tmp_path: Path) -> None:
    write_program(tmp_path, "/envs/a/bin/python")
    write_program(tmp_path, "/envs/b/bin/python")
    active = world_of(tmp_path, environ={"VIRTUAL_ENV": "/envs/a"})
    assert environment_python(active, "/envs/b") == "/envs/b/bin/python"
    assert environment_python(active, "/envs/b/bin/python") == "/envs/b/bin/python"
    assert environment_python(active, None) == "/envs/a/bin/python"
    assert environment_python(world_of(tmp_path, environ={"VIRTUAL_ENV": "/gone"}), None) == PYTHON


@pytest.mark.parametrize("answer", ["", "FAILS no such module", "[]", '{"version": 3}', "\x00\xff"])
def test_a_python_that_answers_nonsense_is_a_fault(answer: str, tmp_path: Path) -> None:
    world = world_of(tmp_path, programs={f"{PYTHON} -I -c": answer})
    assert probe_environment(world, PYTHON).fault


def test_torch_elsewhere_is_found_and_not_looked_into(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    for program in ("/opt/p/bin/python3.12", PYTHON):
        write_program(tmp_path, program)
    write_torch(tmp_path / "opt/p/lib/python3.12/site-packages", version="2.9.0+cu128", cuda="12.8", damage="cut")
    write_torch(tmp_path / SITE.lstrip("/"), version="2.11.0+cu130", cuda="13.0", carries="9.0")
    environment = probe_environment(world, PYTHON)
    (other,) = probe_other_torches(world, ["/opt/p/bin/python3.12", PYTHON], environment)
    assert (other.version, other.capabilities, other.fault) == ("2.9.0+cu128", None, "")


def test_device_code_is_what_audit_reads(tmp_path: Path) -> None:
    path = tmp_path / "a.so"
    path.write_bytes(make_elf(make_container("8.0 9.0a 12.0f", "12.0") + make_container("8.6")))
    found = inspect(path).objects[0].device_code.coded
    assert read_device_code(path) == found
    assert len(found) == 2


def test_code_for_one_chip_says_nothing_about_the_library(tmp_path: Path) -> None:
    path = tmp_path / "a.so"
    path.write_bytes(make_elf(make_container("8.0 9.0", "9.0") * 3 + make_container("9.0a 12.1")))
    assert str(common_capabilities(read_device_code(path))) == "8.0 9.0 + PTX 9.0"


@pytest.mark.parametrize("content", [b"", b"MZ", b"\x7fELF", b"\x7fELF\x01\x01" + bytes(80), bytes(100)])
def test_what_is_no_elf_of_64_bits_holds_no_device_code(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.so"
    path.write_bytes(content)
    assert read_device_code(path) == ()


@SLOW_FOLDER
@given(place=st.integers(0, 400), junk=st.binary(min_size=1, max_size=8), cut=st.integers(0, 400))
def test_damage_is_an_error_of_ours_or_goes_unnoticed(place: int, junk: bytes, cut: int, tmp_path: Path) -> None:
    whole = bytearray(make_elf(make_container("8.0 9.0") * 2))
    whole[place : place + len(junk)] = junk
    path = tmp_path / "damaged.so"
    path.write_bytes(bytes(whole[: len(whole) - cut]))
    with contextlib.suppress(WheelError):
        read_device_code(path)


def test_names_of_sections_of_absurd_size_are_not_read(tmp_path: Path) -> None:
    whole = bytearray(make_elf(make_container("8.0")))
    struct.pack_into("<Q", whole, len(whole) - 64 + 32, 1 << 60)
    path = tmp_path / "absurd.so"
    path.write_bytes(bytes(whole))
    with pytest.raises(WheelError, match="damaged"):
        read_device_code(path)


def test_folders_are_judged_by_what_stands_above_them(tmp_path: Path) -> None:
    write_files(tmp_path, {"/home/ada/file": ""})
    folders = {"a": "/home/ada/new/deep", "b": "/home/ada/file/below", "c": "/home/ada"}
    new, below, there = probe_folders(World(root=tmp_path), folders)
    assert (new.writable, new.exists, bool(new.free)) == (True, False, True)
    assert (below.writable, below.exists) == (False, False)
    assert (there.writable, there.exists) == (True, True)


def test_a_folder_that_this_user_may_not_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_words: False)
    (folder,) = probe_folders(World(root=tmp_path), {"cache": "/x"})
    assert not folder.writable


def test_the_network_is_tried_through_the_proxy_and_no_password_is_kept(tmp_path: Path) -> None:
    asked: list[tuple[str, int]] = []

    def connect(host: str, port: int) -> str:
        asked.append((host, port))
        return ""

    def reach(environ: Mapping[str, str], addresses: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        asked.clear()
        found = probe_network(World(root=tmp_path, environ=environ, connect=connect), addresses)
        return [(one.what, one.host) for one in found]

    index = ("index", "https://ada:secret@index.test:8443/simple")
    assert reach({}, [index, ("git", "git+ssh://git@code.test/a")]) == [("index", "index.test"), ("git", "code.test")]
    assert sorted(asked) == [("code.test", 22), ("index.test", 8443)]
    assert reach({"HTTPS_PROXY": "proxy.test:3128"}, [index]) == [("the proxy", "proxy.test")]
    assert asked == [("proxy.test", 3128)]
    assert reach({}, [("a folder", "file:///srv/index"), ("nonsense", "https://[::bad"), ("port", "http://a:b/")]) == []
    assert reach({"ALL_PROXY": "proxy.test"}, [("a folder", "file:///srv/index")]) == []


def test_a_port_that_nobody_listens_on_is_a_reason() -> None:
    assert connect_here("127.0.0.1", 1)


def test_memory_of_a_cgroup_is_seen_below_the_root(tmp_path: Path) -> None:
    write_memory(tmp_path, total=64, available=60)
    files = {"/sys/fs/cgroup/a/memory.max": str(2 * GIB), "/sys/fs/cgroup/a/memory.current": "0"}
    memory = probe_memory(world_of(tmp_path, files={**files, "/proc/self/cgroup": "0::/a"}))
    assert [group.limit for group in memory.groups] == [2 * GIB]
    assert memory.room is not None
    assert memory.room < 2 * GIB
