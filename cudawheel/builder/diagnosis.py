"""From the output of a failed build to its cause, where the cause is a known one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cudawheel.errors import BuildError, DiskFullError, OutOfMemoryError
from cudawheel.explain.scanner import Explanation, explain_text

_ERRORS_SHOWN = 5
_ERROR_LINE = re.compile(
    r"^.*(?:\S\(\d+\): (?:catastrophic )?error|:\d+: (?:fatal )?error: |nvcc fatal|CMake Error|ld: cannot find"
    r"|undefined reference).*(?:\n  \S.*)?",
    re.MULTILINE,
)


def first_errors(output: str) -> tuple[str, ...]:
    """Give the first lines in which a compiler, linker or CMake speaks of an error: the cause comes before its wake."""
    lines = (match[0].strip() for match in _ERROR_LINE.finditer(output))
    return tuple(dict.fromkeys(lines))[:_ERRORS_SHOWN]


def diagnose(what: str, *, output: str, tail: Sequence[str], log: Path) -> BuildError | DiskFullError:
    """Make the error of a failed build: the cause if it is known, the end of the output, and where the rest is."""
    ending = "\n".join(tail)
    found = [one for one in explain_text(output) if one.pattern.stage != "run"]
    if not found:
        errors = "\n".join(first_errors(output))
        why = f"{errors}\n\nThe output ended with:\n{ending}" if errors else ending
        return BuildError(what, why=why, remedy=f"The whole output is in {log}.")
    why = f"{_causes(found)}\n\nThe output ended with:\n{ending}"
    root = found[0]
    remedy = f"{root.recipe or root.remedy}\nThe whole output is in {log}."
    kinds: dict[str, type[BuildError | DiskFullError]] = {"out of memory": OutOfMemoryError, "disk full": DiskFullError}
    return kinds.get(root.pattern.kind, BuildError)(what, why=why, remedy=remedy)


def _causes(found: Sequence[Explanation]) -> str:
    """Write the root with its first line, and of what else was recognised the names: most of it is wake."""
    root, *others = found
    lines = [root.cause, f"  {root.evidence[0].text}"]
    if others:
        lines.append(f"Recognised besides: {', '.join(one.pattern.title for one in others)}.")
    return "\n".join(lines)
