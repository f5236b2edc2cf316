"""`cudawheel serve`."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import sys
from pathlib import Path

import click
from packaging.utils import canonicalize_name

from cudawheel.cli.console import err, out
from cudawheel.errors import ExtraMissingError, UsageError
from cudawheel.index.app import IndexApp, Served
from cudawheel.index.live import LiveIndex
from cudawheel.index.model import OVERALL
from cudawheel.index.scan import Finding, Scanner
from cudawheel.index.tokens import TokenFile
from cudawheel.index.upstream import Upstream
from cudawheel.model.counting import count

# Looking through the wheelhouse may hold the interpreter for so long before an answer gets its turn; by default 5 ms.
_TURN_SECONDS = 0.0005
_GRACE_SECONDS = 5
_BACKLOG = 1024


@click.command("serve")
@click.argument("wheelhouse", type=click.Path(path_type=Path), default="wheelhouse")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    envvar="CUDAWHEEL_TOKEN_FILE",
    help="Only those with a token of this file may read: one a line, and behind it the day it expires, if it does.",
)
@click.option("--upstream", metavar="URL", help="Another index, for every name that is not in this one.")
@click.option(
    "--own", multiple=True, metavar="NAME", help="A name, or a pattern, that never comes from upstream; repeatable."
)
@click.option("--log/--no-log", default=True, help="Print a line for each request.")
def command(
    *,
    wheelhouse: Path,
    host: str,
    port: int,
    token_file: Path | None,
    upstream: str | None,
    own: tuple[str, ...],
    log: bool,
) -> None:
    """Serve the wheels of WHEELHOUSE to pip and uv, one channel a CUDA and one over all, until Ctrl-C.

    Wheels that come in meanwhile are offered at once. What is not sound is not offered, and named on standard error.
    """
    _require_extra()
    live = LiveIndex(Scanner(wheelhouse.absolute()), _tell_finding)
    app = IndexApp(
        live,
        tokens=TokenFile(token_file, _tell) if token_file is not None else None,
        upstream=Upstream(upstream) if upstream is not None else None,
        own=tuple(map(canonicalize_name, own)),
        tell=_tell_request if log else lambda _served: None,
    )
    live.start()
    with _listening(host, port) as listener:
        if token_file is None and not _is_loopback(host):
            _tell("everybody who reaches this address can read; --token-file lets in only some")
        _show(live, listener)
        sys.setswitchinterval(_TURN_SECONDS)
        _run(app, listener)


def _require_extra() -> None:
    """Let pass where the server is installed: nothing should look as if it ran that does not.

    Raises:
        ExtraMissingError: it is not.
    """
    try:
        import uvicorn  # noqa: F401, PLC0415 - an extra
    except ImportError as error:
        raise ExtraMissingError(
            "serve needs uvicorn, and it is not installed",
            why=str(error),
            extra="index",
            otherwise="`cudawheel index export`, which does without, and a web server of your own.",
        ) from error


def _run(app: IndexApp, listener: socket.socket) -> None:
    import uvicorn  # noqa: PLC0415 - as above

    config = uvicorn.Config(
        app,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # the app itself tells what went wrong with a request
    # It ends in good order, and then hands the signal that ended it on to us.
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    """Open the port.

    Raises:
        UsageError: it is taken, or the address is not this machine's.
    """
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With the protocol named: asyncio turns Nagle's algorithm off only where it is, and an answer in two parts
        # otherwise waits 40 ms for the client's delayed acknowledgement.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as fault:
        if listener is not None:
            listener.close()
        raise UsageError(
            f"cannot listen at {host}, port {port}", why=str(fault), remedy="Choose another with --host and --port."
        ) from fault
    else:
        return listener


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _show(live: LiveIndex, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    for name, channel in live.index.channels.items():
        wheels = sum(len(project.files) for project in channel.projects.values())
        what = f"{count(len(channel.projects), 'project')}, {count(wheels, 'wheel')}"
        out.print(f"{address}/{channel.folder}  {what}{'' if name != OVERALL else ', every channel'}", markup=False)
    if not any(channel.projects for channel in live.index.channels.values()):
        _tell("no wheel can be offered yet; what `cudawheel build` puts there will be")
    out.file.flush()


def _tell_request(served: Served) -> None:
    # Not through rich, which takes longer than the request did.
    click.echo(str(served), err=True)


def _tell_finding(finding: Finding) -> None:
    _tell(f"not offered: {finding}")


def _tell(text: str) -> None:
    err.print(text, markup=False)
