"""CW402: an object that promises torch's stable ABI uses more than it, or a later part of it."""

from __future__ import annotations

import re

from cudawheel.audit.checks.base import Check, Subject, Violation, shorten
from cudawheel.audit.expectation import Expectation
from cudawheel.audit.shared_object import SharedObject
from cudawheel.audit.stable_abi import StableAbiVerdict, classify
from cudawheel.data import torch_releases
from cudawheel.model.version import TorchVersion

_CUDA_RUNTIME = re.compile(r"libcudart\.so\.(\d+)")


class StableAbi(Check):
    """Every symbol of torch that is used belongs to the stable ABI, and was in it at the release promised.

    A promise that cannot be proven counts as broken.
    """

    code = "CW402"
    title = "stable ABI"

    def run(self, subject: Subject, expectation: Expectation) -> tuple[Violation, ...]:
        """Classify the symbols of each object; does nothing for wheels that promise one torch release alone."""
        since = expectation.abi.stable_since if expectation.abi is not None else None
        if since is None:
            return ()
        found = []
        for item in subject.inspection.objects:
            found.extend(self._judge_runtime(item, since))
            verdict = classify([symbol.name for symbol in item.linkage.undefined])
            if isinstance(verdict, str):
                found.append(
                    self.violation(
                        where=item.name,
                        found=f"Promises {expectation.abi}, which could not be checked: {verdict}.",
                        remedy="Run cudawheel with Python 3.11 or later, where torch-abi-audit comes with it.",
                    )
                )
            else:
                found.extend(self._judge(item, verdict, since))
        return tuple(found)

    def _judge_runtime(self, item: SharedObject, since: TorchVersion) -> list[Violation]:
        """Refuse a shared CUDA runtime that the first torch promised does not bring along."""
        release = torch_releases().get(since)
        versions = (match for name in item.linkage.needed if (match := _CUDA_RUNTIME.fullmatch(name)))
        return [
            self.violation(
                where=item.name,
                found=f"Needs {match[0]}, and torch {since} on the package index brings CUDA {release.cuda}.",
                remedy="Link the CUDA runtime statically, which is nvcc's own default (--cudart static), or promise "
                f"a torch that is built with CUDA {match[1]}.",
            )
            for match in versions
            if release is not None and int(match[1]) != release.cuda.major
        ]

    def _judge(self, item: SharedObject, verdict: StableAbiVerdict, since: TorchVersion) -> list[Violation]:
        violations = []
        if verdict.unstable:
            violations.append(
                self.violation(
                    where=item.name,
                    found=f"Uses {shorten(verdict.unstable, 3)} from outside torch's stable ABI.",
                    remedy='Use torch/csrc/stable instead, or promise less: abi = "torch-minor".',
                )
            )
        if verdict.unknown:
            violations.append(
                self.violation(
                    where=item.name,
                    found=f"Uses {shorten(verdict.unknown)}, newer than torch-abi-audit knows.",
                    remedy="Update torch-abi-audit; until it knows them, the promise cannot be checked.",
                )
            )
        if verdict.torch is not None and verdict.torch > since:
            violations.append(
                self.violation(
                    where=item.name,
                    found=f"Promises torch {since}, but {shorten(verdict.defining, 3)} came "
                    f"with torch {verdict.torch}.",
                    remedy=f'Write abi = "torch-stable >= {verdict.torch}", or lower TORCH_TARGET_VERSION.',
                )
            )
        return violations
