"""Seven questions, from the machine's memory to a mesh, each answered by the weightiest finding about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from cudawheel.doctor.finding import Finding, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of the checklist."""

    question: str
    answer: Finding


_QUESTIONS: tuple[tuple[str, frozenset[str]], ...] = (
    ("memory", frozenset({"memory", "WSL"})),
    ("GPU", frozenset({"GPU"})),
    ("nvcc", frozenset({"nvcc"})),
    (
        "torch's CUDA",
        frozenset({
            "torch", "torch-cpu", "torch-rocm", "torch-broken", "no-torch", "driver-too-old", "torch-imports",
            "torch-import-fails", "torch-sees-no-gpu",
        }),
    ),
    (
        "torch's capabilities",
        frozenset({"torch-native", "torch-ptx", "torch-no-kernel-image", "torch-carries", "torch-without-code"}),
    ),
    ("the extension", frozenset({"extensions"})),
    ("a mesh", frozenset({"mesh"})),
)  # fmt: skip


def checklist(findings: Iterable[Finding]) -> tuple[Item, ...]:
    """Answer the seven questions out of findings; a question that nothing answers says so."""
    every = tuple(findings)
    return tuple(Item(question=question, answer=_answer(question, words, every)) for question, words in _QUESTIONS)


def _answer(question: str, words: frozenset[str], findings: tuple[Finding, ...]) -> Finding:
    about = [finding for finding in findings if finding.section in words - {"torch"} or finding.code in words]
    if not about:
        return Finding(
            section=question, code="unanswered", severity=Severity.NOTE, found="not known: see the lines above"
        )
    worst = max(about, key=lambda finding: finding.severity)
    if worst.severity is not Severity.GOOD:
        return worst
    # What carries the right code and what imports are two findings, and one answer.
    return replace(worst, found="; ".join(dict.fromkeys(finding.found for finding in about)))
