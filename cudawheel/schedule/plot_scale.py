"""What a plot is made with: scales, round ticks, how wide words are and where they fit, elements and their style.

Lengths are pixels. The colours are plain rules of a style sheet, once for light and once for dark, since not everything
that draws SVG knows CSS variables.
"""

from __future__ import annotations

import bisect
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from string import Template
from typing import TypeVar
from xml.etree import ElementTree as ET

from cudawheel.schedule.limits import GIB, MIB

_T = TypeVar("_T")
Point = tuple[float, float]
Span = tuple[float, float]

# Font size that all widths are for, unless another is said.
TEXT = 17.0
# A bar that is narrower has no room for its mark.
NARROWEST_MARKED = 22.0

_NICE = (1, 2, 5, 10)
_TIME_UNITS = ((3600.0, "h", "hour"), (60.0, "min", "minute"), (1.0, "s", "second"))
# A unit of time labels an axis once there are more than so many of it; "90 s" reads better than "1.5 min".
_FEWEST_OF_A_UNIT = 2.0

# Advances of DejaVu Sans in ems, rounded up. Of the faces that a reader is likely to have it is the widest: what fits
# with it fits with all.
_NARROW = frozenset("fijlrtI|!.,:;'()[]/\\ -·")
_WIDE = frozenset("mwMW@%…—\u00d7")
_NARROW_EM, _MIDDLE_EM, _UPPER_EM, _WIDE_EM = 0.4, 0.635, 0.75, 1.0
# No label is longer than this; the rest of a longer text need not be measured.
_LONGEST_LABEL = 200
# Less of a name says nothing.
_SHORTEST_NAME = 72.0
# Fewer names than this have nothing in common that goes without saying.
_FEWEST_ALIKE = 3
_ILLEGAL_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_LIGHT = {
    "paper": "#ffffff", "ink": "#1f2933", "muted": "#5b6773", "grid": "#e3e7eb", "used": "#a9c4e2", "edge": "#3f73a8",
    "band": "#e3e7eb", "shade": "#e0a100", "veil": ".18", "threads": "#b4d6cd", "waiting": "#8a4f9e",
    "device": "#d3e2f3", "device_edge": "#3f73a8", "host": "#cfe8e0", "host_edge": "#2f7d69",
    "link": "#e2daf0", "link_edge": "#74569f", "dead": "#fbd9d7", "dead_edge": "#c22f2f",
    "failed": "#fde3c8", "failed_edge": "#b65c06",
}  # fmt: skip
_DARK = {
    "paper": "#10151b", "ink": "#e4e9ee", "muted": "#9aa6b2", "grid": "#28313a", "used": "#2f5579", "edge": "#7fb0e0",
    "band": "#2c3640", "shade": "#f0b83c", "veil": ".24", "threads": "#2c5f55", "waiting": "#cf9be0",
    "device": "#213f5e", "device_edge": "#7fb0e0", "host": "#1d4a40", "host_edge": "#6cc2ab",
    "link": "#3d3157", "link_edge": "#b59ce0", "dead": "#5a2023", "dead_edge": "#ff8080",
    "failed": "#553410", "failed_edge": "#f3a04f",
}  # fmt: skip
_FONT = (
    "font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,'DejaVu Sans',sans-serif;"
    "font-size:17px;font-variant-numeric:tabular-nums"
)
# The class in front keeps the rules from the rest of a page that this is put into.
_RULES = """
text{fill:$ink} .muted{fill:$muted} .strong{font-weight:600} .title{font-size:23px;font-weight:600} .paper{fill:$paper}
.over{paint-order:stroke;stroke:$paper;stroke-width:4px;stroke-linejoin:round;stroke-opacity:.8}
.grid{fill:none;stroke:$grid} .axis{fill:none;stroke:$muted}
.used{fill:$used;stroke:$edge;stroke-width:1.5;stroke-linejoin:round;fill-opacity:.88} .reserve{fill:$band}
.budget{fill:none;stroke:$ink;stroke-width:2.25} .dot{fill:$edge;stroke:$paper;stroke-width:2}
.running{fill:$threads;stroke:$host_edge;stroke-width:1.25;fill-opacity:.88}
.cores{fill:none;stroke:$ink;stroke-width:2;stroke-dasharray:7 5} .waiting{fill:none;stroke:$waiting;stroke-width:1.5}
.withheld{fill:$shade;fill-opacity:$veil} .flag{fill:none;stroke:$shade;stroke-width:2}
.moment{fill:none;stroke:$muted;stroke-width:1.25;stroke-dasharray:2 3}
.disc{fill:$paper;stroke-width:1.5} .mark{fill:none;stroke-width:2;stroke-linecap:round;stroke-linejoin:round}
.killed *{stroke:$dead_edge} .stopped *{stroke:$failed_edge} .again *{stroke:$edge} .alone *{stroke:$link_edge}
.device *{stroke:$device_edge} .device .bar{fill:$device} .host *{stroke:$host_edge} .host .bar{fill:$host}
.link *{stroke:$link_edge} .link .bar{fill:$link} .dead *{stroke:$dead_edge} .dead .bar{fill:$dead}
.failed *{stroke:$failed_edge} .failed .bar{fill:$failed} .unit text{stroke:none} .unit .over{stroke:$paper}
.hatch{fill:none;stroke:$dead_edge;stroke-opacity:.22;stroke-width:2}
.dots{fill:none;stroke:$failed_edge;stroke-opacity:.22;stroke-width:2}
"""

