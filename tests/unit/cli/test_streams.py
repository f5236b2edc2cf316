"""Whatever the encoding of standard output is, a command says what it has to say."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cudawheel.cli.streams import write_anything

ASCII = {"PYTHONIOENCODING": "ascii"}
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def run(environment: dict[str, str], *words: str) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "cudawheel", *words], env={**os.environ, **environment}, capture_output=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("environment", [ASCII, C_LOCALE], ids=["ascii", "C"])
def test_an_ascii_terminal_gets_every_answer(environment: dict[str, str], tmp_path: Path) -> None:
    code, out, err = run(environment, "explain", "nvcc: command not found")
    assert (code, err) == (0, b"")
    assert b"-> " in out
    assert out.isascii()
    code, out, err = run(environment, "doctor", "--offline", "--cache", str(tmp_path / "cache"))
    assert code in {0, 60, 61}
    assert b"Traceback" not in err
    assert b"+ " in out
    assert out.isascii()


@pytest.mark.parametrize("environment", [ASCII, C_LOCALE], ids=["ascii", "C"])
def test_an_ascii_terminal_gets_every_error_and_all_help(environment: dict[str, str]) -> None:
    code, out, err = run(environment, "inspect", "nowhere-ü✓")
    assert (code, out) == (2, b"")
    assert err.startswith(b"error: ")
    assert b"\n-> " in err
    code, out, err = run(environment, "plan", "--help")  # by Click, with an ellipsis in it
    assert (code, err) == (0, b"")
    assert b"--capabilities" in out


@pytest.mark.parametrize("errors", ["strict", "surrogateescape", "backslashreplace"])
def test_signs_with_a_meaning_keep_it(errors: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii", errors=errors))
    write_anything()
    print("✓ good, ✗ bad → do … ü", flush=True)  # noqa: T201 - what is tested
    assert written.getvalue() == b"+ good, x bad -> do ... ?\n"


def test_utf_8_stays_as_it_is_but_for_what_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="utf-8"))
    write_anything()
    print("✓ ü \udcff", flush=True)  # noqa: T201 - what is tested
    assert written.getvalue() == "✓ ü ?\n".encode()


def test_a_stream_that_is_none_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    write_anything()
