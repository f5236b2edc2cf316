"""From the output of a failed build to its cause, where the cause is a known one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cudawheel.data import read_json
from cudawheel.errors import BuildError, DiskFullError, OutOfMemoryError

_ERRORS_SHOWN = 5
_ERROR_LINE = re.compile(
    r"^.*(?:\S\(\d+\): (?:catastrophic )?error|:\d+: (?:fatal )?error: |nvcc fatal|CMake Error|ld: cannot find"
    r"|undefined reference).*(?:\n  \S.*)?",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFailure:
    """A failure that many have met: how it shows, why it happens, what helps."""

    name: str
    pattern: re.Pattern[str]
    example: str
    cause: str
    remedy: str
    out_of_memory: bool


@cache
def known_failures() -> tuple[KnownFailure, ...]:
    """Give the known failures, the most telling first."""
    return tuple(
        KnownFailure(
            name=row["name"],
            pattern=re.compile(row["pattern"]),
            example=row["example"],
            cause=row["cause"],
            remedy=row["remedy"],
            out_of_memory=row.get("out_of_memory", False),
        )
        for row in read_json("build_failures")["failures"]
    )


def recognise(output: str) -> Iterator[tuple[KnownFailure, str]]:
    """Give each known failure that shows in an output, with the line that shows it."""
    for failure in known_failures():
        if match := failure.pattern.search(output):
            start = output.rfind("\n", 0, match.start()) + 1
            end = output.find("\n", match.end())
            yield failure, output[start : end if end >= 0 else len(output)].strip()


def first_errors(output: str) -> tuple[str, ...]:
    """Give the first lines in which a compiler, linker or CMake speaks of an error: the cause comes before its wake."""
    lines = (match[0].strip() for match in _ERROR_LINE.finditer(output))
    return tuple(dict.fromkeys(lines))[:_ERRORS_SHOWN]


def diagnose(what: str, *, output: str, tail: Sequence[str], log: Path) -> BuildError | DiskFullError:
    """Make the error of a failed build: the cause if it is known, the end of the output, and where the rest is."""
    ending = "\n".join(tail)
    found = next(recognise(output), None)
    if found is None:
        errors = "\n".join(first_errors(output))
        why = f"{errors}\n\nThe output ended with:\n{ending}" if errors else ending
        return BuildError(what, why=why, remedy=f"The whole output is in {log}.")
    failure, evidence = found
    why = f"{failure.cause}\n  {evidence}\n\nThe output ended with:\n{ending}"
    remedy = f"{failure.remedy}\nThe whole output is in {log}."
    if failure.out_of_memory:
        return OutOfMemoryError(what, why=why, remedy=remedy)
    if failure.name == "disk full":
        return DiskFullError(what, why=why, remedy=remedy)
    return BuildError(what, why=why, remedy=remedy)