# How a compiler run may look, and what that means.
LOOKS = {"device": "device code", "host": "host code", "link": "link", "dead": "out of memory", "failed": "failed"}
_LINES = frozenset({"budget", "cores", "waiting"})

# Each within a square of 12 pixels around the origin; shapes, so that nothing is told by colour alone.
_MARKS = {
    "device": "M-4-4H4V4H-4Z",
    "host": "M-4.5 0A4.5 4.5 0 1 0 4.5 0A4.5 4.5 0 1 0-4.5 0Z",
    "link": "M0-5.5L5.5 0L0 5.5L-5.5 0Z",
    "dead": "M-4-4L4 4M-4 4L4-4",
    "failed": "M0-5.5V1M0 5.2V5.3",
    "killed": "M-3.5-3.5L3.5 3.5M-3.5 3.5L3.5-3.5",
    "stopped": "M-3-3H3V3H-3Z",
    "again": "M4.2 2A4.6 4.6 0 1 1 3.6-3M3.9-6.2V-2.6H.3",
    "alone": "M-2-2.6L.6-4.6V4.6",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Maps values from 0 to `most` onto pixels, and all others onto the nearer end.

    Attributes:
        most: the largest value, in whatever unit is drawn; more than 0.
        start: pixel of 0.
        end: pixel of `most`.
    """

    most: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Give the pixel of a value."""
        return self.start + (self.end - self.start) * min(1.0, max(0.0, value / self.most))


def ticks(most: float, *, at_most: int, least_step: float = 0.0) -> list[float]:
    """Give round values from 0 up to `most`, a step of 1, 2 or 5 times a power of ten apart.

    Args:
        most: end of the axis, more than 0.
        at_most: so many steps, 3 or more.
        least_step: no finer than this, itself such a step.
    """
    rough = most / at_most
    power = 10.0 ** math.floor(math.log10(rough))
    # The hair forgives a quotient that is a rounding error too large for its step.
    step = max(least_step, next(power * nice for nice in _NICE if power * nice * (1 + 1e-9) >= rough))
    return [multiple * step for multiple in range(math.floor(most / step * (1 + 1e-9)) + 1)]


def time_ticks(seconds: float, *, at_most: int) -> list[tuple[float, str]]:
    """Give round times from 0 up to `seconds`, each with its label in seconds, minutes or hours."""
    size, name = next(
        ((size, name) for size, name, _ in _TIME_UNITS if seconds > _FEWEST_OF_A_UNIT * size), _TIME_UNITS[-1][:2]
    )
    return [(value * size, f"{value:g} {name}" if value else "0") for value in ticks(seconds / size, at_most=at_most)]


def duration(seconds: float, *, spelled: bool = False) -> str:
    """Say a time: `0.4 s`, `97 s`, `4 min 12 s`, `1 h 5 min`.

    Args:
        spelled: with the units as words, for those who listen.
    """
    decimals = 0 if seconds >= 10 else 1  # noqa: PLR2004
    left = round(seconds, decimals)
    first = next((index for index, (size, *_) in enumerate(_TIME_UNITS) if left > _FEWEST_OF_A_UNIT * size), 2)
    words: list[str] = []
    for size, short, word in _TIME_UNITS[first : first + 2]:
        number = left if size == 1 else left // size
        left -= number * size
        if number or not words:
            words.append(f"{number:g} {word}{'s' * (number != 1)}" if spelled else f"{number:g} {short}")
    return " ".join(words)


def memory(size: float) -> str:
    """Say a number of bytes: `85 MiB`, `2.9 GiB`, `120 GiB`."""
    if 0 < size < GIB / 10:
        return f"{size / MIB:.0f} MiB"
    return f"{size / GIB:.0f} GiB" if size >= 100 * GIB else f"{size / GIB:.1f} GiB"


def number(value: float) -> str:
    """Write a length as short as a hundredth of a pixel allows."""
    return f"{round(value, 2):.10g}"


def path(points: Sequence[Point]) -> str:
    """Write a line through points as the data of an SVG path."""
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)


