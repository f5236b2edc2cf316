"""Which environment variables a CMake file asks for, and what turns each of them on; as text, never run."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cudawheel.draft.environment_reads import OFF, EnvironmentRead

_READ = re.compile(r"\$?ENV\{(\w+)\}")
_COMPARED = re.compile(r'"?\s+(STREQUAL|EQUAL|MATCHES)\s+"?\^?([\w.+-]*)\$?(?=["\s()]|$)')
_CONDITIONS = frozenset({"if", "elseif", "while"})
# CMake takes these for false too.
_CMAKE_OFF = OFF | {"ignore", "notfound"}


def reads_of(name: str, body: str, line: int) -> Iterator[EnvironmentRead]:
    """Give the variables that one command of CMake asks for.

    Args:
        name: of the command, in small letters.
        body: what stands between its parentheses.
        line: of the file, from 1.
    """
    if name == "message":
        return
    for match in _READ.finditer(body):
        if name in _CONDITIONS:
            yield _asked(match[1], line, body[match.end() :])
        elif match[0].startswith("$"):
            yield EnvironmentRead(name=match[1], line=line)
        else:
            yield EnvironmentRead(name=match[1], line=line, written=name == "set")


def _asked(name: str, line: int, after: str) -> EnvironmentRead:
    """Say what a condition takes a variable for, by what stands behind it."""
    compared = _COMPARED.match(after)
    if compared is None:
        return EnvironmentRead(name=name, line=line, on="1")
    value = compared[2]
    if value.lower() in _CMAKE_OFF:
        # What is compared with a word that means "off" is on where nobody sets it; what is compared with nothing at
        # all is on as soon as it is set.
        return EnvironmentRead(name=name, line=line, default="1" if value else None, on="1")
    # `NOT … STREQUAL "1"` turns off, or ends the build, what "1" turns on.
    return EnvironmentRead(name=name, line=line, on=value)
