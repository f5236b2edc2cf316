"""The commands that show: help, plan, schema, inspect."""

from __future__ import annotations

import json
import os
import runpy
import struct
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from command_line import run_main
from small_packages import MACHINE, PYTHON_TAG, path_source, write_recipe, write_wheel

from cudawheel.audit.fatbin import MAGIC
from cudawheel.builder.costs import COSTS
from cudawheel.cli import main, options
from cudawheel.errors import DiskFullError
from cudawheel.model.capability import ComputeCapability
from cudawheel.recipe.schema import json_schema
from cudawheel.schedule.history import Compilation, CostKey, History
from cudawheel.schedule.limits import GIB

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run the command line in this process; gives exit code, standard output and standard error."""
    monkeypatch.setattr("signal.signal", lambda *_words: None)
    monkeypatch.setattr("cudawheel.cli.console.out.width", 200)
    monkeypatch.setenv("CUDAWHEEL_CACHE", str(tmp_path / "cache"))

    def call_(*words: str | Path) -> tuple[int, str, str]:
        return run_main(capsys, monkeypatch, *words)

    return call_


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = write_recipe(tmp_path / "recipes", path_source("here"), path_source("there", "bundled"))
    text = path.read_text().replace('"8.0;9.0+PTX"', '"7.0;8.0;9.0+PTX"').replace('["2.11"]', '["2.11", "1.0"]')
    path.write_text(text)
    return path


@pytest.fixture(scope="session")
def shared_object(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shared object with machine code for 8.0 and PTX for 9.0."""
    folder = tmp_path_factory.mktemp("object")

    def entry(kind: int, number: int, payload: bytes) -> bytes:
        payload += bytes(-len(payload) % 8)
        sizes = struct.pack("<HHIQ", kind, 0x0101, 64, len(payload))
        head = sizes + struct.pack("<IIIIIIQQQ", 0, 0, 0x10008, number, 0, 0, 0x11, 0, 0)
        return head + payload

    # The skeleton of a cubin: an ELF header, the names of its sections, and two rows of their table.
    names = b"\0.shstrtab\0.text.kernel\0"
    row = struct.pack("<24xQQ24x", 64, len(names))
    ends = struct.pack("<Q", 64 + len(names)), struct.pack("<HHH", 64, 2, 1)
    cubin = b"\x7fELF\x02\x01" + bytes(34) + ends[0] + bytes(10) + ends[1] + names + bytes(64) + row
    entries = entry(2, 80, cubin) + entry(1, 90, b".version 9.0\n.target sm_90\n")
    (folder / "fatbin").write_bytes(struct.pack("<IHHQ", MAGIC, 1, 16, len(entries)) + entries)
    source = f'asm(".section .nv_fatbin, \\"a\\"\\n.incbin \\"{folder}/fatbin\\"\\n.previous");\nint answer = 42;\n'
    (folder / "a.c").write_text(source)
    target = folder / "tiny.so"
    subprocess.run(["/usr/bin/env", "gcc", "-shared", "-fPIC", "-o", target, folder / "a.c"], check=True, timeout=60)
    return target


@pytest.mark.parametrize("words", [["--help"], ["-h"]])
def test_help_names_every_command(words: list[str], call: Call) -> None:
    code, out, err = call(*words)
    assert (code, err) == (0, "")
    for name in main._COMMANDS:
        assert f"  {name} " in out


@pytest.mark.parametrize("name", list(main._COMMANDS))
def test_every_command_has_help(name: str, call: Call) -> None:
    code, out, err = call(name, "--help")
    assert (code, err) == (0, "")
    assert f"cudawheel {name} " in out.splitlines()[0]
    assert "--help" in out


def test_the_version_is_told(call: Call) -> None:
    assert call("--version") == (0, f"cudawheel {version('cudawheel')}\n", "")


def test_it_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cudawheel", "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"cudawheel {version('cudawheel')}\n")
    assert callable(runpy.run_module("cudawheel")["run"])


def test_a_command_that_does_not_exist_is_refused(call: Call) -> None:
    code, out, err = call("bake")
    assert (code, out) == (2, "")
    assert "bake" in err


def test_a_plan_is_a_table_with_reasons(recipe: Path, call: Call) -> None:
    code, out, err = call("plan", recipe, "--toolchain", "system")
    assert (code, err) == (0, "")
    assert "tiny-ext 1.0" in out
    assert f"{PYTHON_TAG}-torch2.11-cu130-{MACHINE}" in out
    assert "7.0: removed in CUDA 13.0, last in 12.9" in out
    assert "rejected" in out
    assert "torch 1.0 is not known here" in out