def steps(points: Sequence[Point], end: float) -> list[Point]:
    """Give the corners of a line that keeps each value until the next, and the last one until `end`."""
    following = [*(x for x, _ in points[1:]), max(end, points[-1][0])]
    return [corner for (x, y), until in zip(points, following, strict=True) for corner in ((x, y), (until, y))]


def heights(line: Sequence[Point], left: float, right: float) -> list[float]:
    """Give the y of every piece of a line that reaches between two x."""
    return [y for a, b in pairwise(line) if a[0] <= right and b[0] >= left for y in (a[1], b[1])] or [line[0][1]]


def text_width(text: str, size: float = TEXT) -> float:
    """Give how wide a text is at most, at a font size of `size` pixels."""
    return size * sum(map(_advance, text))


def _advance(character: str) -> float:
    if character in _NARROW:
        return _NARROW_EM
    if character in _WIDE or unicodedata.east_asian_width(character) in "WFA":
        return _WIDE_EM
    return _UPPER_EM if character.isupper() or not character.isascii() else _MIDDLE_EM


def shorten(text: str, room: float, *, size: float = TEXT, in_the_middle: bool = False) -> str:
    """Cut a text down to what fits into `room`, with an ellipsis; give an empty text where not even that fits.

    Args:
        in_the_middle: keep both ends: names of sources often differ in the last part only.
    """
    text = text if len(text) <= _LONGEST_LABEL else text[:_LONGEST_LABEL] + "…"
    if text_width(text, size) <= room:
        return text

    def cut(kept: int) -> str:
        tail = kept // 2 if in_the_middle else 0
        return f"{text[: kept - tail].rstrip()}…{text[len(text) - tail :]}"

    kept = bisect.bisect_right(range(1, len(text)), room, key=lambda length: text_width(cut(length), size))
    return cut(kept) if kept else ""


def inscribe(names: Iterable[str], figures: str, room: float, *, rows: int) -> list[str]:
    """Give the lines of a bar's label with the first name that it fits with, uncut, into `room`; or nothing.

    Args:
        rows: 1 for the figures after the name, 2 for the figures below it.
    """
    labels = ([name, figures] if rows > 1 else [f"{name} {figures}"] for name in names)
    return next((lines for lines in labels if max(map(text_width, lines)) <= room), [])


def squeeze(names: Sequence[str], figures: str, room: float, *, rows: int) -> list[str]:
    """Give the lines of a bar's label cut down to `room`, at need with a part of the last name; at worst nothing."""
    for_name = room if rows > 1 else room - text_width(f" {figures}")
    figures = next((words for words in (figures, figures.partition(", ")[2]) if text_width(words) <= room), "")
    cut = shorten(names[-1], for_name) if for_name >= _SHORTEST_NAME else ""
    name = next((name for name in names[:-1] if text_width(name) <= for_name), cut)
    return [words for words in ([name, figures] if rows > 1 else [f"{name} {figures}".strip()]) if words]


def beginning(names: Iterable[str]) -> str:
    """Give the words that all of some names begin with; nothing where there are too few to tell."""
    several = set(names)
    if len(several) < _FEWEST_ALIKE:
        return ""
    first, last = min(several), max(several)
    same = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[: first.rfind("_", 0, same) + 1]


def beside(
    words: str, before: tuple[float, float], after: tuple[float, float], *, least: float = math.inf
) -> tuple[str, float, str] | None:
    """Place words after something, or before it where only there is room; give them, cut down, their x and anchor.

    Args:
        before: the room in front, from where to where.
        after: the room behind.
        least: cut the words down only where they keep that much; None where they do not.
    """
    in_front, behind, wanted = before[1] - before[0], after[1] - after[0], text_width(words)
    goes_behind = behind >= min(wanted, in_front)
    room = behind if goes_behind else in_front
    if room < min(wanted, least):
        return None
    x, anchor = (after[0], "start") if goes_behind else (before[1], "end")
    return shorten(words, room), x, anchor


