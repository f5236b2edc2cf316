"""What `cudawheel build` prints at its end: the wheel, and what was proven of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from cudawheel.cli.console import err, out, print_table, show_error
from cudawheel.data import known_for
from cudawheel.errors import CudawheelError
from cudawheel.factory.attempt import Attempt
from cudawheel.factory.factory import Outcome
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.counting import count
from cudawheel.schedule.limits import GIB


def show_outcome(outcome: Outcome, *, as_json: bool) -> None:
    """Print an outcome as a table for people, or the build record as JSON."""
    if as_json:
        click.echo(json.dumps(_outcome_as_json(outcome), indent=2))
        return
    record = outcome.record
    out.print(
        f"[bold green]✓[/] [bold]{_short(outcome.wheel)}[/]{'  [dim](built before, checked)[/]' * outcome.cached}"
    )
    # Lines, not a table: a table would break the command of the last one where it cannot be copied any more.
    for label, text in _rows(outcome, record):
        out.print(f"  [dim]{label:<12}[/]  {text}")
    _warn_of_loss(outcome)


def show_attempts(attempts: Sequence[Attempt], *, as_json: bool) -> None:
    """Print what became of every variant as a table for people, or as a list of build records and errors in JSON."""
    if as_json:
        click.echo(json.dumps([_attempt_as_json(attempt) for attempt in attempts], indent=2))
        return
    print_table(_table_of(attempts))
    words = Counter(attempt.word for attempt in attempts)
    served = sum(len(attempt.serves) for attempt in attempts)
    counts = [f"{words[word]} {word}" for word in ("built", "from the store", "failed") if words[word]]
    out.print(", ".join(counts + [f"{served} served by a wheel of another"] * bool(served)))
    for attempt in attempts:
        if isinstance(attempt.result, Outcome):
            _warn_of_loss(attempt.result)
    for attempt in attempts:
        if isinstance(attempt.result, CudawheelError):
            err.print(f"\n[bold]{attempt.identifier}[/]")
            show_error(attempt.result)


def _table_of(attempts: Sequence[Attempt]) -> Table:
    table = Table(show_edge=False)
    for heading in ("cell", "result", "seconds", "peak"):
        table.add_column(heading, no_wrap=True, justify="right" if heading in {"seconds", "peak"} else "left")
    table.add_column("wheel", overflow="fold")
    for attempt in attempts:
        result = attempt.result
        if isinstance(result, CudawheelError):
            failure = escape(f"{result.what} ({result.title})")
            table.add_row(f"[red]✗[/] {attempt.identifier}", "failed", f"{attempt.seconds:.1f}", "", failure)
            continue
        peak = f"{result.record['build']['peak_memory'] / GIB:.1f} GiB"
        wheel = escape(_short(result.wheel))
        table.add_row(f"[green]✓[/] {attempt.identifier}", attempt.word, f"{attempt.seconds:.1f}", peak, wheel)
        for other in attempt.serves:
            table.add_row(f"[green]✓[/] {other}", f"as {attempt.identifier}", "", "", wheel)
    return table


def _attempt_as_json(attempt: Attempt) -> dict[str, Any]:
    result = attempt.result
    named = {"identifier": attempt.identifier, "result": attempt.word, "seconds": round(attempt.seconds, 3)}
    if isinstance(result, CudawheelError):
        error = {"exit_code": result.exit_code, "what": result.what, "why": result.why, "remedy": result.remedy}
        return {**named, "error": error}
    return {**named, "serves": attempt.serves, **_outcome_as_json(result)}


def _outcome_as_json(outcome: Outcome) -> dict[str, Any]:
    replaced = None if outcome.replaced is None else outcome.replaced.to_json()
    return {**outcome.record, "cached": outcome.cached, "path": str(outcome.wheel), "replaced": replaced}


def _warn_of_loss(outcome: Outcome) -> None:
    """Say at the end, where it is read, that a wheel took the place of one that had more."""
    if outcome.replaced is None or not outcome.replaced.is_loss:
        return
    out.print(f"[bold yellow]warning[/]  {escape(outcome.wheel.name)} {escape(str(outcome.replaced))}")
    out.print("  [green]→[/] give each list of capabilities a folder of its own with --wheelhouse")


def _rows(outcome: Outcome, record: dict[str, Any]) -> list[tuple[str, str]]:
    found = record["audit"]["capabilities"]
    rows = [("machine code", f"{text:<5} {_gpus(text)}") for text in found["cubins"]]
    rows += [("PTX", f"{text:<5} for what comes later") for text in found["ptx"]]
    rows += [
        ("left out", f"{verdict.capability}: {verdict.reason}")
        for verdict in outcome.cell.verdicts
        if not verdict.accepted
    ]
    rows.append(("source", escape(_source(record["source"]))))
    imported = record["audit"]["imported"]
    torch = f"torch {imported['torch']}" if imported["torch"] else ""
    alone = f"imports with {torch} alone" if torch else "imports without torch"
    rows.append(("proven", f"audit passed; {alone}: {imported['modules']}"))
    if computed := record["audit"].get("computed"):
        rows.append(("", escape(f"{computed['program']}: {' '.join(computed['said'][-1:]) or computed['result']}")))
    build = record["build"]
    most = f"{count(build['most_compilers'], 'compiler')} at once"
    cost = f"in {build['seconds']:.0f} s, {build['peak_memory'] / GIB:.1f} GiB at most, {most}"
    rows.append(("built", f"{cost}, nvcc {record['toolchain']['nvcc']}{torch and f', {torch}'}"))
    name, version = outcome.wheel.name.split("-")[:2]
    rows.append(("install", f"pip install --find-links {_short(outcome.wheel.parent)} {name}=={version}"))
    return [("" if index and rows[index - 1][0] == label else label, text) for index, (label, text) in enumerate(rows)]


def _source(source: dict[str, Any]) -> str:
    pinned = f"{source['label']} ({source['kind']} {source['identity'][:12]})"
    if not source["fallback"]:
        return pinned
    skipped = "; ".join(f"{skip['label']}: {skip['reason'].splitlines()[-1]}" for skip in source["skipped"])
    return f"{pinned}, FALLBACK" + (f" because {skipped}" if skipped else ", asked for with --source")


def _gpus(capability: str) -> str:
    return known_for().get(ComputeCapability.parse(capability).base, "")


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
