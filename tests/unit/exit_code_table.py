"""The page docs/exit-codes.md, rendered from the error classes.

python tests/unit/exit_code_table.py > docs/exit-codes.md
"""

from __future__ import annotations

import sys
from pathlib import Path

from cudawheel.errors import CudawheelError

PAGE = Path(__file__).parents[2] / "docs" / "exit-codes.md"

_HEAD = """# Exit codes

Every command ends with one of these. A number never changes its meaning, so scripts can branch on it.
This page is rendered from `cudawheel/errors/`; a test fails when it is not current.

| code | title | meaning | class |
|---:|---|---|---|
| 0 | | The command did what it was asked. | |
"""


def error_classes() -> tuple[type[CudawheelError], ...]:
    """Give the base of all errors and everything derived from it, by exit code."""
    found, waiting = set(), [CudawheelError]
    while waiting:
        this = waiting.pop()
        found.add(this)
        waiting += [kind for kind in this.__subclasses__() if kind.__module__.startswith("cudawheel.")]
    return tuple(sorted(found, key=lambda kind: (kind.exit_code, kind.__name__)))


def _meaning(kind: type[CudawheelError]) -> str:
    if kind is CudawheelError:
        return "Anything without a code of its own: a defect of cudawheel."
    return (kind.__doc__ or "").splitlines()[0]


def render() -> str:
    rows = (f"| {kind.exit_code} | {kind.title} | {_meaning(kind)} | `{kind.__name__}` |\n" for kind in error_classes())
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    sys.stdout.write(render())
