"""Importing and reconstructing, in processes that may die."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from machines_of_files import PYTHON, SITE, make_world

from cudawheel.doctor.checklist import checklist
from cudawheel.doctor.diagnoses.torch import diagnose_torch
from cudawheel.doctor.examine import examine
from cudawheel.doctor.finding import Finding, Severity
from cudawheel.doctor.machine import Driver, DriverState, Environment, Extension, Machine, Memory, Torch
from cudawheel.doctor.trials import (
    Trial,
    diagnose_imports,
    diagnose_reconstruction,
    try_extensions,
    try_reconstruction,
    try_torch,
)
from cudawheel.doctor.world import World
from cudawheel.model.version import CudaVersion
from cudawheel.process import Finished


def machine_with(torch: Torch | None = None, *extensions: Extension) -> Machine:
    return Machine(
        system="",
        processor="x86_64",
        memory=Memory(),
        driver=Driver(state=DriverState.ABSENT),
        environment=Environment(python=sys.executable, version="3.12.1", torch=torch, extensions=extensions),
    )


TORCH = Torch(site="/x", version="2.11.0+cu130", cuda=CudaVersion(13, 0))


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the interpreters of trials import from."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return tmp_path


def write_torch_module(folder: Path, body: str) -> None:
    (folder / "torch").mkdir()
    (folder / "torch" / "__init__.py").write_text(body, encoding="utf-8")


def test_a_torch_that_imports_says_what_it_sees(path: Path) -> None:
    write_torch_module(
        path,
        "class cuda:\n"
        "    is_available = staticmethod(lambda: True)\n"
        "    device_count = staticmethod(lambda: 1)\n"
        "    get_device_name = staticmethod(lambda i: 'NVIDIA H200')\n"
        "    get_arch_list = staticmethod(lambda: ['sm_90'])\n"
        "import atexit\n"
        "print('hello')\n"
        "atexit.register(print, 'unloaded')\n",
    )
    trial = try_torch(World(), sys.executable)
    assert (trial.error, trial.devices, trial.architectures) == ("", ("NVIDIA H200",), ("sm_90",))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ImportError('libcudart.so.13: cannot open shared object file')", "libcudart.so.13"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "exit status -11"),
        ("print('no json'); import sys; sys.exit(0)", "no json"),
    ],
)
def test_a_torch_that_cannot_be_imported_is_a_problem(body: str, said: str, path: Path) -> None:
    write_torch_module(path, body)
    machine = machine_with(replace(TORCH, trial=try_torch(World(), sys.executable)))
    findings = {finding.code: finding for finding in diagnose_torch(machine)}
    assert findings["torch-import-fails"].severity is Severity.PROBLEM
    assert said in findings["torch-import-fails"].found


def test_extensions_are_tried_each_by_itself(path: Path) -> None:
    write_torch_module(path, "")  # a real one takes a second to import, each time
    (path / "whole_one.py").write_text("", encoding="utf-8")
    (path / "crashing_one.py").write_text("import os; os.abort()", encoding="utf-8")
    (path / "wrong_one.py").write_text("raise ImportError('undefined symbol: _ZN3c10')", encoding="utf-8")
    names = ("whole_one", "crashing_one", "wrong_one")
    extensions = [Extension(name=name, version="1", modules=(name,)) for name in names]
    trials = try_extensions(World(), machine_with(None, *extensions).environment)
    faults = {trial.name: trial.fault for trial in trials}
    assert faults["whole_one"] == ""
    assert faults["crashing_one"] == "exit status -6"
    assert "undefined symbol: _ZN3c10" in faults["wrong_one"]
    findings = list(diagnose_imports(trials, machine_with().environment))
    assert [finding.severity for finding in findings] == [Severity.PROBLEM, Severity.PROBLEM, Severity.GOOD]


def test_torch_is_imported_beside_the_probes_where_it_is_asked_for(tmp_path: Path) -> None:
    described = {"torch": {SITE: {"version": "2.11.0+cu130", "cuda": "13.0", "carries": "9.0"}}}
    world = make_world(tmp_path, {**described, "programs": {f"{PYTHON} -c": '[true, ["H200"], ["sm_90"]]'}})
    torch = examine(world, importing=True).environment.torch
    assert torch is not None
    assert torch.trial is not None
    assert torch.trial.devices == ("H200",)
    without = examine(world).environment.torch
    assert without is not None
    assert without.trial is None


def reconstruct(tmp_path: Path, mesh: str | None, code: int, output: str) -> Trial:
    """Try with a program that leaves a mesh, says something, and ends."""

    def run(command: list[str], *, timeout: float = 1.0) -> Finished:
        del timeout
        folder = Path(command[command.index("--output") + 1]) / "0"
        folder.mkdir()
        if mesh is not None:
            (folder / "mesh.obj").write_text(mesh, encoding="utf-8")
        return Finished(command=tuple(command), code=code, output=output, seconds=2.0)

    return try_reconstruction(replace(make_world(tmp_path, {}), run=run), Environment(python=PYTHON))


def test_a_mesh_that_was_written_is_counted(tmp_path: Path) -> None:
    trial = reconstruct(tmp_path, "v 0 0 0\nv 1 0 0\nvn 1 1 1\nf 1 2 1\n", 0, "")
    assert diagnose_reconstruction(trial).found == "mesh.obj was written: 2 vertices in 2.0 s"


@pytest.mark.parametrize(
    ("mesh", "code", "output", "said"),
    [
        (None, 0, "fine", "no mesh.obj with a vertex"),
        ("", 0, "fine", "no mesh.obj with a vertex"),
        ("# empty\n", 0, "fine", "no mesh.obj with a vertex"),
        ("v 0 0 0\n", 37, "loading\nerror: no marching cubes  (exit 37)\n  why\n→ remedy", "no marching cubes"),
        (None, 1, "Traceback\nModuleNotFoundError: x", "ModuleNotFoundError: x"),
    ],
)
def test_no_mesh_is_a_problem(mesh: str | None, code: int, output: str, said: str, tmp_path: Path) -> None:
    finding = diagnose_reconstruction(reconstruct(tmp_path, mesh, code, output))
    assert finding.severity is Severity.PROBLEM
    assert said in finding.found


def test_where_nothing_can_be_written_there_is_no_mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(**_words: str) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.TemporaryDirectory", nowhere)
    trial = try_reconstruction(make_world(tmp_path, {}), Environment(python=PYTHON))
    assert "No usable temporary directory" in trial.fault


def finding(section: str, code: str, severity: Severity = Severity.GOOD) -> Finding:
    return Finding(section=section, code=code, severity=severity, found=code)


def test_the_checklist_has_seven_answers_whatever_is_known() -> None:
    assert [item.answer.code for item in checklist(())] == ["unanswered"] * 7


def test_the_weightiest_finding_answers_and_good_ones_together() -> None:
    items = checklist(
        (
            finding("memory", "memory"),
            finding("WSL", "wsl-memory", Severity.WARNING),
            finding("torch", "torch"),
            finding("torch", "torch-native"),
            finding("torch", "torch-import-fails", Severity.PROBLEM),
            finding("extensions", "extension"),
            finding("extensions", "extension-imports"),
            finding("mesh", "reconstruction"),
            finding("disk", "disk-short", Severity.PROBLEM),
        )
    )
    answers = {item.question: item.answer for item in items}
    assert answers["memory"].code == "wsl-memory"
    assert answers["torch's CUDA"].code == "torch-import-fails"
    assert answers["torch's capabilities"].code == "torch-native"
    assert answers["the extension"].found == "extension; extension-imports"
    assert answers["GPU"].code == "unanswered"
