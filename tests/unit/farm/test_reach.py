"""Who has no scheduler is told so at once, and by the same sentence, whichever command it was."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cudawheel.cli import main
from cudawheel.errors import FarmError
from cudawheel.farm import worker
from cudawheel.farm.reach import require_scheduler


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port of this machine that is taken, and at which nobody listens until a test says so."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        yield made


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Any]:
    monkeypatch.setattr("signal.signal", lambda *_words: None)
    monkeypatch.setenv("CUDAWHEEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(worker, "_PATIENCE_SECONDS", 0.0)

    def call_(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["cudawheel", *words])
        with pytest.raises(SystemExit) as ended:
            main.run()
        assert isinstance(ended.value.code, int)
        return ended.value.code, capsys.readouterr().err

    return call_


@pytest.mark.parametrize("command", ["worker", "check"])
def test_a_refused_connection_ends_before_dask_is_asked(
    command: str, listener: socket.socket, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def never(*_words: object, **_more: object) -> None:
        raise AssertionError("Dask tries for its whole time")

    for name in ("Client", "Nanny"):
        monkeypatch.setattr(f"distributed.{name}", never)
    address = f"tcp://127.0.0.1:{port_of(listener)}"
    more = ("--remote-cache", str(tmp_path / "shared")) if command == "check" else ()
    code, err = call("farm", command, address, *more)
    assert code == FarmError.exit_code
    assert f"no Dask scheduler answers at {address}" in err
    assert "Connection refused" in err
    assert "dask scheduler" in err


@pytest.mark.parametrize("address", ["ftp://127.0.0.1:1", "tcp://127.0.0.1"])
def test_an_address_that_dask_cannot_read_makes_no_client(
    address: str, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def never(*_words: object, **_more: object) -> None:
        raise AssertionError("it hangs when it is thrown away")

    monkeypatch.setattr("distributed.Client", never)
    code, err = call("farm", "check", address, "--remote-cache", str(tmp_path / "shared"))
    assert code == FarmError.exit_code
    assert f"no Dask scheduler answers at {address}" in err


def test_a_worker_that_does_not_start_says_it_without_a_traceback(
    listener: socket.socket, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fails:
        def __init__(self, *_words: object, **_more: object) -> None:
            """Take what Dask's takes."""

        def __await__(self) -> Iterator[Any]:
            """Begin to start, as Dask's does, and fail."""
            yield from ()
            raise RuntimeError("Nanny failed to start.") from OSError("Timed out during handshake")

    monkeypatch.setattr("distributed.Nanny", Fails)
    listener.listen()
    code, err = call("farm", "worker", f"tcp://127.0.0.1:{port_of(listener)}")
    assert code == FarmError.exit_code
    assert "OSError: Timed out during handshake" in err
    assert "Traceback" not in err


def test_one_that_is_about_to_listen_is_waited_for(listener: socket.socket) -> None:
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            listener.listen()

    require_scheduler(f"127.0.0.1:{port_of(listener)}", patience=60.0, sleep=sleep)
    assert len(waited) == 2


def test_nobody_is_waited_for_longer_than_it_was_said(listener: socket.socket) -> None:
    waited: list[float] = []
    with pytest.raises(FarmError):
        require_scheduler(f"tcp://127.0.0.1:{port_of(listener)}", patience=3.0, sleep=waited.append)
    assert sum(waited) == 3.0


@pytest.mark.parametrize(
    "error", [socket.gaierror(-2, "not known"), UnicodeError("label too long"), OSError("no route")]
)
def test_a_host_that_cannot_be_reached_is_said(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_words: object, **_more: object) -> None:
        raise error

    monkeypatch.setattr(socket, "create_connection", fail)
    with pytest.raises(FarmError) as caught:
        require_scheduler("tls://nobody.invalid:1")
    assert "tls://nobody.invalid:1" in caught.value.what
    assert str(error) in caught.value.why


@pytest.mark.parametrize("address", ["inproc://10.0.0.1/1/1", "ucx://host:1", "tcp://host", "tcp://host:port", "[", ""])
def test_what_is_no_host_and_port_is_left_to_dask(address: str) -> None:
    require_scheduler(address)
