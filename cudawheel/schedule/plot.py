"""A picture of a build, as SVG: memory, threads and compilers against time, and whatever held them up.

It stands alone: no script, no font, no file besides. Every length is in pixels of the view box. The colours are plain
rules of a style sheet, once for light and once for dark, since not everything that draws SVG knows CSS variables.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from string import Template
from xml.etree import ElementTree as ET  # noqa: S405 - only written here

from cudawheel.schedule.limits import GIB, MIB
from cudawheel.schedule.plot_scale import (
    Scale,
    duration,
    memory,
    pack,
    shorten,
    spread,
    text_width,
    ticks,
    time_ticks,
)
from cudawheel.schedule.timeline import Event, Sample, Timeline, Unit

_WIDTH, _LEFT, _RIGHT = 900.0, 58.0, 876.0
_TEXT, _TITLE = 17.0, 23.0
_MOST_LANES = 40
_BAR, _LANE = 26.0, 31.0
_NARROWEST_BAR = 3.0

_LIGHT = {
    "paper": "#ffffff", "ink": "#1f2933", "muted": "#5b6773", "grid": "#e3e7eb", "used": "#a9c4e2", "edge": "#3f73a8",
    "band": "#e9ecef", "shade": "#e0a100", "threads": "#b4d6cd", "waiting": "#8a4f9e",
    "device": "#d3e2f3", "device_edge": "#3f73a8", "host": "#cfe8e0", "host_edge": "#2f7d69",
    "link": "#e2daf0", "link_edge": "#74569f", "dead": "#fbd9d7", "dead_edge": "#c22f2f",
    "failed": "#fde3c8", "failed_edge": "#b65c06",
}  # fmt: skip
_DARK = {
    "paper": "#10151b", "ink": "#e4e9ee", "muted": "#9aa6b2", "grid": "#28313a", "used": "#2f5579", "edge": "#7fb0e0",
    "band": "#252d35", "shade": "#e0b040", "threads": "#2c5f55", "waiting": "#cf9be0",
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
.used{fill:$used;stroke:$edge;stroke-width:1.5;stroke-linejoin:round;fill-opacity:.75} .reserve{fill:$band}
.budget{fill:none;stroke:$ink;stroke-width:2.25} .dot{fill:$edge;stroke:$paper;stroke-width:2}
.running{fill:$threads;stroke:$host_edge;stroke-width:1.25;fill-opacity:.75}
.cores{fill:none;stroke:$ink;stroke-width:2;stroke-dasharray:7 5} .waiting{fill:none;stroke:$waiting;stroke-width:1.5}
.withheld{fill:$shade;fill-opacity:.18} .flag{fill:none;stroke:$shade;stroke-width:2}
.moment{fill:none;stroke:$muted;stroke-width:1.25;stroke-dasharray:2 3}
.disc{fill:$paper;stroke-width:1.5} .mark{fill:none;stroke-width:2;stroke-linecap:round;stroke-linejoin:round}
.killed *{stroke:$dead_edge} .stopped *{stroke:$failed_edge} .again *{stroke:$edge} .alone *{stroke:$link_edge}
.device *{stroke:$device_edge} .device .bar{fill:$device} .host *{stroke:$host_edge} .host .bar{fill:$host}
.link *{stroke:$link_edge} .link .bar{fill:$link} .dead *{stroke:$dead_edge} .dead .bar{fill:$dead}
.failed *{stroke:$failed_edge} .failed .bar{fill:$failed} .unit text{stroke:none}
.hatch{fill:none;stroke:$dead_edge;stroke-opacity:.35;stroke-width:2}
.dots{fill:none;stroke:$failed_edge;stroke-opacity:.35;stroke-width:2}
"""

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
_OUTCOMES = {"device": "device code", "host": "host code", "link": "link", "dead": "out of memory", "failed": "failed"}
_ILLEGAL_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def plot(timeline: Timeline, *, title: str) -> str:
    """Draw a timeline as an SVG document.

    Args:
        timeline: what happened; bytes and seconds.
        title: what it is a picture of, as its heading.
    """
    picture = _Picture.begin(timeline, title)
    y = _header(picture, title)
    if picture.samples:
        y = _memory(picture, y)
        y = _threads(picture, y)
    y = _compilers(picture, y)
    height = _number(y)
    picture.svg.set("viewBox", f"0 0 {_number(_WIDTH)} {height}")
    picture.svg.set("height", height)
    picture.paper.set("height", height)
    return ET.tostring(picture.svg, encoding="unicode")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """What is being drawn: `time` maps seconds onto pixels, `prefix` starts every id."""

    svg: ET.Element
    paper: ET.Element
    prefix: str
    time: Scale
    timeline: Timeline
    samples: Sequence[Sample]
    withheld: Sequence[Event]
    moments: Sequence[Event]

    @classmethod
    def begin(cls, timeline: Timeline, title: str) -> _Picture:
        moments_of = [
            *(sample.at for sample in timeline.samples),
            *(time for event in timeline.events for time in (event.at, event.until or 0.0)),
            *(unit.end for unit in timeline.units),
        ]
        most = max(moments_of, default=0.0)
        # Several pictures may stand on one page, where an id must not occur twice.
        prefix = f"t{zlib.crc32(repr((title, timeline)).encode('utf-8', 'surrogatepass')):08x}"
        svg = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img", "class": "cudawheel-timeline"})
        svg.set("width", _number(_WIDTH))
        svg.set("aria-labelledby", f"{prefix}-title {prefix}-desc")
        events = sorted(timeline.events, key=lambda event: event.at)
        picture = cls(
            svg=svg,
            paper=ET.Element("rect", {"class": "paper", "width": _number(_WIDTH), "rx": "8"}),
            prefix=prefix,
            time=Scale(most=most if most > 0 else 1.0, start=_LEFT, end=_RIGHT),
            timeline=timeline,
            samples=sorted(timeline.samples, key=lambda sample: sample.at),
            withheld=[event for event in events if event.kind == "withheld"],
            moments=[event for event in events if event.kind != "withheld"],
        )
        _put(svg, "title", text=title, id=f"{prefix}-title")
        _put(svg, "desc", text=_description(picture), id=f"{prefix}-desc")
        _put(svg, "style", text=_style())
        for kind, path in (("hatch", "M-2 10L10-2M-2 2L2-2M6 10L10 6"), ("dots", "M0 4H3")):
            size = {"width": 8, "height": 8, "patternUnits": "userSpaceOnUse"}
            _put(_put(svg, "pattern", id=f"{prefix}-{kind}", **size), "path", kind, d=path)
        svg.append(picture.paper)
        return picture

    @property
    def seconds(self) -> float:
        return self.time.most

    def span(self, event: Event) -> tuple[float, float]:
        """Give the pixels at which a span begins and ends; one without an end lasts to the end of all."""
        return self.time(event.at), self.time(self.seconds if event.until is None else event.until)


