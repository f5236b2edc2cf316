"""`cudawheel index` and `cudawheel serve`, as a person calls them."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import run_main
from index_wheels import TOKEN, make_wheel

Call = Callable[..., tuple[int, str, str]]
ANYWHERE = "0.0.0.0"  # noqa: S104 - nothing is answered there


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run the command line in this process; gives exit code, standard output and standard error."""
    monkeypatch.setattr("signal.signal", lambda *_words: None)

    def call_(*words: str | Path) -> tuple[int, str, str]:
        return run_main(capsys, monkeypatch, *words)

    return call_


@pytest.fixture
def house(tmp_path: Path) -> Path:
    make_wheel(tmp_path / "wheelhouse")
    return tmp_path / "wheelhouse"


def test_export_says_what_it_did_and_what_it_left_out(call: Call, house: Path, tmp_path: Path) -> None:
    (house / "bad-1.0-py3-none-any.whl").write_text("")
    code, out, err = call("index", "export", tmp_path / "site", "--wheelhouse", house)
    assert code == 0
    assert "1 wheels, 1 of them new; 4 pages written" in out
    assert "not offered: bad-1.0-py3-none-any.whl: " in err
    assert (tmp_path / "site" / "simple" / "demo-ext" / "index.html").is_file()


def test_export_of_nothing(call: Call, tmp_path: Path) -> None:
    code, _out, err = call("index", "export", tmp_path / "site", "--wheelhouse", tmp_path / "nowhere")
    assert code == 18
    assert "cannot be read" in err


def test_yank_and_unyank(call: Call, house: Path, tmp_path: Path) -> None:
    wheel = house / "demo_ext-1.0-py3-none-any.whl"
    page = tmp_path / "site" / "simple" / "demo-ext" / "index.html"
    assert call("index", "yank", wheel, "--reason", "wrong numbers")[0] == 0
    call("index", "export", tmp_path / "site", "--wheelhouse", house)
    assert 'data-yanked="wrong numbers"' in page.read_text()
    assert call("index", "yank", wheel)[0] == 0
    call("index", "export", tmp_path / "site", "--wheelhouse", house)
    assert 'data-yanked=""' in page.read_text()
    assert call("index", "unyank", wheel)[0] == 0
    call("index", "export", tmp_path / "site", "--wheelhouse", house)
    assert "data-yanked" not in page.read_text()
    code, _out, err = call("index", "unyank", wheel)
    assert (code, "is not yanked" in err) == (2, True)


@pytest.mark.parametrize("command", ["yank", "unyank"])
@pytest.mark.parametrize("name", ["gone-1.0-py3-none-any.whl", "README.md", "."])
def test_withdrawing_what_is_no_wheel(command: str, name: str, call: Call, house: Path) -> None:
    (house / "README.md").write_text("")
    code, _out, err = call("index", command, house / name)
    assert (code, "there is no wheel" in err) == (2, True)
    assert list(house.glob("*.yanked")) == []


def test_a_reason_that_is_a_novel(call: Call, house: Path) -> None:
    code, _out, err = call("index", "yank", house / "demo_ext-1.0-py3-none-any.whl", "--reason", "x" * 5000)
    assert (code, "5000 letters" in err) == (2, True)


def test_serve_without_a_wheelhouse(call: Call, tmp_path: Path) -> None:
    code, _out, err = call("serve", tmp_path / "nowhere", "--port", "0")
    assert (code, "cannot be read" in err) == (18, True)


def test_serve_at_a_port_that_is_taken(call: Call, house: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _out, err = call("serve", house, "--port", str(taken.getsockname()[1]))
    assert (code, "cannot listen" in err) == (2, True)


def test_serve_with_a_bad_token_file(call: Call, house: Path, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("short")
    code, _out, err = call("serve", house, "--port", "0", "--token-file", tmp_path / "tokens")
    assert (code, "easily guessed" in err) == (2, True)


@pytest.mark.parametrize(
    ("name", "extra"), [("uvicorn", ()), ("simple_repository", ("--upstream", "http://127.0.0.1:1"))]
)
def test_serve_without_the_extra(
    name: str, extra: tuple[str, ...], call: Call, house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    code, _out, err = call("serve", house, "--port", "0", *extra)
    assert code == 30
    assert "[index]" in err


@pytest.mark.parametrize(
    ("host", "tokens", "warned"), [("127.0.0.1", False, False), (ANYWHERE, False, True), (ANYWHERE, True, False)]
)
def test_serve_warns_where_everybody_can_read(  # noqa: PLR0917
    host: str, tokens: bool, warned: bool, call: Call, house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cudawheel.cli.serve._run", lambda *_words: None)
    monkeypatch.setattr("sys.setswitchinterval", lambda _seconds: None)
    (tmp_path / "tokens").write_text(TOKEN)
    given = ("--token-file", tmp_path / "tokens") if tokens else ()
    code, out, err = call("serve", house, "--port", "0", "--host", host, *given)
    assert code == 0
    assert f"http://{host}:" in out
    assert ("can read" in err) is warned
