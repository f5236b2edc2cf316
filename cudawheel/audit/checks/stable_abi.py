"""CW402: an object that promises torch's stable ABI uses more than it, or a later part of it."""

from __future__ import annotations

import importlib
from typing import Any

from cudawheel.audit.checks.base import Check, Subject, Violation, shorten
from cudawheel.audit.expectation import Expectation
from cudawheel.audit.shared_object import SharedObject
from cudawheel.model.version import TorchVersion


class StableAbi(Check):
    """Every symbol of torch that is used belongs to the stable ABI, and was in it at the release promised.

    torch-abi-audit knows which do; it needs Python 3.11, and a promise that cannot be proven counts as broken.
    """

    code = "CW402"
    title = "stable ABI"

    def run(self, subject: Subject, expectation: Expectation) -> tuple[Violation, ...]:
        """Classify the symbols of each object; does nothing for wheels that promise one torch release alone."""
        since = expectation.abi.stable_since
        if since is None:
            return ()
        try:
            demangle: Any = importlib.import_module("torch_abi_audit.demangle")
            rules: Any = importlib.import_module("torch_abi_audit.torch_abi")
        except ImportError:
            return (
                self.violation(
                    where=subject.wheel.path.name,
                    found=f"Promises {expectation.abi}, which could not be checked: torch-abi-audit is not installed.",
                    remedy="Run cudawheel with Python 3.11 or later, where it comes with it.",
                ),
            )
        found = []
        for item in subject.inspection.objects:
            names = [demangle.demangle_symbol(symbol.name) for symbol in item.linkage.undefined]
            found.extend(self._judge(item, rules.classify_symbols(names), since))
        return tuple(found)

    def _judge(self, item: SharedObject, verdict: Any, since: TorchVersion) -> list[Violation]:  # noqa: ANN401 - optional
        violations = []
        if verdict.unstable_symbols:
            violations.append(
                self.violation(
                    where=item.name,
                    found=f"Uses {shorten(sorted(verdict.unstable_symbols), 3)} from outside torch's stable ABI.",
                    remedy='Use torch/csrc/stable instead, or promise less: abi = "torch-minor".',
                )
            )
        if verdict.unknown_shim_symbols:
            violations.append(
                self.violation(
                    where=item.name,
                    found=f"Uses {shorten(sorted(verdict.unknown_shim_symbols))}, newer than torch-abi-audit knows.",
                    remedy="Update torch-abi-audit; until it knows them, the promise cannot be checked.",
                )
            )
        if verdict.min_torch_version and TorchVersion.parse(verdict.min_torch_version) > since:
            needed = TorchVersion.parse(verdict.min_torch_version)
            violations.append(
                self.violation(
                    where=item.name,
                    found=f"Promises torch {since}, but {shorten(sorted(verdict.version_defining_symbols), 3)} came "
                    f"with torch {needed}.",
                    remedy=f'Write abi = "torch-stable >= {needed}", or lower TORCH_TARGET_VERSION.',
                )
            )
        return violations