def test_a_plan_is_json_and_nothing_else(recipe: Path, call: Call) -> None:
    code, out, err = call("plan", recipe, "--toolchain", "system", "--json")
    assert (code, err) == (0, "")
    plan = json.loads(out)
    assert plan["package"] == "tiny-ext 1.0"
    assert plan["source"] == "here"
    assert [cell["accepted"] for cell in plan["cells"]] == [True, False]
    verdicts = {verdict["capability"]: verdict["accepted"] for verdict in plan["cells"][0]["capabilities"]}
    assert verdicts == {"7.0": False, "8.0": True, "9.0": True}


def test_a_plan_says_what_the_build_would_do_here_and_what_limits_it(recipe: Path, call: Call, tmp_path: Path) -> None:
    words = ("plan", recipe, "--toolchain", "system", "--memory", "150M", "--jobs", "1")
    said = call(*words)[1]
    assert "up to 1 compiler at once (0.1 GiB each, never measured here), limited by" in said
    plan = json.loads(call(*words, "--json")[1])
    assert plan["budget"]["slots"] == 1
    assert 0 <= plan["budget"]["memory"] <= 150 << 20
    assert (plan["forecast"]["seconds"], plan["forecast"]["largest"]) == (None, int(0.1 * GIB))
    key = CostKey(package="tiny-ext", fingerprint="f", cuda="13.0", torch="2.11", memory=1)
    done = Compilation(source="a.cu", kind="device", passes=2, threads=1, peak=GIB, cpu_seconds=60.0, seconds=60.0)
    History(tmp_path / "cache" / COSTS).add(key, [done])
    forecast = json.loads(call(*words, "--json")[1])["forecast"]
    assert forecast["largest"] > GIB
    assert forecast["seconds"] == pytest.approx(60.0)
    assert "as measured" in forecast["decision"]


def test_a_plan_without_anything_to_build_has_no_forecast(recipe: Path, call: Call) -> None:
    code, out, _err = call("plan", recipe, "--torch", "1.0", "--json")
    assert code == 5
    assert json.loads(out)["forecast"] is None


@pytest.mark.parametrize("command", ["plan", "build"])
def test_help_tells_how_to_limit_a_build(command: str, call: Call) -> None:
    _code, out, _err = call(command, "--help")
    for option in ("--memory SIZE", "--jobs N", "--force"):
        assert option in out


def test_a_plan_refuses_an_amount_of_memory_that_is_none(recipe: Path, call: Call) -> None:
    code, out, err = call("plan", recipe, "--memory", "0")
    assert (code, out) == (2, "")
    assert "--memory '0' is no amount of memory" in err


def test_a_plan_of_another_source(recipe: Path, call: Call) -> None:
    assert json.loads(call("plan", recipe, "--source", "bundled", "--json")[1])["source"] == "bundled"
    code, out, err = call("plan", recipe, "--source", "else", "--json")
    assert (code, out) == (5, "")
    assert "no source labelled 'else'" in err