def pack(items: Iterable[_T], span: Callable[[_T], Span]) -> list[list[tuple[_T, Span]]]:
    """Put items into as few lanes as hold them without overlap; give the lanes, each from left to right with spans.

    Args:
        items: sorted by where they start.
        span: says where an item starts and ends.
    """
    lanes: list[list[tuple[_T, Span]]] = []
    for item in items:
        start, end = span(item)
        lane = next((lane for lane in lanes if lane[-1][1][1] <= start), None)
        if lane is None:
            lanes.append(lane := [])
        lane.append((item, (start, end)))
    return lanes


def without_folders(text: str) -> str:
    """Leave of each path in a text only the name."""
    return re.sub(r"\S+/(?=\S)", "", text)


def spread(positions: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Move sorted positions apart as little as leaves `gap` between them, or less where all of them need it.

    Args:
        low: no position below this.
        high: no position above this.
    """
    gap = min(gap, (high - low) / max(1, len(positions)))
    moved = list(_push(positions, gap, low))
    return [-position for position in _push([-position for position in reversed(moved)], gap, -high)][::-1]


def _push(positions: Sequence[float], gap: float, low: float) -> Iterator[float]:
    for position in positions:
        yield (low := max(low, position))
        low += gap


def label(parent: ET.Element, kind: str, x: float, y: float, words: str, *, anchor: str = "start") -> None:
    """Write words, of a class, that start at a point, end there or have it in their `middle`."""
    put(parent, "text", kind, text=words, x=x, y=y, **({} if anchor == "start" else {"text-anchor": anchor}))


def put(parent: ET.Element, tag: str, kind: str = "", *, text: str = "", **attributes: float | str) -> ET.Element:
    """Add an element of a class, without what XML cannot hold."""
    element = ET.SubElement(parent, tag, {"class": kind} if kind else {})
    for name, value in attributes.items():
        element.set(name, value if isinstance(value, str) else number(value))
    element.text = _ILLEGAL_IN_XML.sub("\ufffd", text) or None
    return element


def bar(parent: ET.Element, look: str, across: Span, down: Span, *, prefix: str) -> ET.Element:
    """Draw a bar with its mark; give its group.

    Args:
        across: x of its left and right end.
        down: y of its top, and its height.
        prefix: starts the ids of the picture.
    """
    (left, right), (top, height) = across, down
    group = put(parent, "g", f"unit {look}")
    fills = {"dead": f"url(#{prefix}-hatch)", "failed": f"url(#{prefix}-dots)"}
    for kind, fill in (("bar", ""), *([("", fills[look])] if look in fills else [])):
        box = put(group, "rect", kind, x=left + 0.75, y=top, width=right - left - 1.5, height=height, rx=3)
        if fill:
            box.set("fill", fill)
    if right - left >= NARROWEST_MARKED:
        at = f"translate({number(left + 13)} {number(top + height / 2)})"
        put(group, "path", "mark", d=_MARKS[look], transform=at)
    return group


def disc(parent: ET.Element, kind: str, x: float, y: float) -> None:
    """Draw the symbol of an event."""
    group = put(parent, "g", kind, transform=f"translate({number(x)} {number(y)})")
    put(group, "circle", "disc", r=9)
    put(group, "path", "mark", d=_MARKS[kind])


def swatch(parent: ET.Element, kind: str, x: float, y: float, *, prefix: str) -> None:
    """Draw what a legend shows of a thing, 24 pixels wide, from its middle on the left; `prefix` as for bars."""
    if kind in _LINES:
        put(parent, "path", kind, d=path([(x, y), (x + 24, y)]))
    elif kind in LOOKS:
        bar(parent, kind, (x, x + 24), (y - 9, 18), prefix=prefix)
    elif kind in _MARKS:
        disc(parent, kind, x + 12, y)
    else:
        put(parent, "rect", kind, x=x, y=y - 7, width=24, height=14)


def style(svg: ET.Element, *, prefix: str) -> None:
    """Add the style sheet, for light and for dark, and the hatches, whose ids start with `prefix`."""
    rules = re.sub(r"([.\w][^{}]*)\{", r".cudawheel-timeline \1{", _RULES.strip())
    light, dark = (Template(rules).substitute(colours) for colours in (_LIGHT, _DARK))
    sheet = f".cudawheel-timeline{{{_FONT}}}\n{light}\n@media (prefers-color-scheme:dark){{\n{dark}\n}}"
    put(svg, "style", text=sheet)
    for kind, lines in (("hatch", "M-2 10L10-2M-2 2L2-2M6 10L10 6"), ("dots", "M0 4H3")):
        pattern = put(svg, "pattern", id=f"{prefix}-{kind}", width=8, height=8, patternUnits="userSpaceOnUse")
        put(pattern, "path", kind, d=lines)
