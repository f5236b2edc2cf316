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


@pytest.mark.parametrize(
    ("line", "known"),
    [
        ("error: command 'nvcc' failed: No such file or directory", "no-nvcc"),
        ("ptxas fatal : Value 'sm_120' is not defined for option 'gpu-name'", "ptxas-too-old"),
        ("undefined symbol: cudaGetDriverEntryPointByVersion, version libcudart.so.12", "cuda-library-too-old"),
        ("CMake Error: CMAKE_CUDA_ARCHITECTURES must be non-empty", "cmake-no-capabilities"),
        ("g++: error: unrecognized command-line option '-std=c++20'", "host-compiler-too-old"),
        ("a.whl has an unsupported platform tag: manylinux_2_35_x86_64", "platform-tag-refused"),
        ("ImportError: libc10.so: cannot open shared object file: No such file or directory", "torch-library-missing"),
    ],
)  # fmt: skip
def test_a_line_has_one_cause_and_no_other(line: str, known: str) -> None:
    assert [one.pattern.id for one in explain_text(line)] == [known]


def test_the_compiler_that_is_advised_is_one_that_the_cause_allows() -> None:
    [found] = explain_text("#error -- unsupported GNU version! gcc versions later than 12 are not supported!")
    advised = set(re.findall(r"(?:gcc|g\+\+)[- ](\d+)", found.remedy + found.recipe))
    assert advised == {"12"}


def test_a_wheel_that_does_not_fit_is_named_with_its_tag() -> None:
    [found] = explain_text(
        "ERROR: x/a_b-1.0+cu13-cp310-abi3-manylinux_2_34_x86_64.whl is not a supported wheel on this platform."
    )
    assert "a_b-1.0+cu13-cp310-abi3-manylinux_2_34_x86_64.whl is for cp310-abi3-manylinux_2_34_x86_64 " in found.cause


def test_where_no_nvcc_is_found_it_is_said_that_a_build_of_ours_needs_none() -> None:
    [found] = explain_text("nvcc: command not found")
    assert "brings its own nvcc" in found.recipe
