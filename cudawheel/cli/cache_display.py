"""What `cudawheel cache` prints: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import click
from rich.markup import escape
from rich.table import Table

from cudawheel.cli.console import out, print_table, show_error
from cudawheel.errors import CudawheelError
from cudawheel.factory.checking import Checked
from cudawheel.factory.exchange import Exchanged
from cudawheel.model.counting import count
from cudawheel.store.pruning import Pruned
from cudawheel.store.stored import Entry

_SHORT = 12
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024


def show_entries(entries: Sequence[Entry], damaged: Sequence[Path], *, as_json: bool) -> None:
    """Print what a store holds, the most recently used first."""
    ordered = sorted(entries, key=lambda entry: (-entry.last_used, entry.fingerprint))
    total = sum(entry.size for entry in ordered)
    if as_json:
        plain = {"entries": [_entry_as_json(entry) for entry in ordered], "size": total}
        click.echo(json.dumps({**plain, "damaged": [str(path) for path in damaged]}, indent=2))
        return
    table = _table("fingerprint", "wheel", "size", "last used")
    for entry in ordered:
        name = escape(entry.stored.wheel.name) if entry.stored else "[red]record not readable[/]"
        table.add_row(entry.fingerprint[:_SHORT], name, say_size(entry.size), _say_time(entry.last_used))
    if ordered:
        print_table(table)
    out.print(f"{count(len(ordered), 'wheel')}, {say_size(total)}")
    if damaged:
        out.print(f"[yellow]{len(damaged)} set aside as damaged[/] in {escape(str(damaged[0].parent))}")


def show_checked(results: Iterable[Checked], *, as_json: bool) -> list[Checked]:
    """Print what checks find, as they find it; gives all of it."""
    done = []
    for result in results:
        done.append(result)
        if not as_json:
            _say(result.fingerprint, result.name, "sound" if result.fault is None else "not sound", result.fault)
            if result.set_aside:
                out.print("  set aside; it is built again when it is next asked for")
    wrong = [result for result in done if result.fault is not None]
    if as_json:
        click.echo(json.dumps([_checked_as_json(result) for result in done], indent=2))
    else:
        out.print(f"{count(len(done), 'wheel')} checked, {len(wrong) or 'none'} not sound")
    return done


def show_pruned(pruned: Pruned, *, dry_run: bool, as_json: bool) -> None:
    """Print what was removed, or would be."""
    if as_json:
        plain = {
            "removed": [{**_entry_as_json(entry), "reason": reason} for entry, reason in pruned.removed],
            "in_use": [entry.fingerprint for entry in pruned.in_use],
            "kept": pruned.kept,
            "size": pruned.size,
            "freed": pruned.freed,
            "dry_run": dry_run,
        }
        click.echo(json.dumps(plain, indent=2))
        return
    table = _table("fingerprint", "wheel", "size", "last used", "because of")
    for entry, reason in pruned.removed:
        name = escape(entry.stored.wheel.name) if entry.stored else ""
        row = (entry.fingerprint[:_SHORT], name, say_size(entry.size), _say_time(entry.last_used), reason)
        table.add_row(*row)
    if pruned.removed:
        print_table(table)
    for entry in pruned.in_use:
        out.print(f"[yellow]{entry.fingerprint[:_SHORT]} stays: it is being built or read[/]")
    verb = "would go" if dry_run else "removed"
    freed = f"{count(len(pruned.removed), 'wheel')} {verb}, {say_size(pruned.freed)}"
    out.print(f"{freed}; {count(pruned.kept, 'wheel')} left, {say_size(pruned.size)}")


def show_exchanged(results: Iterable[Exchanged], *, as_json: bool) -> list[Exchanged]:
    """Print what becomes of wheels that are pushed or pulled, as it comes; gives all of it."""
    done: list[Exchanged] = []
    try:
        for result in results:
            done.append(result)
            if not as_json:
                _say(result.fingerprint, result.name, result.result, result.fault)
    finally:
        if as_json:
            click.echo(json.dumps([_exchanged_as_json(result) for result in done], indent=2))
        else:
            out.print(f"{count(sum(result.moved for result in done), 'wheel')} copied, {len(done)} looked at")
    return done


def say_size(size: float) -> str:
    """Write a number of bytes for people."""
    for unit in _UNITS:
        if size < _STEP or unit == _UNITS[-1]:
            break
        size /= _STEP
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def _say(fingerprint: str, name: str, result: str, fault: CudawheelError | None) -> None:
    mark = "[green]✓[/]" if fault is None else "[red]✗[/]"
    out.print(f"{mark} {fingerprint[:_SHORT]}  {escape(name)}  [dim]{escape(result)}[/]")
    if fault is not None:
        show_error(fault)


def _say_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def _table(*headings: str) -> Table:
    table = Table(show_edge=False)
    for heading in headings:
        # Where it is narrow, the long names make way, over several lines.
        is_name = heading == "wheel"
        justify: Literal["left", "right"] = "right" if heading == "size" else "left"
        table.add_column(heading, no_wrap=not is_name, overflow="fold", justify=justify, ratio=1 if is_name else None)
    return table


def _entry_as_json(entry: Entry) -> dict[str, Any]:
    stored = entry.stored
    return {
        "fingerprint": entry.fingerprint,
        "wheel": stored.wheel.name if stored else None,
        "path": str(stored.wheel) if stored else None,
        "sha256": stored.sha256 if stored else None,
        "size": entry.size,
        "last_used": datetime.fromtimestamp(entry.last_used, tz=timezone.utc).isoformat(timespec="seconds"),
    }


def _checked_as_json(result: Checked) -> dict[str, Any]:
    found = {"fingerprint": result.fingerprint, "wheel": result.name, "sound": result.fault is None}
    return {**found, "set_aside": result.set_aside, **_fault_as_json(result.fault)}


def _exchanged_as_json(result: Exchanged) -> dict[str, Any]:
    found = {"fingerprint": result.fingerprint, "wheel": result.name, "result": result.result, "copied": result.moved}
    return {**found, **_fault_as_json(result.fault)}


def _fault_as_json(fault: CudawheelError | None) -> dict[str, Any]:
    if fault is None:
        return {}
    return {"error": {"exit_code": fault.exit_code, "what": fault.what, "why": fault.why, "remedy": fault.remedy}}