def _style() -> str:
    rules = re.sub(r"([.\w][^{}]*)\{", r".cudawheel-timeline \1{", _RULES.strip())
    light, dark = (Template(rules).substitute(colours) for colours in (_LIGHT, _DARK))
    return f".cudawheel-timeline{{{_FONT}}}\n{light}\n@media (prefers-color-scheme:dark){{\n{dark}\n}}"


def _header(picture: _Picture, title: str) -> float:
    timeline = picture.timeline
    _label(picture.svg, "title", 24, 38, shorten(title, 0.95 * (_WIDTH - 48), _TITLE))
    facts = [duration(picture.seconds)] if picture.samples or timeline.units else []
    facts += [_count(len(timeline.units), "compiler run")] if timeline.units else []
    if picture.samples:
        peak = max(picture.samples, key=lambda sample: sample.used)
        facts.append(f"peak {memory(peak.used)} of {memory(peak.budget)}")
        facts.append(_count(timeline.cores, "core"))
    troubles = [unit.outcome for unit in timeline.units if unit.outcome != "ok"]
    facts += [f"{troubles.count(outcome)} {outcome}" for outcome in sorted(set(troubles))]
    _label(picture.svg, "muted", 24, 64, shorten(" · ".join(facts), _WIDTH - 48, _TEXT))
    return 78.0


