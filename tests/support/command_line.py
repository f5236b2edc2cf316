"""The command line, run in the test's own process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cudawheel.cli import main


def run_main(
    capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str | Path
) -> tuple[int, str, str]:
    """Run `cudawheel WORDS`; gives exit code, standard output and standard error."""
    monkeypatch.setattr(sys, "argv", ["cudawheel", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main.run()
    captured = capture.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, captured.out, captured.err
