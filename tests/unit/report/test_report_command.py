"""`cudawheel report`."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from html_check import read_page
from report_values import record_json, write_beside
from small_packages import sha256, write_wheel

from cudawheel.cli import report
from cudawheel.errors import StoreError, UsageError


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the keys of whoever runs the tests out of them, and the page out of the way."""
    monkeypatch.setattr(report, "keys_folder", lambda: tmp_path / "keys")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "keys"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(report.command, arguments, catch_exceptions=False)


def test_a_page_is_written_and_summed_up(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path / "wheelhouse", "tiny-ext", "1.0")
    write_beside(wheel, ".json", record_json(sha256(wheel.read_bytes())))
    (tmp_path / "wheelhouse" / "cut-1.0-py3-none-any.whl").write_bytes(b"PK")
    (tmp_path / "wheelhouse" / "notes.txt").write_text("x")
    done = run()
    assert done.exit_code == 0
    assert "1 wheel, 1 not offered, 1 other file" in " ".join(done.output.split())
    page = read_page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "tiny-ext" in page.text
    assert "pip install --find-links wheelhouse tiny-ext==1.0" in page.text


def test_a_report_within_the_wheelhouse_does_not_report_itself(tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels", "tiny-ext", "1.0")
    page = tmp_path / "wheels" / "new" / "report.html"
    for _ in range(2):
        assert run("wheels", "-o", str(page)).exit_code == 0
    assert "report.html" not in page.read_text(encoding="utf-8")


def test_a_name_that_is_no_text_does_not_stop_it(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "odd\udcff\u202e.bin").write_bytes(b"")
    assert run("wheels").exit_code == 0
    assert "odd\ufffd\ufffd.bin" in (tmp_path / "report.html").read_text(encoding="utf-8").replace("<wbr>", "")


def test_no_wheelhouse_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="no folder nowhere"):
        run("nowhere")


def test_a_page_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        run("wheels", "-o", "file/report.html")


def test_own_keys_are_trusted_where_none_is_named(tmp_path: Path, keys: Path) -> None:
    (tmp_path / "wheels").mkdir()
    asked = []

    def note(chosen: object, folder: Path) -> tuple[()]:
        asked.append((chosen, folder))
        return ()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "trusted_keys", note)
        run("wheels")
        assert asked == [], "without keys there is nothing to check with"
        keys.mkdir()
        (keys / "mine.pub").write_text("")
        run("wheels")
        run("wheels", "--trust", "theirs.pub")
    assert asked == [((), keys), ((Path("theirs.pub"),), keys)]