def _description(picture: _Picture) -> str:
    timeline, spoken = picture.timeline, []
    if timeline.units:
        runs = _count(len(timeline.units), "compiler run")
        spoken.append(f"{runs} within {duration(picture.seconds, spelled=True)}.")
    else:
        spoken.append("Nothing was compiled.")
    if picture.samples:
        peak = max(picture.samples, key=lambda sample: sample.used)
        spoken.append(
            f"Memory peaked at {memory(peak.used)} after {duration(peak.at, spelled=True)}, when {memory(peak.budget)} "
            f"might be held and {memory(timeline.reserve)} were kept in reserve."
        )
        running, waiting = (max(getattr(one, name) for one in picture.samples) for name in ("running", "waiting"))
        spoken.append(
            f"At most {_count(running, 'thread')} compiled at once, on {_count(timeline.cores, 'core')}, "
            f"and at most {_count(waiting, 'compiler')} waited."
        )
    for outcome in ("out of memory", "failed"):
        if number := sum(unit.outcome == outcome for unit in timeline.units):
            spoken.append(f"{_count(number, 'compiler run')} ended with: {outcome}.")
    for event in picture.withheld:
        until = picture.seconds if event.until is None else event.until
        spoken.append(f"Nothing was started for {duration(until - event.at, spelled=True)}: {event.text}.")
    return " ".join([*spoken, *(f"{event.kind}: {event.text}." for event in picture.moments)])


def _heading(picture: _Picture, y: float, words: str, entries: Sequence[tuple[str, str]]) -> float:
    """Write the heading of a panel with its legend after it; give where the panel may begin."""
    y += 24
    _label(picture.svg, "strong", _LEFT, y, words)
    x = _LEFT + text_width(words, 1.1 * _TEXT) + 20
    for kind, meaning in entries:
        width = 32 + text_width(meaning, _TEXT)
        if x + width > _RIGHT:
            x, y = _LEFT, y + 26
        _swatch(picture, kind, x, y - 6)
        _label(picture.svg, "muted", x + 32, y, meaning)
        x += width + 18
    return y + 12


def _swatch(picture: _Picture, kind: str, x: float, y: float) -> None:
    if kind in {"budget", "cores", "waiting"}:
        _put(picture.svg, "path", kind, d=_path([(x, y), (x + 24, y)]))
    elif kind in {event.kind for event in picture.moments}:
        _disc(picture.svg, kind, x + 12, y)
    elif kind in _OUTCOMES:
        _bar(picture, kind, (x, x + 24), y - 9, 18)
    else:
        _put(picture.svg, "rect", kind, x=x, y=y - 7, width=24, height=14)


def _events(picture: _Picture, y: float) -> float:
    """Write what held the build up, above the panel whose times they belong to; give where that panel begins."""
    top = y + 26 * (bool(picture.withheld) + bool(picture.moments))
    taken = _LEFT
    spans = [picture.span(event) for event in picture.withheld]
    for event, (left, right), (following, _) in zip(picture.withheld, spans, [*spans[1:], (_RIGHT, 0)], strict=True):
        group = _put(picture.svg, "g", "span")
        length = duration(max(0.0, (picture.seconds if event.until is None else event.until) - event.at))
        _put(group, "title", text=f"withheld from {duration(event.at)} on, for {length}: {event.text}")
        _put(group, "rect", "withheld", x=left, y=y, width=right - left, height=top - y)
        _put(group, "path", "flag", d=_path([(left, y), (left, top)]))
        if place := _beside(f"withheld: {event.text}", (taken, right - 7), (left + 7, following - 10), least=110):
            words, x, anchor = place
            _label(group, "over", x, y + 18, words, anchor)
            taken = x + 12 + (text_width(words, _TEXT) if anchor == "start" else 0.0)
    xs = spread([picture.time(event.at) for event in picture.moments], gap=24, low=_LEFT, high=_RIGHT)
    taken = _LEFT
    for event, x, following in zip(picture.moments, xs, [*xs[1:], _RIGHT + 12], strict=True):
        group = _put(picture.svg, "g", "event")
        _put(group, "title", text=f"{event.kind} after {duration(event.at)}: {event.text}")
        _put(group, "path", "moment", d=_path([(x, top - 14), (picture.time(event.at), top)]))
        _disc(group, event.kind, x, top - 14)
        if place := _beside(event.text, (taken, x - 14), (x + 15, following - 14), least=110):
            words, at, anchor = place
            _label(group, "over muted", at, top - 8, words, anchor)
        taken = x + 14
    return top


