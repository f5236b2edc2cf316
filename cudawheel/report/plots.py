"""The plot of a build, drawn from its record to stand on a page among others.

It is drawn anew rather than taken from the file beside the wheel: what is in that file could be anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cudawheel.schedule.plot import plot
from cudawheel.schedule.timeline import Timeline

_STYLE = re.compile(r"<style>.*?</style>", re.DOTALL)
_PREFIX = re.compile(r'aria-labelledby="(t[0-9a-f]{8}-)title ')


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """An SVG element whose ids no other has, and the style element that all of them share."""

    svg: str
    style: str


def draw(timeline: Timeline, *, title: str, prefix: str) -> Plot:
    """Draw a timeline for a page.

    Args:
        timeline: what happened.
        title: what it is a picture of.
        prefix: starts every id; no other plot of the page has it.
    """
    svg = plot(timeline, title=title)
    style = _STYLE.search(svg)
    named = _PREFIX.search(svg)
    if style is None or named is None:
        raise AssertionError("a plot has a style sheet and a name")
    # Two builds may be alike to the byte, and so would be what the plot makes its ids of.
    return Plot(svg=_STYLE.sub("", svg, count=1).replace(named[1], f"{prefix}-"), style=style[0])
