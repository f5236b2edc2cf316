"""Logs of runs that went well, full of words that sound as if they had not."""

from __future__ import annotations

from pathlib import Path

import pytest

from cudawheel.explain.scanner import explain_stream, explain_text

LOGS = sorted((Path(__file__).parents[2] / "data" / "logs").glob("*.txt"))


def test_there_are_forty_and_more() -> None:
    assert len(LOGS) >= 40
    assert all(log.stat().st_size > 20 for log in LOGS)


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_nothing_is_found_where_nothing_went_wrong(log: Path) -> None:
    with log.open("rb") as stream:
        assert explain_stream(stream) == ()


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_a_failure_in_the_middle_of_it_is_found(log: Path) -> None:
    lines = log.read_text(encoding="utf-8").splitlines()
    middle = len(lines) // 2
    lines.insert(middle, "nvcc error   : 'cicc' died due to signal 9 (Kill signal)")
    [found] = explain_text("\n".join(lines))
    assert (found.pattern.id, found.evidence[0].line) == ("out-of-memory", middle + 1)