def _beside(
    words: str, before: tuple[float, float], after: tuple[float, float], *, least: float
) -> tuple[str, float, str] | None:
    """Place words after something, or before it where only there is room; give them, cut down, their x and anchor.

    Args:
        before: the room in front, from where to where.
        after: the room behind.
        least: shorter words than this are worth nothing, if they had to be cut.
    """
    in_front, behind, wanted = before[1] - before[0], after[1] - after[0], text_width(words, _TEXT)
    goes_behind = behind >= min(wanted, in_front)
    room = behind if goes_behind else in_front
    if room < min(wanted, least):
        return None
    return (shorten(words, room, _TEXT), *((after[0], "start") if goes_behind else (before[1], "end")))


def _backdrop(picture: _Picture, top: float, bottom: float, *, labelled: bool = True) -> float:
    """Draw what lies beneath a panel, with the times below it; give where the next thing may begin."""
    for left, right in map(picture.span, picture.withheld):
        _put(picture.svg, "rect", "withheld", x=left, y=top, width=right - left, height=bottom - top)
    for seconds, words in time_ticks(picture.seconds, at_most=8):
        x = picture.time(seconds)
        _put(picture.svg, "path", "grid", d=_path([(x, top), (x, bottom)]))
        if labelled:
            is_last = x + text_width(words, _TEXT) / 2 > _WIDTH - 4
            _label(picture.svg, "muted", _WIDTH - 4 if is_last else x, bottom + 20, words, "end" if is_last else "middle")
    return bottom + (28.0 if labelled else 8.0)


def _foreground(picture: _Picture, top: float, bottom: float) -> None:
    for event in picture.moments:
        x = picture.time(event.at)
        _put(picture.svg, "path", "moment", d=_path([(x, top), (x, bottom)]))
    _put(picture.svg, "path", "axis", d=_path([(_LEFT, bottom), (_RIGHT, bottom)]))


def _levels(picture: _Picture, scale: Scale, values: Sequence[float], unit: float = 1.0) -> None:
    for value in values:
        y = scale(value * unit)
        _put(picture.svg, "path", "grid", d=_path([(_LEFT, y), (_RIGHT, y)]))
        _label(picture.svg, "muted", _LEFT - 8, y + 6, f"{value:g}", "end")


def _memory(picture: _Picture, y: float) -> float:
    timeline, samples = picture.timeline, picture.samples
    reserve = max(0, timeline.reserve)
    entries = [("used", "in use"), ("budget", "budget")]
    entries += [("reserve", f"reserve, {memory(reserve)}")] if reserve else []
    entries += [("withheld", "nothing started")] if picture.withheld else []
    entries += [(kind, kind) for kind in dict.fromkeys(event.kind for event in picture.moments)]
    top = _events(picture, _heading(picture, y, "Memory, GiB", entries))
    bottom = top + 210
    most = max(MIB, *(max(sample.used, sample.budget + reserve) for sample in samples))
    scale = Scale(most=1.1 * most, start=bottom, end=top)
    after = _backdrop(picture, top, bottom)
    _levels(picture, scale, ticks(scale.most / GIB, at_most=5), GIB)
    budget = _steps([(picture.time(sample.at), scale(sample.budget)) for sample in samples])
    if reserve:
        above = _steps([(picture.time(sample.at), scale(max(0, sample.budget) + reserve)) for sample in samples])
        _put(picture.svg, "path", "reserve", d=f"{_path([*budget, *reversed(above)])}Z")
    used = [(picture.time(sample.at), scale(sample.used)) for sample in samples]
    _put(picture.svg, "path", "used", d=f"{_path([(used[0][0], bottom), *used, (used[-1][0], bottom)])}Z")
    _put(picture.svg, "path", "budget", d=_path(budget))
    _foreground(picture, top, bottom)
    _note_peak(picture, scale, budget, top)
    return after


