"""Every pattern finds its examples and leaves its near misses alone."""

from __future__ import annotations

import re

import pytest

from cudawheel.explain.pattern import Pattern, known_patterns
from cudawheel.explain.scanner import Scanner, explain_text

KNOWN = known_patterns()
EXAMPLES = [pytest.param(one, text, id=f"{one.id}-{n}") for one in KNOWN for n, text in enumerate(one.examples)]
NEAR_MISSES = [pytest.param(one, text, id=f"{one.id}-{n}") for one in KNOWN for n, text in enumerate(one.near_misses)]


@pytest.mark.parametrize(("pattern", "text"), EXAMPLES)
def test_each_example_is_explained_first_by_its_own_pattern(pattern: Pattern, text: str) -> None:
    found = explain_text(f"[1/9] nvcc -c a.cu\n{text}\nninja: build stopped: subcommand failed.\n")
    assert found[0].pattern.id == pattern.id
    shown = text.splitlines()
    assert all(1 < one.line <= 1 + len(shown) for one in found[0].evidence)
    assert any(one.text == line.strip() for one in found[0].evidence for line in shown)


@pytest.mark.parametrize(("pattern", "text"), NEAR_MISSES)
def test_no_near_miss_is_taken_for_it(pattern: Pattern, text: str) -> None:
    assert pattern.id not in {one.pattern.id for one in explain_text(text)}


@pytest.mark.parametrize("pattern", KNOWN, ids=lambda pattern: pattern.id)
def test_each_regex_matches_a_line_that_holds_a_needle(pattern: Pattern) -> None:
    """A regex whose lines hold no needle would never be asked."""
    for text in pattern.examples:
        scanner = Scanner([pattern])
        scanner.feed(text.encode())
        assert scanner.explanations()
    assert pattern.any or pattern.all


@pytest.mark.parametrize("pattern", KNOWN, ids=lambda pattern: pattern.id)
def test_each_says_why_and_what_helps_in_whole_sentences_with_its_source(pattern: Pattern) -> None:
    assert re.fullmatch(r"https://\S+", pattern.source)
    for text in filter(None, (pattern.cause, pattern.remedy, pattern.recipe)):
        assert text.endswith(".")
    assert not pattern.title.endswith(".")
    assert pattern.examples
    assert pattern.near_misses


@pytest.mark.parametrize("pattern", KNOWN, ids=lambda pattern: pattern.id)
def test_whatever_is_captured_or_not_no_place_stays_open(pattern: Pattern) -> None:
    for text in pattern.examples:
        [found] = [one for one in explain_text(text) if one.pattern.id == pattern.id]
        assert not re.search(r"\{\w+\}", found.cause + found.remedy + found.recipe)


def test_there_are_enough_and_each_is_there_once() -> None:
    assert len(KNOWN) >= 40
    assert len({pattern.id for pattern in KNOWN}) == len(KNOWN)
    assert len({pattern.title for pattern in KNOWN}) == len(KNOWN)
    assert [pattern.rank for pattern in KNOWN] == sorted(pattern.rank for pattern in KNOWN)
