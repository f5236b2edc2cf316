"""What a build shows while it runs, and at its end."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from cudawheel.cli import console as progress_module
from cudawheel.cli.console import BuildProgress, print_table, show_error
from cudawheel.cli.outcome import show_attempts, show_outcome
from cudawheel.errors import BuildError
from cudawheel.factory.attempt import Attempt
from cudawheel.factory.factory import Outcome
from cudawheel.factory.replacing import Replaced
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.progress import DONE
from cudawheel.plan.capabilities import Verdict
from cudawheel.plan.plan import Cell


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    sink = io.StringIO()
    return Console(
        file=sink, force_terminal=terminal, _environ={"TERM": "xterm"}, width=200, highlight=False, soft_wrap=True
    ), sink


def tell(progress: BuildProgress) -> None:
    with progress:
        progress.phase("source", "upstream")
        progress.steps(5_000_000, 9_000_000)
        progress.phase("compiling")
        progress.compilers(1 << 30, 5 << 29, 2, 3)
        progress.steps(3, 9)
        progress.note("FALLBACK [bold] is no markup")


def test_a_log_gets_one_line_a_phase_and_a_step() -> None:
    screen, sink = console(terminal=False)
    tell(BuildProgress(screen))
    lines = [line.split("] ", 1)[1] for line in sink.getvalue().splitlines()]
    assert lines == [
        "source upstream",
        "compiling",
        "compiling [3/9]  1.0 of 2.5 GiB, 2 compiling, 3 waiting",
        "FALLBACK [bold] is no markup",
    ]


def test_a_terminal_gets_one_living_line() -> None:
    screen, sink = console(terminal=True)
    progress = BuildProgress(screen)
    tell(progress)
    screen.print(progress._render())
    text = sink.getvalue()
    assert "FALLBACK [bold] is no markup" in text
    assert "compiling  [3/9]" in text
    assert "1.0 of 2.5 GiB, 2 compiling, 3 waiting" in text


def test_nothing_is_said_of_compilers_that_wait_when_none_does() -> None:
    screen, sink = console(terminal=False)
    with BuildProgress(screen) as progress:
        progress.phase("compiling")
        progress.compilers(0, 1 << 30, 1, 0)
        progress.steps(1, 9)
    assert sink.getvalue().splitlines()[-1].endswith("compiling [1/9]  0.0 of 1.0 GiB, 1 compiling")


@pytest.mark.parametrize(("terminal", "lines"), [(False, 2), (True, 0)])
def test_a_log_in_which_nothing_moves_is_told_that_it_goes_on(
    terminal: bool, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen, sink = console(terminal=terminal)
    with BuildProgress(screen) as progress:
        progress.compilers(1 << 30, 5 << 29, 2, 3)
        assert "2 compiling" not in sink.getvalue(), "so soon after it began"
        # As if a minute had passed since the last line, each time.
        monkeypatch.setattr(progress_module, "_HEARTBEAT_SECONDS", -1.0)
        progress.compilers(1 << 30, 5 << 29, 2, 3)
        progress.compilers(2 << 30, 5 << 29, 2, 3)
    said = [line for line in sink.getvalue().splitlines() if line.startswith("[")]
    assert len(said) == lines
    assert [line.split("] ", 1)[1].split("  ")[-1] for line in said] == [
        "1.0 of 2.5 GiB, 2 compiling, 3 waiting",
        "2.0 of 2.5 GiB, 2 compiling, 3 waiting",
    ][:lines]


def tell_of_two(progress: BuildProgress) -> None:
    with progress:
        one, other = progress.of_variant("cp311"), progress.of_variant("cp312")
        one.phase("source", "upstream")
        other.phase("compiling")
        other.steps(1, 2)
        one.note("FALLBACK")
        one.compilers(1 << 30, 2 << 30, 1, 0)
        one.phase("naming")


def test_of_several_builds_each_line_of_a_log_names_its_own() -> None:
    screen, sink = console(terminal=False)
    tell_of_two(BuildProgress(screen))
    lines = [line.split("] ", 1)[1] for line in sink.getvalue().splitlines()]
    assert lines == [
        "cp311: source upstream",
        "cp312: compiling",
        "cp312: compiling [1/2]",
        "cp311: FALLBACK",
        "cp311: naming",
    ]


def test_of_several_builds_a_terminal_shows_a_line_each_and_the_machine_once() -> None:
    screen, sink = console(terminal=True)
    progress = BuildProgress(screen)
    tell_of_two(progress)
    sink.truncate(0)
    screen.print(progress._render())
    shown = [line[line.index("cp31") :] for line in sink.getvalue().splitlines()]
    assert [line.split()[:2] for line in shown] == [["cp311", "naming"], ["cp312", "compiling"]]
    assert "1.0 of 2.0 GiB, 1 compiling" not in shown[0]
    assert "1.0 of 2.0 GiB, 1 compiling" in shown[1]


@pytest.mark.parametrize("terminal", [False, True])
def test_a_build_that_is_at_its_end_is_shown_no_more(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    screen, sink = console(terminal=terminal)
    progress = BuildProgress(screen)
    tell_of_two(progress)
    sink.truncate(0)
    progress.of_variant("cp311").phase(DONE, "in 7 s")
    assert sink.getvalue().rstrip().endswith("cp311: done: in 7 s"), "a line that stays"
    sink.truncate(0)
    monkeypatch.setattr(progress_module, "_HEARTBEAT_SECONDS", -1.0)
    screen.print(progress._render()) if terminal else progress.compilers(1 << 30, 2 << 30, 1, 0)
    (line,) = sink.getvalue().split("\0")[-1].strip().splitlines()
    assert "cp311" not in line
    assert "cp312" in line


def test_a_sign_of_life_names_each_build() -> None:
    screen, sink = console(terminal=False)
    progress = BuildProgress(screen)
    tell_of_two(progress)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress_module, "_HEARTBEAT_SECONDS", -1.0)
        progress.compilers(1 << 30, 2 << 30, 2, 0)
    said = sink.getvalue().splitlines()[-1].split("] ", 1)[1]
    assert said == "cp311: naming; cp312: compiling  [1/2]  1.0 of 2.0 GiB, 2 compiling"


def test_a_terminal_is_left_in_order_when_a_build_fails() -> None:
    screen, sink = console(terminal=True)
    with pytest.raises(BuildError), BuildProgress(screen):
        raise BuildError("no")
    assert sink.getvalue().rstrip().endswith("\x1b[2K") or "\x1b[?25h" in sink.getvalue()


def test_an_error_says_what_why_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    show_error(BuildError("it [failed]", why="line [1]\nline [2]", remedy="do this\nor [that]"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "error: it [failed]  (build failed, exit 14)",
        "  line [1]",
        "  line [2]",
        "→ do this",
        "→ or [that]",
    ]


def outcome(most: int = 2, **source: Any) -> Outcome:
    verdicts = (
        Verdict(capability=ComputeCapability.parse("7.0"), cubin=True, ptx=False, reason="removed in CUDA 13.0"),
        Verdict(capability=ComputeCapability.parse("8.0"), cubin=True, ptx=True),
    )
    record = {
        "audit": {
            "capabilities": {"cubins": ["8.0"], "ptx": ["8.0"]},
            "imported": {"modules": "tiny_ext", "torch": "2.11.0"},
        },
        "source": {"label": "here", "kind": "path", "identity": "0" * 64, "fallback": False, "skipped": [], **source},
        "build": {"seconds": 61.5, "peak_memory": 3 << 30, "most_compilers": most},
        "toolchain": {"nvcc": "13.0.88"},
    }
    wheel = Path.cwd() / "wheelhouse" / "tiny_ext-1.0+cu.13.0-py3-none-any.whl"
    return Outcome(wheel=wheel, record=record, cached=False, cell=Cell(identifier="x", variant=None, verdicts=verdicts))


@pytest.mark.parametrize("terminal", [False, True])
def test_a_table_breaks_no_name_where_there_is_no_screen(terminal: bool) -> None:
    sink = io.StringIO()
    screen = Console(file=sink, force_terminal=terminal, width=40, soft_wrap=True, _environ={"TERM": "xterm"})
    table = Table("cell", "wheel", show_edge=False)
    name = "tiny_ext-1.0+cu.13.0.torch.2.11-cp312-cp312-manylinux_2_34_x86_64.whl"
    table.add_row("cp312", name)
    table.add_row("cp311", "")
    print_table(table, screen)
    lines = sink.getvalue().splitlines()
    assert (name in sink.getvalue()) is not terminal
    assert terminal or (len(lines) == 4 and all(line == line.rstrip() for line in lines))
    assert screen.width == 40


def test_the_end_of_a_build_says_what_was_proven(capsys: pytest.CaptureFixture[str]) -> None:
    show_outcome(outcome(), as_json=False)
    text = capsys.readouterr().out
    assert "wheelhouse/tiny_ext-1.0+cu.13.0-py3-none-any.whl" in text
    assert "7.0: removed in CUDA 13.0" in text
    assert "imports with torch 2.11.0 alone: tiny_ext" in text
    assert "here (path 000000000000)" in text
    assert "FALLBACK" not in text
    assert "pip install --find-links wheelhouse tiny_ext==1.0+cu.13.0" in text


@pytest.mark.parametrize("lost", [("7.5", "8.6"), None, ()])
def test_the_end_of_a_build_warns_of_a_wheel_that_had_more(
    lost: tuple[str, ...] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    made = replace(outcome(), replaced=Replaced(sha256="1" * 64, lost=lost, fingerprint="f" * 64))
    show_outcome(made, as_json=False)
    alone = capsys.readouterr().out
    show_attempts([Attempt(identifier="x", result=made)], as_json=False)
    of_many = capsys.readouterr().out
    for text in (alone, of_many):
        assert ("warning" in text) is (lost != ())
        assert (f"it is still in the store: {'f' * 64}" in text) is (lost != ())
        assert ("that also had 7.5, 8.6;" in text) is bool(lost)
    plain = {"sha256": "1" * 64, "lost": None if lost is None else list(lost), "fingerprint": "f" * 64}
    show_outcome(made, as_json=True)
    assert json.loads(capsys.readouterr().out)["replaced"] == plain
    show_attempts([Attempt(identifier="x", result=made)], as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["replaced"] == plain


@pytest.mark.parametrize(
    ("most", "said"), [(0, "0 compilers at once"), (1, "1 compiler at once"), (3, "3 compilers at once")]
)
def test_the_end_of_a_build_says_what_it_took(most: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_outcome(outcome(most), as_json=False)
    assert f"in 62 s, 3.0 GiB at most, {said}, nvcc 13.0.88, torch 2.11.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("skipped", "said"),
    [
        ([{"label": "upstream", "reason": "fatal: no route\nto host"}], "FALLBACK because upstream: to host"),
        ([], "FALLBACK, asked for with --source"),
    ],
)
def test_the_end_of_a_build_says_that_it_is_a_fallback(
    skipped: list[dict[str, str]], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show_outcome(outcome(fallback=True, skipped=skipped), as_json=False)
    assert said in capsys.readouterr().out