def _note_peak(picture: _Picture, scale: Scale, budget: Sequence[tuple[float, float]], top: float) -> None:
    """Write the peak's figure where it crosses no line of the budget, and the reserve's name on the other side."""
    peak = max(picture.samples, key=lambda sample: sample.used)
    x, y, words = picture.time(peak.at), scale(peak.used), f"peak {memory(peak.used)}"
    left = min(max(x - text_width(words, _TEXT) / 2, _LEFT + 4), _RIGHT - 4 - text_width(words, _TEXT))
    lines = heights(budget, left, left + text_width(words, _TEXT))
    baseline = y - 11 if y - 30 > max(lines) else min(y - 3, *lines) - 8
    _put(picture.svg, "circle", "dot", cx=x, cy=y, r=5)
    _label(picture.svg, "over strong peak", left, max(baseline, top + 14), words)
    if picture.timeline.reserve > 0:
        width = text_width("reserve", _TEXT)
        at, anchor = (_RIGHT - 8, "end") if x < (_LEFT + _RIGHT) / 2 else (_LEFT + 8, "start")
        low = min(heights(budget, *((at - width, at) if anchor == "end" else (at, at + width))))
        thick = scale(0) - scale(picture.timeline.reserve)
        _label(picture.svg, "over muted", at, low - (thick / 2 - 6 if thick >= 22 else thick + 5), "reserve", anchor)


def _threads(picture: _Picture, y: float) -> float:
    cores, samples = picture.timeline.cores, picture.samples
    waiting = max(sample.waiting for sample in samples)
    entries = [("running", "running"), ("cores", count(cores, "core")), ("waiting", f"waiting, at most {waiting}")]
    top = _heading(picture, y, "Threads", entries)
    bottom = top + 96
    busiest = max(1, cores, *(sample.running for sample in samples))
    # However long the queue is, what runs has to remain visible; the legend says how long it was.
    scale = Scale(most=1.1 * min(max(busiest, waiting), 3 * busiest), start=bottom, end=top)
    after = _backdrop(picture, top, bottom)
    _levels(picture, scale, ticks(scale.most, at_most=4, least_step=1))
    running = _steps([(picture.time(sample.at), scale(sample.running)) for sample in samples])
    _put(picture.svg, "path", "running", d=f"{_path([(running[0][0], bottom), *running, (_RIGHT, bottom)])}Z")
    _put(picture.svg, "path", "waiting", d=_path(_steps([(picture.time(s.at), scale(s.waiting)) for s in samples])))
    _put(picture.svg, "path", "cores", d=_path([(_LEFT, scale(cores)), (_RIGHT, scale(cores))]))
    _foreground(picture, top, bottom)
    return after


def _compilers(picture: _Picture, y: float) -> float:
    """Draw a bar for each compiler run, those of one build together, and say how many there is no room for."""
    units = sorted(picture.timeline.units, key=lambda unit: unit.start)
    looks = [(look, meaning) for look, meaning in _OUTCOMES.items() if look in map(_look, units)]
    if not units:
        words = "no compiler has finished" if any(one.running for one in picture.samples) else "nothing was compiled"
        _label(picture.svg, "muted nothing", _WIDTH / 2, y + 40, words, "middle")
        return y + 72
    y = _heading(picture, y, "Compilers", looks)
    if not picture.samples and picture.timeline.events:
        y = _events(picture, y)
    shown, left_out = units, 0
    ...
