from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cudawheel.errors import WheelError
from cudawheel.wheel.metadata import Headers


def test_folded_headers_and_the_body_come_back_as_they_were() -> None:
    text = b"Name: demo\nLicense: first line\n        second line\nKeywords: a\n\nbody\n\nmore\n"
    headers = Headers.parse(text, "METADATA")
    assert headers.first("license") == "first line\n        second line"
    assert bytes(headers) == text


def test_windows_line_ends_are_read() -> None:
    headers = Headers.parse(b"Name: demo\r\nVersion: 1\r\n\r\nbody\r\n", "METADATA")
    assert headers == Headers((("Name", "demo"), ("Version", "1")), "body\n")


def test_single_fields_are_replaced_and_repeatable_ones_gathered() -> None:
    headers = Headers((("Summary", "old"), ("Classifier", "a")))
    assert headers.add("Summary", "new").get("summary") == ("new",)
    assert headers.add("Classifier", "b").get("Classifier") == ("a", "b")
    assert headers.add("Classifier", "a") == headers


def test_replacing_keeps_the_place_of_the_first() -> None:
    headers = Headers((("A", "1"), ("B", "2"), ("a", "3"), ("C", "4")))
    assert headers.put("A", ("x", "y")).fields == (("A", "x"), ("A", "y"), ("B", "2"), ("C", "4"))


@pytest.mark.parametrize("text", [b"no colon\n", b" folded first\n", b"Name : demo\n", b": empty\n"])
def test_lines_that_are_no_headers_are_refused(text: bytes) -> None:
    with pytest.raises(WheelError, match="no header"):
        Headers.parse(text, "METADATA")


@given(st.binary(max_size=200))
def test_garbage_raises_nothing_but_our_error(data: bytes) -> None:
    with contextlib.suppress(WheelError):
        Headers.parse(data, "METADATA")
