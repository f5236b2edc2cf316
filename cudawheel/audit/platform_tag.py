"""The platform tag that a wheel has earned: auditwheel's analysis of its symbols and libraries.

auditwheel runs in a process of its own. As a library it changes the working directory of the whole process while it
looks at a wheel, which would reach into compilers that other threads start at that moment.
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cudawheel.audit.policy import load_policy
from cudawheel.process import capture

_CHILD = Path(__file__).with_name("auditwheel_child.py")
_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformTag:
    """A platform tag, and why it is not a better one.

    Attributes:
        tag: `manylinux_2_28_x86_64`, or `linux_x86_64` where no manylinux policy holds.
        reason: why it is a plain linux tag; empty otherwise.
    """

    tag: str
    reason: str = ""


def find_platform_tag(wheel: Path, *, allowed_libraries: tuple[str, ...] = ()) -> PlatformTag:
    """Find the best platform tag for a wheel, leaving out the libraries that torch, CUDA and the driver bring.

    Args:
        wheel: the file; its present tag does not count.
        allowed_libraries: file names (fnmatch) of further libraries that users are expected to have.
    """
    excluded = (*load_policy().runtime_patterns, *allowed_libraries)
    with tempfile.TemporaryDirectory(prefix="cudawheel-platform-") as folder:
        answer = Path(folder) / "answer.json"
        done = capture((sys.executable, _CHILD, wheel.absolute(), answer, *excluded), timeout=_SECONDS)
        if not done.ok or not answer.is_file():
            tail = done.output.strip().splitlines()[-1:] or [f"exit status {done.code}"]
            return PlatformTag(tag=f"linux_{platform.machine()}", reason=f"auditwheel cannot judge it: {tail[0]}")
        facts = json.loads(answer.read_text("utf-8"))
    return PlatformTag(tag=facts["tag"], reason=_explain(facts) if facts["tag"].startswith("linux_") else "")


def _explain(facts: dict[str, Any]) -> str:
    """Say in one sentence which of auditwheel's findings keeps a wheel from being manylinux."""
    if facts["libraries"]:
        return f"it needs {', '.join(facts['libraries'])}, which no manylinux policy allows"
    if facts["symbols_fail"]:
        return f"it needs symbols newer than any manylinux policy: {', '.join(facts['versions'])}"
    if facts["machine_fails"]:
        return "it needs processor instructions beyond the baseline"
    return "auditwheel rejects it for every manylinux policy"
