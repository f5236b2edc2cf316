"""`cudawheel inspect PACKAGE`: which environment it looks into, and what it says where the package is in none."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import run_main

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run the command line in this process, with no environment active."""
    monkeypatch.setattr("signal.signal", lambda *_words: None)
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)

    def call_(*words: str | Path) -> tuple[int, str, str]:
        return run_main(capsys, monkeypatch, "inspect", *words)

    return call_


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment of its own, in which a package is that is nowhere else; its Python only says where that is."""
    site = tmp_path / "elsewhere" / "lib" / "site-packages"
    (site / "their_kernels").mkdir(parents=True)
    # The interpreter's own shared object stands for one: any ELF file can be inspected.
    [own, *_] = sorted(Path(path) for path in _loaded())
    (site / "their_kernels" / "k.so").write_bytes(own.read_bytes())
    record = site / "their_kernels-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: their-kernels\nVersion: 1.0\n", encoding="utf-8")
    (record / "RECORD").write_text("their_kernels/k.so,,\n", encoding="utf-8")
    python = tmp_path / "elsewhere" / "bin" / "python"
    python.parent.mkdir()
    answer = json.dumps({"version": "3.12.0", "sites": [str(site)]})
    python.write_text(f"#!/bin/sh\necho '{answer}'\n", encoding="utf-8")
    python.chmod(0o755)
    return tmp_path / "elsewhere"


def _loaded() -> list[str]:
    import pydantic_core  # noqa: PLC0415 - it has one shared object

    return [str(path) for path in Path(pydantic_core.__file__).parent.glob("*.so")]


def test_the_environment_that_is_named_is_looked_into(call: Call, environment: Path) -> None:
    for named in (environment, environment / "bin" / "python"):
        code, out, err = call("their-kernels", "--python", named, "--json")
        assert (code, err) == (0, "")
        assert [item["name"] for item in json.loads(out)["objects"]] == ["k.so"]


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_the_active_environment_is_looked_into_as_doctor_does(
    variable: str, call: Call, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("their-kernels")[0] == 2
    monkeypatch.setenv(variable, str(environment))
    assert call("their-kernels", "--json")[0] == 0
    code, _, err = call("pydantic-core")
    assert code == 2, "it is in cudawheel's own environment alone"
    assert f"{environment}/bin/python" in " ".join(err.split())
    assert "is active" in err


def test_an_unknown_name_says_where_was_looked_and_both_ways_out(call: Call) -> None:
    code, out, err = call("no-such-thing-anywhere")
    assert (code, out) == (2, "")
    assert sys.executable in err
    assert "→ Name the environment that has it: --python PATH" in err
    assert "→ Or name what is to be inspected: a .whl" in err
    assert call("")[0] == 2


@pytest.mark.parametrize("named", ["/nowhere/python", "0.1"])
def test_a_python_that_does_not_answer_is_said(named: str, call: Call) -> None:
    code, out, err = call("pydantic-core", "--python", named)
    assert (code, out) == (2, "")
    assert named in err
    assert "→ Name" in err


def test_a_version_means_the_python_of_that_name(
    call: Call, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (environment / "bin" / "python9.9").symlink_to("python")
    monkeypatch.setenv("PATH", str(environment / "bin"), prepend=":")
    assert call("their-kernels", "--python", "9.9", "--json")[0] == 0
