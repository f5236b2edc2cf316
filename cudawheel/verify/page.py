"""The verdict as one HTML file: pictures inside, readable on a phone, in the dark, and by a screen reader."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from pathlib import Path

from cudawheel.verify.verdict import Finding, Verdict

# Shared with the report of a wheelhouse, as are the classes and marks of results below.
STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #59636e; --line: #d5dae0; --paper: #fff; --good: #1a7f37;
  --bad: #c1121f; --known: #8a6100; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --dim: #9aa4af; --line: #363d45; --paper: #14171a;
  --good: #4ac26b; --bad: #ff7b72; --known: #e3b341; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem;
  margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; line-height: 1.25; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.answer { font-size: 1.15rem; font-weight: 600; border-left: .4rem solid; padding: .3rem .8rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; } dt { color: var(--dim); }
dd { margin: 0; } ul { padding-left: 1.2rem; }
.finding { border-top: 1px solid var(--line); padding: .7rem 0; }
.finding h3 { font-size: 1rem; margin: 0; } .finding p { margin: .2rem 0; } .figures { color: var(--dim);
  font-size: .9rem; font-variant-numeric: tabular-nums; }
.status { font-weight: 600; } .good { color: var(--good); } .bad { color: var(--bad); } .known { color: var(--known); }
.dim { color: var(--dim); } img { max-width: 100%; height: auto; border: 1px solid var(--line); background: #fff; }
@media (max-width: 30rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; } }
"""
CLASSES = {"proven": "good", "failed": "bad", "known defect": "known", "unproven": "dim"}
MARKS = {"proven": "✓", "failed": "✗", "known defect": "!", "unproven": "·"}


def answer_of(verdict: Verdict) -> tuple[str, str]:
    """Give the verdict in a sentence, and the class that it is drawn with."""
    counts = {status: sum(finding.status == status for finding in verdict.findings) for status in CLASSES}
    if verdict.void:
        return "Void: a kernel that was broken on purpose passed every check.", "bad"
    if counts["failed"]:
        return f"Not proven: {counts['failed']} of {len(verdict.findings)} checks failed.", "bad"
    if not verdict.finished:
        passed = counts["proven"] + counts["known defect"]
        return f"Stopped before the end: {passed} checks had passed, the rest is open.", "dim"
    devices = " and ".join(sorted({finding.device for finding in verdict.findings if finding.status != "unproven"}))
    if counts["known defect"]:
        known = counts["known defect"]
        return f"{counts['proven']} checks proven on {devices}; {known} upstream defects, known.", "known"
    return f"Proven on {devices}: all {counts['proven']} checks.", "good"


def write_page(verdict: Verdict, folder: Path) -> Path:
    """Write `index.html` into the folder of a verdict, with the pictures that lie there inside; gives its path."""
    sentence, kind = answer_of(verdict)
    title = f"{verdict.package} {verdict.version}"
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}: verification</title><style>{STYLE}</style>",
        f'<main><h1>{escape(title)}</h1><p class="answer {kind}">{escape(sentence)}</p>',
        _facts(verdict),
        _unproven(verdict),
        _controls(verdict),
        "<h2>Checks</h2>",
        *(_finding(finding, folder) for finding in _worst_first(verdict.findings)),
        "</main></html>\n",
    ]
    path = folder / "index.html"
    path.write_text("\n".join(part for part in parts if part), encoding="utf-8")
    return path


def _worst_first(findings: Iterable[Finding]) -> list[Finding]:
    order = ("failed", "known defect", "unproven", "proven")
    return sorted(findings, key=lambda finding: order.index(finding.status))


def _facts(verdict: Verdict) -> str:
    facts = {"wheel": verdict.wheel, "sha256": verdict.wheel_sha256, "suite": verdict.suite, **verdict.environment}
    rows = (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items() if value)
    return f"<dl>{''.join(rows)}</dl>"


def _unproven(verdict: Verdict) -> str:
    if not verdict.unproven:
        return ""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in verdict.unproven)
    return f"<h2>What this leaves unproven</h2><ul>{items}</ul>"


def _controls(verdict: Verdict) -> str:
    items = []
    for control in verdict.controls:
        kind, word = ("good", "✓ caught") if control.caught else ("bad", "✗ not noticed")
        by = f' <span class="dim">by {escape(", ".join(control.caught_by))}</span>' if control.caught_by else ""
        items.append(f'<li><span class="status {kind}">{word}</span>: {escape(control.what)}{by}</li>')
    return f"<h2>Kernels broken on purpose</h2><ul>{''.join(items)}</ul>" if items else ""


def _finding(finding: Finding, folder: Path) -> str:
    figures = ", ".join(
        f"{name} {value:.4g}{f' (at most {finding.tolerance[name]:.4g})' if name in finding.tolerance else ''}"
        for name, value in finding.measured.items()
    )
    link = f' <a href="{escape(finding.evidence)}">evidence</a>' if finding.evidence else ""
    heading = (
        f'<h3><span class="status {CLASSES[finding.status]}">{MARKS[finding.status]} {escape(finding.status)}</span>'
        f' · {escape(finding.name)} <span class="dim">on {escape(finding.device)}</span></h3>'
    )
    parts = (
        f'<section class="finding">{heading}',
        f"<p>{escape(finding.claim)}</p>",
        f"<p>{escape(finding.detail)}{link}</p>" if finding.detail or link else "",
        f'<p class="figures">{escape(figures)}</p>' if figures else "",
        *(_picture(folder, name, finding.name) for name in finding.pictures),
        "</section>",
    )
    return "\n".join(part for part in parts if part)


def is_plain(name: str) -> bool:
    """Whether a name is that of a file in a folder and leads out of none: a verdict is a file like any other."""
    return name not in {"", ".", ".."} and not {"/", "\\", "\0"} & set(name)


def _picture(folder: Path, name: str, what: str) -> str:
    path = folder / name
    if not is_plain(name) or not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{escape(what)}: {escape(path.stem)}" src="data:image/png;base64,{data}">'
