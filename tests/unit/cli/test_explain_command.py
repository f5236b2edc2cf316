"""`cudawheel explain` and `cudawheel watch` through the command line."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import run_main

Call = Callable[..., tuple[int, str, str]]
LINE = "nvcc fatal   : Unsupported gpu architecture 'compute_120'"


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    monkeypatch.setattr("signal.signal", lambda *_words: None)
    monkeypatch.setenv("CUDAWHEEL_CACHE", str(tmp_path / "cache"))

    def call_(*words: str | Path, typed: bytes | None = None) -> tuple[int, str, str]:
        if typed is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed)))
        return run_main(capfd, monkeypatch, *words)

    return call_


def test_a_file_a_line_and_standard_input_are_read_alike(call: Call, tmp_path: Path) -> None:
    log = tmp_path / "build.log"
    log.write_text(f"{LINE}\n")
    by_file = call("explain", log)
    assert by_file == call("explain", LINE) == call("explain", typed=LINE.encode())
    assert call("explain", *LINE.split())[0] == 0, "a line that was not quoted"
    assert call("explain", "-", typed=LINE.encode()) == by_file
    code, out, err = by_file
    assert (code, err) == (0, "")
    assert "(unsupported-capability)" in out
    assert "line 1:" in out
    assert "https://" in out


def test_a_line_may_begin_with_a_dash_and_hold_markup(call: Call) -> None:
    code, out, _ = call("explain", "-- NO CUDA INSTALLATION FOUND [red]!")
    assert code == 0
    assert "NO CUDA INSTALLATION FOUND [red]!" in out


def test_json_holds_everything(call: Call) -> None:
    code, out, _ = call("explain", "--json", LINE)
    [cause] = json.loads(out)["causes"]
    assert code == 0
    assert cause["id"] == "unsupported-capability"
    assert cause["evidence"] == [{"line": 1, "text": LINE}]
    assert all(cause[name] for name in ("title", "stage", "cause", "remedy", "recipe", "source"))


@pytest.mark.parametrize("typed", [b"all went well\n", b"\x00\xff\xfe" * 100])
def test_nothing_known_has_a_code_of_its_own(call: Call, typed: bytes) -> None:
    code, out, _ = call("explain", typed=typed)
    assert code == 65
    assert "Nothing in it is known" in out
    code, out, _ = call("explain", "--json", typed=typed)
    assert (code, json.loads(out)) == (65, {"causes": []})


def test_what_is_empty_is_said_to_be(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a.log").touch()
    code, out, _ = call("explain", tmp_path / "a.log")
    assert code == 65
    assert f"{tmp_path}/a.log is empty" in out
    code, out, _ = call("explain", typed=b"")
    assert code == 65
    assert "standard input is empty" in out
    assert "2>&1" in out
    code, _, err = call("explain", "")
    assert code == 2
    assert "an empty line" in err


def test_several_logs_are_told_one_by_one(call: Call, tmp_path: Path) -> None:
    for name, text in (("a.log", LINE), ("b.log", "all went well"), ("c.log", "nvcc: command not found")):
        (tmp_path / name).write_text(f"{text}\n", encoding="utf-8")
    names = [str(tmp_path / name) for name in ("a.log", "b.log", "c.log")]
    code, out, _ = call("explain", *names)
    assert code == 0
    assert [line for line in out.splitlines() if line in names] == names
    first, second, third = (out.index(name) for name in names)
    assert first < out.index("(unsupported-capability)") < second < out.index("Nothing in it") < third
    assert third < out.index("(no-nvcc)")
    logs = json.loads(call("explain", "--json", *names)[1])["logs"]
    assert [(log["log"], len(log["causes"])) for log in logs] == list(zip(names, (1, 0, 1), strict=True))
    assert call("explain", names[1], names[1])[0] == 65
    code, _, err = call("explain", names[0], "misspelt.log")
    assert code == 2
    assert "misspelt.log cannot be read" in err


def test_more_lines_than_are_shown_are_counted(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(f"{LINE}\n" * 40, encoding="utf-8")
    _, out, _ = call("explain", tmp_path / "a.log")
    assert out.count("  line ") == 3
    assert "and 37 more lines like these" in out
    assert json.loads(call("explain", "--json", tmp_path / "a.log")[1])["causes"][0]["more"] == 37


def test_a_large_log_shows_that_it_is_being_read_on_a_terminal_alone(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"all is well\n" * (3 << 19))
    words = [sys.executable, "-m", "cudawheel", "explain", "a.log"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    shown, terminal = pty.openpty()
    with os.fdopen(shown, "rb", buffering=0) as screen:
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, stderr=terminal, stdout=subprocess.PIPE, check=False
        )
        os.close(terminal)
        assert b"a.log: 17 MiB read" in screen.read(1 << 16)
    assert done.returncode == 65
    assert done.stdout.startswith(b"Nothing in it")
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.stderr == b""


def test_a_file_that_cannot_be_read_is_wrong_usage(call: Call, tmp_path: Path) -> None:
    code, _, err = call("explain", "misspelt.log")
    assert code == 2
    assert "misspelt.log cannot be read" in err
    assert call("explain", tmp_path)[0] == 2


def test_a_terminal_with_nothing_to_read_is_told_how(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", terminal)
    code, _, err = call("explain")
    assert code == 2
    assert "nothing to read" in err