def test_a_plan_needs_neither_toolkit_nor_gpu_unless_it_is_asked_for_this_machine(
    recipe: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(options, "visible_gpus", lambda: asked.append(1) or (ComputeCapability.parse("9.0"),))
    assert call("plan", recipe)[0] == 0
    assert asked == []
    code, out, _err = call("plan", recipe, "--capabilities", "native", "--toolchain", "system", "--json")
    assert code == 0
    assert [verdict["capability"] for verdict in json.loads(out)["cells"][0]["capabilities"]] == ["9.0"]
    assert asked == [1]


def test_native_without_a_gpu_is_refused(recipe: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "visible_gpus", lambda: ())
    code, _out, err = call("plan", recipe, "--capabilities", "native")
    assert code == 4
    assert "native" in err


def test_the_schema_is_printed(call: Call) -> None:
    code, out, err = call("schema")
    assert (code, out, err) == (0, json_schema(), "")


@pytest.mark.parametrize(
    ("gpu", "code", "support"),
    [("8.0", 0, "native"), ("8.6", 0, "native"), ("H100", 0, "PTX"), ("12.0", 0, "PTX"), ("7.5", 20, "no")],
)
def test_inspect_says_whether_a_gpu_runs_it(gpu: str, code: int, support: str, shared_object: Path, call: Call) -> None:
    found, out, err = call("inspect", shared_object, "--gpu", gpu, "--json")
    assert (found, err) == (code, "")
    (answer,) = json.loads(out)["gpus"].values()
    assert answer == support
    words = {"native": "runs natively", "PTX": "runs through PTX", "no": "does not run: no kernel image"}
    found, out, _err = call("inspect", shared_object, "--gpu", gpu)
    assert found == code
    assert words[support] in out


def test_inspect_lists_what_is_carried_and_by_whom_it_is_run(shared_object: Path, call: Call) -> None:
    code, out, _err = call("inspect", shared_object)
    assert code == 0
    assert "8.0" in out
    assert "runs natively" in out
    assert "does not run" in out
    answer = json.loads(call("inspect", shared_object.parent, "--json")[1])
    assert answer["capabilities"] == {"cubins": ["8.0"], "ptx": ["9.0"]}
    assert [item["name"] for item in answer["objects"]] == ["tiny.so"]


def test_inspect_says_nothing_of_gpus_that_do_not_exist(shared_object: Path, call: Call) -> None:
    code, _out, err = call("inspect", shared_object, "--gpu", "9.9")
    assert code == 4
    assert "no GPU of compute capability 9.9" in err


def test_inspect_counts_no_gpu_beside_another_processor(shared_object: Path, call: Call) -> None:
    assert "Jetson" not in call("inspect", shared_object)[1]
    code, out, _err = call("inspect", shared_object, "--gpu", "Jetson Orin")
    assert code == (20 if MACHINE == "x86_64" else 0)
    assert ("Arm processor" in out) == (MACHINE == "x86_64")


def test_inspect_does_not_take_a_folder_of_wheels_for_one_without_device_code(call: Call, tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "tiny-ext", "1.0")
    code, _out, err = call("inspect", tmp_path)
    assert code == 2
    assert str(wheel) in err
    (tmp_path / "empty").mkdir()
    code, _out, err = call("inspect", tmp_path / "empty")
    assert code == 2
    assert "no shared object below" in err


def test_a_plan_without_anything_to_build_ends_so(call: Call, recipe: Path) -> None:
    assert call("plan", recipe, "--torch", "2.11")[0] == 0
    code, out, _err = call("plan", recipe, "--torch", "1.0")
    assert code == 5
    assert "not known" in out


def test_what_has_no_device_code_runs_on_the_cpu_alone(call: Call, tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "tiny-ext", "1.0")
    code, out, _err = call("inspect", wheel)
    assert code == 0
    assert "no device code" in out
    assert call("inspect", wheel, "--gpu", "9.0")[0] == 20


def test_an_installed_package_is_inspected_by_name(call: Call) -> None:
    answer = json.loads(call("inspect", "pydantic-core", "--python", sys.executable, "--json")[1])
    assert any(item["name"].endswith(".so") for item in answer["objects"])


def test_what_is_not_there_is_refused(call: Call) -> None:
    code, out, err = call("inspect", "no-such-thing-anywhere")
    assert (code, out) == (2, "")
    assert "no-such-thing-anywhere" in err
    assert "→ Name the environment that has it: --python PATH" in err


def test_a_damaged_wheel_is_refused(call: Call, tmp_path: Path) -> None:
    (tmp_path / "tiny_ext-1.0-py3-none-any.whl").write_bytes(b"PK damaged")
    code, out, err = call("inspect", tmp_path / "tiny_ext-1.0-py3-none-any.whl")
    assert (code, out) == (17, "")
    assert "exit 17)" in err


def test_a_gpu_that_nobody_knows_is_refused(shared_object: Path, call: Call) -> None:
    code, _out, err = call("inspect", shared_object, "--gpu", "Voodoo 3")
    assert code == 4
    assert "Voodoo 3" in err


def raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_words: Any) -> None:
        raise error

    monkeypatch.setattr(main.cudawheel, "main", fail)


def test_a_full_disk_is_said_wherever_it_is_met(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(OSError(28, os.strerror(28), "/some/file"), monkeypatch)
    code, out, err = call()
    assert (code, out) == (DiskFullError.exit_code, "")
    assert "/some/file" in err


def test_ctrl_c_is_said(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(KeyboardInterrupt(), monkeypatch)
    code, out, err = call("plan")
    assert (code, out) == (130, "")
    assert "stopped before the end" in err


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signal.signal", lambda *_words: None)
    raising(PermissionError(13, "no"), monkeypatch)
    with pytest.raises(PermissionError):
        main.run()


def test_a_reader_that_has_had_enough_is_no_error() -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "cudawheel", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert program.stdout
    assert program.stderr
    program.stdout.close()
    assert program.wait() == 1  # click's own answer
    assert program.stderr.read() == ""
    program.stderr.close()
