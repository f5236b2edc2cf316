"""What torch-abi-audit says of symbols. Imports nothing of cudawheel, since it may run in another Python."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def classify(names: list[str]) -> dict[str, Any]:
    """Classify undefined symbols; raises ImportError where torch-abi-audit is not installed."""
    from torch_abi_audit.demangle import demangle_symbol  # noqa: PLC0415 - optional: needs Python 3.11
    from torch_abi_audit.torch_abi import classify_symbols  # noqa: PLC0415

    verdict = classify_symbols([demangle_symbol(name) for name in names])
    return {
        "unstable": sorted(verdict.unstable_symbols),
        "unknown": sorted(verdict.unknown_shim_symbols),
        "defining": sorted(verdict.version_defining_symbols),
        "torch": verdict.min_torch_version,
    }


if __name__ == "__main__":
    asked, answer = map(Path, sys.argv[1:])
    answer.write_text(json.dumps(classify(json.loads(asked.read_text("utf-8")))), "utf-8")
