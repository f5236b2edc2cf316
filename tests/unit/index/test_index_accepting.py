"""Content negotiation."""

from __future__ import annotations

import pytest

from cudawheel.index.accepting import choose_format
from cudawheel.index.pages import Format

HTML, HTML_V1, JSON = Format.HTML, Format.HTML_V1, Format.JSON_V1
PIP = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", HTML),
        ("  ", HTML),
        ("*/*", HTML),
        (PIP, JSON),
        (BROWSER, HTML),
        ("application/vnd.pypi.simple.v1+html", HTML_V1),
        ("application/vnd.pypi.simple.latest+json", JSON),
        ("application/vnd.pypi.simple.latest+html", HTML_V1),
        ("APPLICATION/VND.PYPI.SIMPLE.V1+JSON", JSON),
        ("text/html;q=0.5, application/vnd.pypi.simple.v1+json;q=0.4", HTML),
        ("text/*;q=0.2, application/*;q=0.3", JSON),
        ("text/html;q=0, */*;q=0.1", JSON),
        ("text/html;level=1;q=0.3, application/vnd.pypi.simple.v1+json;q=0.2", HTML),
        ("text/html;q=much, application/vnd.pypi.simple.v1+json;q=0.2", JSON),
        ("text/html;q=nan", None),
        ("application/json", None),
        ("application/vnd.pypi.simple.v2+json", None),
        ("image/png", None),
        (",;q=1,,", None),
    ],
)
def test_the_best_liked_representation_is_chosen(accept: str, form: Format | None) -> None:
    assert choose_format(accept) is form
