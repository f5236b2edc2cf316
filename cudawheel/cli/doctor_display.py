"""How findings look on a terminal: a line each, the remedy below it, and a count at the end."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cudawheel.cli.console import print_block
from cudawheel.doctor.checklist import Item
from cudawheel.doctor.finding import Finding, Severity
from cudawheel.doctor.repair import Repair

_MARKS = {
    Severity.GOOD: ("✓", "green"),
    Severity.NOTE: ("•", "cyan"),
    Severity.WARNING: ("!", "yellow"),
    Severity.PROBLEM: ("✗", "bold red"),
}
_FOUND_STYLES = {Severity.GOOD: "", Severity.NOTE: "", Severity.WARNING: "", Severity.PROBLEM: "bold"}
_NAMES = {
    Severity.PROBLEM: "problem",
    Severity.WARNING: "warning",
    Severity.NOTE: "note",
    Severity.GOOD: "good",
}
# Longer lines are hard to read, however wide the terminal is.
_WIDEST = 118
_HOME = re.compile(rf"(?<![\w/.-]){re.escape(str(Path.home()))}(?=/|\s|$)")
_CODE = re.compile(r"`([^`]*)`")


def show_findings(console: Console, findings: Sequence[Finding], *, title: str) -> None:
    """Print findings, those about one thing together."""
    heading = Text.assemble(("cudawheel doctor", "bold"), "  ", (title, "dim"))
    print_block(console, heading)
    console.print()
    table = _table()
    before = ""
    for finding in findings:
        _add(table, "" if finding.section == before else finding.section, finding)
        before = finding.section
    _print(console, table)
    console.print(f"\n{_count(findings)}")


def show_checklist(console: Console, items: Iterable[Item]) -> None:
    """Print the seven questions with their answers."""
    table = _table()
    every = list(items)
    for number, item in enumerate(every, start=1):
        _add(table, f"{number} {item.question}", item.answer)
    _print(console, table)
    console.print(f"\n{_count([item.answer for item in every])}")


def show_repairs(console: Console, wanted: Sequence[Repair]) -> None:
    """Print what --fix would make."""
    if not wanted:
        console.print(
            "\nThere is nothing that --fix could make: cudawheel's folders are there, or lie outside your home."
        )
        return
    console.print("\n[bold]--fix[/] makes these folders, and touches nothing else:")
    for repair in wanted:
        console.print(f"  {escape(str(repair.path))}  [dim]{repair.what}[/]")


def _table() -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _add(table: Table, label: str, finding: Finding) -> None:
    mark, style = _MARKS[finding.severity]
    table.add_row(Text(label), Text(mark, style), _words(finding.found, _FOUND_STYLES[finding.severity]))
    for number, line in enumerate(finding.remedy):
        table.add_row("", Text("" if number else "→", "green"), _words(line, "green"))


def _words(text: str, style: str) -> Text:
    """Give a line as styled text, with what stands between backticks set off."""
    found = Text(style=style)
    text = _HOME.sub("~", text)
    end = 0
    for match in _CODE.finditer(text):
        found.append(text[end : match.start()])
        found.append(match[1], "italic")
        end = match.end()
    return found.append(text[end:])


def _print(console: Console, table: Table) -> None:
    print_block(console, table, width=min(console.width, _WIDEST))


def _count(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.severity for finding in findings)
    parts = []
    for severity, name in _NAMES.items():
        if number := counts[severity]:
            mark, style = _MARKS[severity]
            plural = "s" * (number != 1 and severity is not Severity.GOOD)
            parts.append(f"[{style}]{mark}[/] {number} {name}{plural}")
    return "   ".join(parts)
