"""`cudawheel watch` through the command line."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import run_main

from cudawheel.schedule.timeline import Timeline, Unit
from cudawheel.schedule.watch import Watched

Call = Callable[..., tuple[int, str, str]]
LINE = "nvcc fatal   : Unsupported gpu architecture 'compute_120'"
UNIT = Unit(
    build="watch",
    source="a.cu",
    kind="device",
    passes=1,
    threads=1,
    start=0.0,
    end=1.0,
    peak=1,
    outcome="out of memory",
)
KILLED = Watched(
    code=137,
    seconds=1.0,
    timeline=Timeline(reserve=0, cores=2),
    budget="1 GiB of memory",
    confinement="a cgroup of its own",
    kills=1,
    starved=(),
)


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    monkeypatch.setattr("signal.signal", lambda *_words: None)
    monkeypatch.setenv("CUDAWHEEL_CACHE", str(tmp_path / "cache"))

    def call_(*words: str | Path) -> tuple[int, str, str]:
        return run_main(capfd, monkeypatch, *words)

    return call_


def test_watch_passes_output_and_code_on_and_says_what_it_took(call: Call, tmp_path: Path) -> None:
    plot = tmp_path / "a.svg"
    code, out, err = call("watch", "--plot", plot, "--", "sh", "-c", "echo said; echo warned >&2; exit 3")
    assert (code, out) == (3, "said\n")
    assert "warned\n" in err
    assert "exit status 3" in err
    assert f"plot: {plot}" in err
    assert plot.read_text().startswith("<svg")


def test_watch_needs_no_dashes_and_keeps_the_plot_in_its_cache(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("watch", "echo", "--plot", "-x")
    assert (code, out) == (0, "--plot -x\n")
    [plot] = (tmp_path / "cache" / "watch").iterdir()
    assert plot.suffix == ".svg"


def test_watch_explains_what_failed(call: Call) -> None:
    code, _, err = call("watch", "--", "sh", "-c", f'echo "{LINE}"; exit 1')
    assert code == 1
    assert "(unsupported-capability)" in err
    code, _, err = call("watch", "--", "sh", "-c", f'echo "{LINE}"')
    assert code == 0
    assert "(unsupported-capability)" not in err


def test_a_signal_is_told_as_a_shell_tells_it(call: Call) -> None:
    code, _, err = call("watch", "--", "sh", "-c", "kill -TERM $$")
    assert code == 128 + 15
    assert "ended by signal 15" in err


def test_no_secret_of_the_command_gets_into_the_summary_or_the_plot(call: Call, tmp_path: Path) -> None:
    plot = tmp_path / "a.svg"
    code, _, err = call("watch", "--plot", plot, "--", "true", "--index-url", "https://me:s3cr3t@host/simple")
    assert code == 0
    assert "https://***@host/simple" in err
    assert "s3cr3t" not in err + plot.read_text()
    assert all(b"s3cr3t" not in file.read_bytes() for file in (tmp_path / "cache").rglob("*") if file.is_file())


def test_a_plot_that_cannot_be_written_any_more_fails_nothing(call: Call, tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    code, _, err = call("watch", "--plot", tmp_path / "plots" / "a.svg", "rmdir", tmp_path / "plots")
    assert code == 0
    assert f"plot: {tmp_path}/plots/a.svg" in err
    code, _, err = call(
        "watch", "--plot", tmp_path / "plots" / "a.svg", "sh", "-c", "rm -r $0; touch $0", tmp_path / "plots"
    )
    assert code == 0
    assert "no plot: " in err


@pytest.mark.parametrize("folder", ["nowhere", "file"])
def test_a_plot_that_cannot_be_written_is_said_before_the_command_runs(folder: str, call: Call, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = call("watch", "--plot", tmp_path / folder / "a.svg", "touch", tmp_path / "ran")
    assert code == 2
    assert f"there is no folder {tmp_path}/{folder}" in err
    assert not (tmp_path / "ran").exists()


def test_a_command_that_is_not_there_is_said_as_a_shell_says_it(call: Call, tmp_path: Path) -> None:
    assert call("watch", "no-such-thing") == (127, "", "cudawheel: no-such-thing: not found\n")
    (tmp_path / "text").touch()
    assert call("watch", "--", tmp_path / "text")[0] == 126
    assert call("watch", "--", tmp_path / "none")[0] == 127
    assert not (tmp_path / "cache" / "watch").exists()


@pytest.fixture
def ended(call: Call, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Have a watched command ended in some way; gives what is said of it."""

    def ended_(*options: str, compilations: int = 0, **how: Any) -> str:
        timeline = Timeline(reserve=0, cores=2)
        timeline.units += [UNIT] * compilations
        done = replace(KILLED, timeline=timeline, **how)
        monkeypatch.setattr("cudawheel.cli.watch.watch", lambda *_words, **_named: done)
        return " ".join(call("watch", *options, "true")[2].split())

    return ended_


def test_a_program_that_wanted_more_than_it_may_have(ended: Callable[..., str]) -> None:
    said = ended("--memory", "1G")
    assert "--memory 1G was too small: the kernel ended a process of it" in said
    assert "Give it more, or leave --memory out" in said
    assert "cudawheel watch" not in said
    assert "compiler" not in said
    said = ended(kills=3)
    assert "the kernel ended 3 processes of it" in said
    assert "It may take all that is free" in said
    assert "--memory" not in said


def test_what_survived_its_kills_is_not_told_to_take_more(ended: Callable[..., str]) -> None:
    said = ended("--memory", "1G", code=0)
    assert "the kernel ended a process of it for want of memory" in said
    assert "too small" not in said
    assert "Give it more" not in said


def test_a_kill_that_the_cgroup_knows_nothing_of_was_not_for_memory(ended: Callable[..., str]) -> None:
    assert "(out-of-memory)" not in ended(kills=0, code=-9)
    assert "(out-of-memory)" in ended(kills=0, code=-9, confinement="oom_score_adj alone")


def test_one_compilation_is_one(ended: Callable[..., str]) -> None:
    assert "1 compilation, " in ended(compilations=1)
    said = ended(compilations=2)
    assert "2 compilations, " in said
    assert "(out-of-memory)" in said
    assert "cudawheel watch" not in said


def test_watch_without_a_command_or_with_nonsense_is_wrong_usage(call: Call) -> None:
    assert call("watch")[0] == 2
    assert call("watch", "--memory", "much", "true")[0] == 2


def test_where_nothing_can_be_written_watch_says_so(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_named: object) -> str:
        raise PermissionError(13, "Permission denied", os.sep)

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    code, _, err = call("watch", "true")
    assert code == 18
    assert "TMPDIR" in err
