"""Which symbols belong to torch's stable ABI, and since when: torch-abi-audit knows."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uv import find_uv_bin

from cudawheel.audit import stable_abi_child
from cudawheel.model.version import TorchVersion
from cudawheel.process import capture

_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StableAbiVerdict:
    """What a set of undefined symbols needs of torch.

    Attributes:
        unstable: symbols from outside the stable ABI.
        unknown: entry points of the stable ABI that torch-abi-audit does not know yet.
        defining: the symbols that came last.
        torch: the release they came with; None where no symbol of the stable ABI is used.
    """

    unstable: tuple[str, ...]
    unknown: tuple[str, ...]
    defining: tuple[str, ...]
    torch: TorchVersion | None


def classify(names: Sequence[str]) -> StableAbiVerdict | str:
    """Classify symbols by their mangled names; gives the reason where that is not possible.

    torch-abi-audit needs Python 3.11. Where cudawheel runs on 3.10, uv runs it in a later one.
    """
    try:
        found = stable_abi_child.classify(list(names))
    except ImportError:
        answer = _ask_elsewhere(names)
        if isinstance(answer, str):
            return answer
        found = answer
    return StableAbiVerdict(
        unstable=tuple(found["unstable"]),
        unknown=tuple(found["unknown"]),
        defining=tuple(found["defining"]),
        torch=TorchVersion.parse(found["torch"]) if found["torch"] else None,
    )


def _ask_elsewhere(names: Sequence[str]) -> dict[str, Any] | str:
    with tempfile.TemporaryDirectory(prefix="cudawheel-abi-") as folder:
        asked, answer = Path(folder) / "names.json", Path(folder) / "answer.json"
        asked.write_text(json.dumps(list(names)), "utf-8")
        uv = (
            find_uv_bin(),
            "run",
            "--quiet",
            "--no-project",
            "--isolated",
            "--python",
            ">=3.11",
            "--with",
            "torch-abi-audit>=0.3",
        )
        done = capture((*uv, "python", stable_abi_child.__file__, asked, answer), timeout=_SECONDS)
        if not done.ok:
            tail = done.output.strip().splitlines()[-1:] or [f"exit status {done.code}"]
            return f"torch-abi-audit does not run: {tail[0]}"
        found: dict[str, Any] = json.loads(answer.read_text("utf-8"))
        return found
