"""Whether anything answers at a scheduler's address, told sooner than Dask tells it, which tries for its whole time."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from cudawheel.errors import FarmError

CONNECT_SECONDS = 15.0
_BETWEEN_SECONDS = 0.5
_SOCKETS = {"tcp", "tls"}


def require_scheduler(address: str, *, patience: float = 0.0, sleep: Callable[[float], None] = time.sleep) -> None:
    """Let an address pass at which something listens; what it is, Dask finds out.

    Addresses that are no host and port are Dask's matter altogether.

    Args:
        address: such as `tcp://HOST:8786`; without a scheme it is tcp's, as for Dask.
        patience: seconds to try again for, where the connection is refused or the host is not known yet.
        sleep: waits so many seconds.

    Raises:
        FarmError: nobody listens there, or the host cannot be reached.
    """
    place = _place_of(address)
    if place is None:
        return
    tries = 1 + int(patience / _BETWEEN_SECONDS)
    for left in reversed(range(tries)):
        try:
            socket.create_connection(place, timeout=CONNECT_SECONDS).close()
        except (ConnectionRefusedError, socket.gaierror) as error:  # noqa: PERF203 - each try may fail
            if not left:
                raise no_scheduler(address, error) from error
            sleep(_BETWEEN_SECONDS)
        except (OSError, UnicodeError) as error:
            raise no_scheduler(address, error) from error
        else:
            return


def no_scheduler(address: str, error: BaseException) -> FarmError:
    """Give the error for an address at which no scheduler answers."""
    return FarmError(
        f"no Dask scheduler answers at {address}",
        why=f"{type(error).__name__}: {error}".rstrip(": "),
        remedy="Start one with `dask scheduler`, and name the address that it prints, such as tcp://HOST:8786.",
    )


def _place_of(address: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(address if "://" in address else f"tcp://{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    return (host, port) if parts.scheme in _SOCKETS and host and port else None
