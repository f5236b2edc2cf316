"""Whatever stands in a build record, there is a page in the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from html_check import read_page
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from report_values import full_wheel, make_survey, record_json

from cudawheel.report.build_record import BuildRecord
from cudawheel.report.page import render

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=1 << 61, max_value=1 << 63),
    st.floats(),
    st.floats(min_value=0, max_value=1e9),
    st.text(),
    st.sampled_from(
        ["</svg></style><script>", "]]>", "-->", "<!--", "2026-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"]
    ),
    st.lists(st.lists(st.integers(min_value=0, max_value=1 << 62), min_size=5, max_size=5), max_size=4),
    # Made anew each time: one and the same would contain itself once it is put into a place of its own.
    st.builds(list),
    st.builds(dict),
)


def places(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place of a record, as keys and indices from the top."""
    if place:
        yield place
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*place, key))


@given(st.lists(st.tuples(st.sampled_from(list(places(record_json()))), VALUES), min_size=1, max_size=4))
def test_any_record_is_refused_or_shown(changes: list[tuple[tuple[str | int, ...], Any]]) -> None:
    record: Any = record_json()
    for place, value in changes:
        at = record
        try:
            for key in place[:-1]:
                at = at[key]
            at[place[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    try:
        read = BuildRecord.model_validate_json(json.dumps(record))
    except ValidationError:
        return
    page = read_page(render(make_survey(full_wheel(record=read)), written=datetime(2026, 1, 1, tzinfo=timezone.utc)))
    assert len(list(page.every("script"))) == 1
