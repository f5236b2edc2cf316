"""A machine in name: its memory, its cores, and an empty folder for its /proc and /sys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from fake_nvcc import FakeNvcc

from cudawheel.schedule.limits import GIB


@pytest.fixture
def machine(real_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a machine with 64 GiB free, four cores and no cgroups."""
    del real_machine
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=64 * GIB, available=64 * GIB))
    monkeypatch.setattr("cudawheel.schedule.budget.usable_cores", lambda _root: 4)
    root = tmp_path / "machine"
    root.mkdir()
    return root


@pytest.fixture
def real_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of this machine, for a jobserver that has no neighbours and looks as often as where memory is short."""
    monkeypatch.setattr("cudawheel.schedule.jobserver.claims_folder", lambda: tmp_path / "claims")
    monkeypatch.setattr("cudawheel.schedule.jobserver._SELDOM", 0.05)
    return Path("/")


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeNvcc]:
    """A toolkit that compiles nothing, and a source; whatever a test does with them, no temporary file is left."""
    fake = FakeNvcc(tmp_path / "toolkit")
    fake.unit()
    yield fake
    assert list(fake.scratch.iterdir()) == []
