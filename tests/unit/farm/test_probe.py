"""What a worker finds out about itself, before it gets a cell."""

from __future__ import annotations

import json
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_tools import CXX, write_compiler, write_program
from small_packages import MACHINE as MACHINE_NAME

from cudawheel.errors import DiskFullError, FarmVersionError, HostCompilerError, RemoteStoreError, WorkerPlatformError
from cudawheel.farm import probe
from cudawheel.farm.inputs import put
from cudawheel.farm.probe import CORES, MEMORY, Question, WorkerReport, examine
from cudawheel.schedule.limits import GIB


@pytest.fixture
def question(tmp_path: Path) -> Question:
    store = str(tmp_path / "shared")
    asked = Question.ask(machine=MACHINE_NAME, cudas=("13.0",), store=store, inputs=put(store, b"something"))
    return replace(asked, least_disk=1)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(write_compiler(tmp_path / "bin" / "g++").parent)


def look(question: Question, tmp_path: Path, path: str, **resources: float) -> WorkerReport:
    return examine(
        Question.from_plain(json.loads(json.dumps(question.to_plain()))),
        address="tcp://worker:1",
        threads=3,
        resources=resources,
        cache=tmp_path / "cache",
        environ={"PATH": path},
    )


def test_a_worker_that_lacks_nothing_is_fit(question: Question, tmp_path: Path, path: str) -> None:
    report = look(question, tmp_path, path, **{CORES: 6.0, MEMORY: 8e9})
    assert report.fit
    assert report.compilers == {"13.0": "gcc 14.2.0"}
    seat = report.seat
    assert (seat.name, seat.cores, seat.memory, seat.most) == ("tcp://worker:1", 6, 8_000_000_000, 3)
    assert seat.cudas == {"13.0"}
    assert WorkerReport.from_plain(json.loads(json.dumps(report.to_plain()))) == report


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("w1", "w1 (tcp://worker:1)"),
        ("0", "0 (tcp://worker:1)"),
        ("tcp://worker:1", "tcp://worker:1"),
        ("", "tcp://worker:1"),
    ],
)
def test_a_worker_is_known_by_its_name_and_address(
    name: str, label: str, question: Question, tmp_path: Path, path: str
) -> None:
    report = replace(look(question, tmp_path, path), name=name)
    assert report.label == label
    assert report.seat.label == label
    assert report.seat.name == "tcp://worker:1", "Dask knows it by its address alone"


def test_what_nobody_declared_is_measured(question: Question, tmp_path: Path, path: str) -> None:
    report = look(question, tmp_path, path)
    assert report.cores >= 1
    assert report.memory > 0


def test_another_version_is_refused(
    question: Question, tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "version", lambda _name: "0.0.1")
    (error,) = look(question, tmp_path, path).errors
    assert isinstance(error, FarmVersionError)
    assert "0.0.1" in error.what
    assert question.version in error.what
    assert f"cudawheel {question.version}" in error.remedy


def test_the_same_version_with_other_code_is_refused(question: Question, tmp_path: Path, path: str) -> None:
    (error,) = look(replace(question, code="0" * 64), tmp_path, path).errors
    assert isinstance(error, FarmVersionError)
    assert "0" * 12 in error.why


def test_another_platform_is_refused(question: Question, tmp_path: Path, path: str) -> None:
    (error,) = look(replace(question, machine="riscv64"), tmp_path, path).errors
    assert isinstance(error, WorkerPlatformError)
    assert "riscv64" in error.what


def test_a_worker_without_compiler_is_refused(question: Question, tmp_path: Path) -> None:
    (error,) = look(question, tmp_path, str(tmp_path)).errors
    assert isinstance(error, HostCompilerError)


def test_a_compiler_for_one_of_two_releases_is_good_for_that_one(question: Question, tmp_path: Path) -> None:
    # CUDA 12.8 takes gcc up to 14, 13.0 up to 15.
    newest = write_program(tmp_path / "newest" / "g++", CXX.replace("__GNUC__ 14", "__GNUC__ 15"))
    report = look(replace(question, cudas=("12.8", "13.0")), tmp_path, str(newest.parent))
    assert report.fit
    assert set(report.compilers) == {"13.0"}


def test_a_worker_without_disk_is_refused(
    question: Question, tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage: Any = namedtuple("usage", "total used free")  # noqa: PYI024 - as shutil has it
    monkeypatch.setattr(probe.shutil, "disk_usage", lambda _path: usage(10 * GIB, 9 * GIB, GIB))
    (error,) = look(replace(question, least_disk=6 * GIB), tmp_path, path).errors
    assert isinstance(error, DiskFullError)
    assert "1.0 GiB free" in error.what


def test_a_worker_that_sees_another_store_is_refused(question: Question, tmp_path: Path, path: str) -> None:
    (error,) = look(replace(question, store=str(tmp_path / "elsewhere")), tmp_path, path).errors
    assert isinstance(error, RemoteStoreError)
    assert str(tmp_path / "elsewhere") in error.what


def test_all_that_is_wrong_is_told_at_once(question: Question, tmp_path: Path) -> None:
    report = look(replace(question, machine="riscv64", code="0" * 64), tmp_path, str(tmp_path))
    kinds = [type(error) for error in report.errors]
    assert kinds == [FarmVersionError, WorkerPlatformError, HostCompilerError]
    assert not report.fit
