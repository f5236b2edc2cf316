"""Keeping a package's backend from the network: what goes into a wheel is what was fetched and hashed before.

It guards against accidents and habits, such as a setup.py that downloads the newest of something. It is no sandbox:
sockets in the file system, and so whatever daemons listen there, stay within reach.
"""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from typing import Literal

from cudawheel.builder import no_network
from cudawheel.process import capture

_PROBE_SECONDS = 10.0
_BUBBLEWRAP = ("--dev-bind", "/", "/", "--unshare-net", "--die-with-parent", "--")
# How programs say that there is no network: errno and getaddrinfo's words (C, Python), curl's, git's, Rust's, Node's.
_CRIES = re.compile(
    r"Network is unreachable|\[Errno 101\]|Temporary failure in name resolution|Name or service not known"
    r"|Could not resolve host|Couldn't resolve host|unable to access 'https?://|Failed to establish a new connection"
    r"|nodename nor servname|failed to lookup address information|dns error|EAI_AGAIN|ENETUNREACH"
    r"|unable to resolve host address",
    re.IGNORECASE,
)

How = Literal["namespace", "bubblewrap", "none", "allowed"]
_WORDS: dict[How, str] = {
    "namespace": "none: a network namespace of its own",
    "bubblewrap": "none: cut off by bubblewrap",
    "none": "not cut off: this machine permits no network namespace",
    "allowed": "allowed by --network",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """How a backend is kept from the network.

    Attributes:
        how: what does it, or why nothing does.
        words: what a command has to start with.
    """

    how: How = "allowed"
    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        return _WORDS[self.how]

    @property
    def cut(self) -> bool:
        """Whether there is no network."""
        return bool(self.words)

    def command(self, command: tuple[str, ...]) -> tuple[str, ...]:
        """Give the command that runs another one in isolation."""
        return (*self.words, *command)


def isolate(*, network: bool) -> Isolation:
    """Find out how a backend can be kept from the network here.

    Args:
        network: whether a person allows it the network.
    """
    return Isolation() if network else _find()


@cache
def _find() -> Isolation:
    ways: list[tuple[How, tuple[str, ...]]] = [("namespace", (sys.executable, "-IS", no_network.__file__))]
    if bubblewrap := shutil.which("bwrap"):
        # Some systems permit it what they forbid to everybody else.
        ways.append(("bubblewrap", (bubblewrap, *_BUBBLEWRAP)))
    for how, words in ways:
        if capture([*words, "true"], timeout=_PROBE_SECONDS).ok:
            return Isolation(how=how, words=words)
    return Isolation(how="none")


def cry_for_network(output: str) -> str:
    """Give the first line of an output that says that there is no network, or an empty string."""
    return next((line.strip() for line in output.splitlines() if _CRIES.search(line)), "")
