"""A program of its own: asks auditwheel about one wheel and writes the answer to a file as JSON.

Run as `python auditwheel_child.py WHEEL ANSWER [EXCLUDED ...]`. It imports nothing of cudawheel, so that it can be
started by its path from anywhere. Anything that goes wrong ends it with a traceback; its last line is the reason.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from auditwheel.wheel_abi import analyze_wheel_abi


def analyse(wheel: Path, excluded: frozenset[str]) -> dict[str, Any]:
    """Give the tag that auditwheel finds, and its findings as far as they explain a plain linux tag."""
    info = analyze_wheel_abi(None, None, wheel, excluded, disable_isa_ext_check=False, allow_graft=False)
    linux = info.policies.linux
    # The newest manylinux policy allows the most libraries: what even it lacks is what stands in the way.
    outside = info.external_refs[info.policies.highest.name].libs
    return {
        "tag": info.overall_policy.name,
        "libraries": sorted(outside),
        "symbols_fail": info.sym_policy == linux,
        "machine_fails": info.machine_policy == linux,
        "versions": sorted(max(versions, key=_as_numbers) for versions in info.versioned_symbols.values() if versions),
    }


def _as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.rpartition("_")[2].split(".") if part.isdigit())


def main(arguments: list[str]) -> None:
    """Answer for the command line."""
    wheel, answer, *excluded = arguments
    facts = analyse(Path(wheel), frozenset(excluded))
    Path(answer).write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
