"""A picture of a build, as SVG: memory, threads and compilers against time, and whatever held them up.

It stands alone: no script, no font, no file besides. Every length is in pixels of the view box.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from cudawheel.model.counting import count
from cudawheel.schedule.limits import GIB
from cudawheel.schedule.plot_scale import (
    LOOKS,
    NARROWEST_MARKED,
    TEXT,
    Point,
    Scale,
    Span,
    bar,
    beginning,
    beside,
    disc,
    duration,
    heights,
    inscribe,
    label,
    memory,
    number,
    pack,
    path,
    put,
    shorten,
    spread,
    squeeze,
    steps,
    style,
    swatch,
    text_width,
    ticks,
    time_ticks,
    without_folders,
)
from cudawheel.schedule.timeline import Event, Sample, Timeline, Unit

_WIDTH, _MARGIN, _LEFT, _RIGHT = 900.0, 24.0, 58.0, 876.0
# With few lanes there is room for two lines of text in a bar.
_BAR, _TALL_BAR, _MOST_TALL_LANES, _MOST_LANES = 26.0, 45.0, 24, 40
_NARROWEST_BAR = 3.0
_MOST_SPOKEN = 5
# Less than this on the axis of time would be all decimals, in seconds.
_SHORTEST = 0.1


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
    picture.svg.set("viewBox", f"0 0 {number(_WIDTH)} {number(y)}")
    picture.svg.set("height", number(y))
    return ET.tostring(picture.svg, encoding="unicode")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """What is being drawn: `time` maps seconds onto pixels, `last` is the last of them, `prefix` starts every id."""

    svg: ET.Element
    prefix: str
    time: Scale
    last: float
    timeline: Timeline
    samples: Sequence[Sample]
    withheld: Sequence[Event]
    moments: Sequence[Event]

    @classmethod
    def begin(cls, timeline: Timeline, title: str) -> _Picture:
        ends = [
            *(sample.at for sample in timeline.samples),
            *(event.until or event.at for event in timeline.events),
            *(unit.end for unit in timeline.units),
        ]
        last = max(0.0, 0.0, *ends)
        # Several pictures may stand on one page, where an id must not occur twice.
        prefix = f"t{zlib.crc32(repr((title, timeline)).encode('utf-8', 'surrogatepass')):08x}"
        svg = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img", "class": "cudawheel-timeline"})
        svg.attrib |= {"width": number(_WIDTH), "aria-labelledby": f"{prefix}-title {prefix}-desc"}
        events = sorted(timeline.events, key=lambda event: event.at)
        picture = cls(
            svg=svg,
            prefix=prefix,
            time=Scale(most=max(last, _SHORTEST), start=_LEFT, end=_RIGHT),
            last=last,
            timeline=timeline,
            samples=sorted(timeline.samples, key=lambda sample: sample.at),
            withheld=[event for event in events if event.kind == "withheld"],
            moments=[event for event in events if event.kind != "withheld"],
        )
        put(svg, "title", text=title, id=f"{prefix}-title")
        put(svg, "desc", text=_description(picture), id=f"{prefix}-desc")
        style(svg, prefix=prefix)
        put(svg, "rect", "paper", width="100%", height="100%", rx=8)
        return picture

    @property
    def peak(self) -> Sample:
        """The sample with the most memory in use."""
        return max(self.samples, key=lambda sample: sample.used)

    def span(self, event: Event) -> tuple[float, float]:
        """Give the pixels at which a span begins and ends; an open one lasts to the end of all."""
        left = self.time(event.at)
        return left, max(left, self.time(self.end_of(event)))

    def end_of(self, event: Event) -> float:
        """Give the second at which a span ends."""
        return max(event.at, self.last if event.until is None else event.until)


def _header(picture: _Picture, title: str) -> float:
    timeline = picture.timeline
    label(picture.svg, "title", _MARGIN, 38, shorten(title, _WIDTH - 2 * _MARGIN, size=1.45 * TEXT))
    facts = [duration(picture.last)] if picture.samples or timeline.units else []
    facts += [count(len(timeline.units), "compiler run")] if timeline.units else []
    if picture.samples:
        facts.append(f"peak {memory(picture.peak.used)} of {memory(picture.peak.budget)}")
    troubles = [unit.outcome for unit in timeline.units if unit.outcome != "ok"]
    facts += [f"{troubles.count(outcome)} {outcome}" for outcome in sorted(set(troubles))]
    label(picture.svg, "muted", _MARGIN, 64, shorten(" · ".join(facts), _WIDTH - 2 * _MARGIN))
    return 78.0


def _description(picture: _Picture) -> str:
    timeline, spoken = picture.timeline, ["Nothing was compiled."]
    if timeline.units:
        spoken = [f"{count(len(timeline.units), 'compiler run')} within {duration(picture.last, spelled=True)}."]
    if picture.samples:
        peak = picture.peak
        running, waiting = max(s.running for s in picture.samples), max(s.waiting for s in picture.samples)
        spoken.append(
            f"Memory peaked at {memory(peak.used)} after {duration(peak.at, spelled=True)}, when {memory(peak.budget)} "
            f"might be held and {memory(timeline.reserve)} were kept in reserve. At most {count(running, 'thread')} "
            f"compiled at once, on {count(timeline.cores, 'core')}, and at most {count(waiting, 'compiler')} waited."
        )
    for outcome in ("out of memory", "failed"):
        if runs := sum(unit.outcome == outcome for unit in timeline.units):
            spoken.append(f"{count(runs, 'compiler run')} ended with: {outcome}.")
    for event in picture.withheld[:_MOST_SPOKEN]:
        length = duration(picture.end_of(event) - event.at, spelled=True)
        spoken.append(f"Nothing was started for {length}: {event.text}.")
    spoken += [f"{event.kind.capitalize()}: {event.text}." for event in picture.moments[:_MOST_SPOKEN]]
    return " ".join(spoken)


def _heading(picture: _Picture, y: float, words: str, entries: Sequence[tuple[str, str]]) -> float:
    """Write the heading of a panel with its legend after it; give where the panel may begin."""
    y += 24
    label(picture.svg, "strong", _MARGIN, y, words)
    begin = x = _MARGIN + 1.1 * text_width(words) + 20
    for kind, meaning in entries:
        width = 32 + text_width(meaning)
        if x + width > _RIGHT:
            x, y = begin, y + 26
        swatch(picture.svg, kind, x, y - 6, prefix=picture.prefix)
        label(picture.svg, "muted", x + 32, y, meaning)
        x += width + 18
    return y + 12


def _events(picture: _Picture, y: float) -> float:
    """Write what held the build up, above the panel whose times they belong to; give where that panel begins."""
    top = y + 26 * (bool(picture.withheld) + bool(picture.moments))
    taken = _LEFT
    spans = [picture.span(event) for event in picture.withheld]
    for event, (left, right), (following, _) in zip(picture.withheld, spans, [*spans, (_RIGHT, 0.0)][1:], strict=True):
        length = duration(picture.end_of(event) - event.at)
        group = put(picture.svg, "g", "span")
        put(group, "title", text=f"withheld after {duration(event.at)}, for {length}: {event.text}")
        put(group, "rect", "withheld", x=left, y=y, width=right - left, height=top - y)
        put(group, "path", "flag", d=path([(left, y), (left, top)]))
        before, after = (taken, right - 7), (max(taken, left + 7), following - 10)
        if place := beside(without_folders(event.text), before, after, least=170):
            words, x, anchor = place
            label(group, "over", x, y + 18, words, anchor=anchor)
            taken = x + 12 + text_width(words) * (anchor == "start")
    taken = _LEFT
    xs = spread([picture.time(event.at) for event in picture.moments], gap=24, low=_LEFT, high=_RIGHT)
    for event, x, following in zip(picture.moments, xs, [*xs, _RIGHT + 12][1:], strict=True):
        group = put(picture.svg, "g", "event")
        put(group, "title", text=f"{event.kind} after {duration(event.at)}: {event.text}")
        put(group, "path", "moment", d=path([(x, top - 14), (picture.time(event.at), top)]))
        disc(group, event.kind, x, top - 14)
        if place := beside(without_folders(event.text), (taken, x - 14), (x + 15, following - 14), least=170):
            words, at, anchor = place
            label(group, "over muted", at, top - 8, words, anchor=anchor)
            taken = x + 24 + text_width(words) * (anchor == "start")
        else:
            taken = x + 14
    return top


def _backdrop(picture: _Picture, top: float, bottom: float) -> float:
    """Draw what lies beneath a panel, with the times below it; give where the next thing may begin."""
    for left, right in map(picture.span, picture.withheld):
        put(picture.svg, "rect", "withheld", x=left, y=top, width=right - left, height=bottom - top)
    for seconds, words in time_ticks(picture.time.most, at_most=10):
        x = picture.time(seconds)
        put(picture.svg, "path", "grid", d=path([(x, top), (x, bottom)]))
        is_last = x + text_width(words) / 2 > _WIDTH - 4
        at, anchor = (_WIDTH - 4, "end") if is_last else (x, "middle")
        label(picture.svg, "muted", at, bottom + 20, words, anchor=anchor)
    return bottom + 28


def _foreground(picture: _Picture, top: float, bottom: float) -> None:
    for event in picture.moments:
        x = picture.time(event.at)
        put(picture.svg, "path", "moment", d=path([(x, top), (x, bottom)]))
    put(picture.svg, "path", "axis", d=path([(_LEFT, bottom), (_RIGHT, bottom)]))


def _levels(picture: _Picture, scale: Scale, values: Sequence[float], unit: float = 1.0) -> None:
    for value in values:
        y = scale(value * unit)
        put(picture.svg, "path", "grid", d=path([(_LEFT, y), (_RIGHT, y)]))
        label(picture.svg, "muted", _LEFT - 8, y + 6, f"{value:g}", anchor="end")


def _memory(picture: _Picture, y: float) -> float:
    samples, reserve = picture.samples, max(0, picture.timeline.reserve)
    entries = [("used", "in use"), ("budget", "budget")]
    entries += [("reserve", f"reserve, {memory(reserve)}")] if reserve else []
    entries += [("withheld", "nothing started")] if picture.withheld else []
    entries += [(kind, kind) for kind in dict.fromkeys(event.kind for event in picture.moments)]
    top = _events(picture, _heading(picture, y, "Memory, GiB", entries))
    bottom = top + 210
    most = max(GIB / 4, *(max(sample.used, sample.budget + reserve) for sample in samples))
    scale = Scale(most=1.1 * most, start=bottom, end=top)
    after = _backdrop(picture, top, bottom)
    _levels(picture, scale, ticks(scale.most / GIB, at_most=5), GIB)
    budget = steps([(picture.time(sample.at), scale(sample.budget)) for sample in samples], _RIGHT)
    if reserve:
        above = steps([(picture.time(s.at), scale(max(0, s.budget) + reserve)) for s in samples], _RIGHT)
        put(picture.svg, "path", "reserve", d=f"{path([*budget, *reversed(above)])}Z")
    used = [(picture.time(sample.at), scale(sample.used)) for sample in samples]
    put(picture.svg, "path", "used", d=f"{path([(used[0][0], bottom), *used, (used[-1][0], bottom)])}Z")
    put(picture.svg, "path", "budget", d=path(budget))
    _foreground(picture, top, bottom)
    _note_peak(picture, scale, budget)
    return after


def _note_peak(picture: _Picture, scale: Scale, budget: Sequence[Point]) -> None:
    """Write the peak's figure where it crosses no line of the budget, and the reserve's name on the other side."""
    peak = picture.peak
    x, y, words = picture.time(peak.at), scale(peak.used), f"peak {memory(peak.used)}"
    width = 1.1 * text_width(words)
    left = min(max(x - width / 2, _LEFT + 6), _RIGHT - 6 - width)
    lines = heights(budget, left, left + width)
    baseline = y - 12 if y - 32 > max(lines) else min(y - 4, *lines) - 8
    put(picture.svg, "circle", "dot", cx=x, cy=y, r=5)
    label(picture.svg, "over strong", left + width / 2, max(baseline, scale.end + 14), words, anchor="middle")
    if picture.timeline.reserve > 0:
        middle, near, width = left + width / 2, width + text_width("reserve"), text_width("reserve")
        crossing = [picture.time(event.at) for event in picture.moments]
        # At one end or the other: far from the peak's figure, and where no event's line crosses it.
        left = min(
            (_LEFT + 8, _RIGHT - 8 - width),
            key=lambda x: (abs(x - middle) < near) + sum(x - 4 <= line <= x + width + 4 for line in crossing),
        )
        thick = scale(0) - scale(picture.timeline.reserve)
        above, kind = (thick / 2 - 6, "muted") if thick >= TEXT + 5 else (thick + 6, "over muted")
        baseline = min(heights(budget, left, left + width)) - above
        label(picture.svg, kind, left, max(baseline, scale.end + 14), "reserve")


def _threads(picture: _Picture, y: float) -> float:
    cores, samples = picture.timeline.cores, picture.samples
    waiting = max(sample.waiting for sample in samples)
    words = f"waiting, at most {waiting}" if waiting else "none waiting"
    entries = [("running", "running"), ("cores", count(cores, "core")), ("waiting", words)]
    top = _heading(picture, y, "Threads", entries)
    bottom = top + 96
    busiest = max(1, cores, *(sample.running for sample in samples))
    # However long the queue is, what runs has to remain visible; the legend says how long it was.
    scale = Scale(most=1.1 * min(max(busiest, waiting), 3 * busiest), start=bottom, end=top)
    after = _backdrop(picture, top, bottom)
    _levels(picture, scale, ticks(scale.most, at_most=4, least_step=1))
    running = steps([(picture.time(sample.at), scale(sample.running)) for sample in samples], _RIGHT)
    queue = steps([(picture.time(sample.at), scale(sample.waiting)) for sample in samples], _RIGHT)
    put(picture.svg, "path", "running", d=f"{path([(running[0][0], bottom), *running, (_RIGHT, bottom)])}Z")
    put(picture.svg, "path", "waiting", d=path(queue))
    put(picture.svg, "path", "cores", d=path([(_LEFT, scale(cores)), (_RIGHT, scale(cores))]))
    _foreground(picture, top, bottom)
    return after


def _compilers(picture: _Picture, y: float) -> float:
    """Draw a bar for each compiler run, those of one build together, and say how many were left out."""
    units = picture.timeline.units
    if not picture.samples and picture.timeline.events:
        y = _events(picture, y)
    if not units:
        words = "no compiler has finished" if any(one.running for one in picture.samples) else "nothing was compiled"
        label(picture.svg, "muted", _WIDTH / 2, y + 40, words, anchor="middle")
        return y + 76
    present = set(map(_look, units))
    top = y = _heading(picture, y, "Compilers", [(look, name) for look, name in LOOKS.items() if look in present])
    builds, shown = _lanes(picture, units), units
    if sum(map(len, builds.values())) > _MOST_LANES:
        shown = sorted(units, key=lambda unit: unit.start - unit.end)[:_MOST_LANES]
        builds = _lanes(picture, shown)
    lanes = sum(map(len, builds.values()))
    height = _TALL_BAR if lanes <= _MOST_TALL_LANES else _BAR
    heading = 26.0 * (len({unit.build for unit in units}) > 1)
    after = _backdrop(picture, top, bottom := top + 6 + heading * len(builds) + (height + 5) * lanes)
    _foreground(picture, top, bottom)
    for build, its_lanes in builds.items():
        if heading:
            label(picture.svg, "over strong", _LEFT + 6, y + 20, shorten(build, 0.9 * (_RIGHT - _LEFT)))
        y += heading
        its_units = [(unit.kind, unit.source.rpartition("/")[2]) for lane in its_lanes for unit, _ in lane]
        alike = {kind: beginning(name for other, name in its_units if other == kind) for kind in dict(its_units)}
        for lane in its_lanes:
            taken = _LEFT
            for (unit, extent), following in zip(lane, [*(left for _, (left, _) in lane[1:]), _RIGHT], strict=True):
                taken = _compiler(picture, unit, (taken, *extent, following), (y + 4, height), alike[unit.kind])
            y += height + 5
    if len(shown) < len(units):
        words = f"the {_MOST_LANES} longest runs; {count(len(units) - len(shown), 'shorter one')} left out"
        label(picture.svg, "muted", _LEFT, after + 18, words)
        after += 30
    return after + 8


def _lanes(picture: _Picture, units: Sequence[Unit]) -> dict[str, list[list[tuple[Unit, Span]]]]:
    """Give the lanes of each build, each with its bars from left to right and where these begin and end."""

    def span(unit: Unit) -> Span:
        left = min(picture.time(unit.start), _RIGHT - _NARROWEST_BAR)
        return left, max(left + _NARROWEST_BAR, picture.time(unit.end))

    units = sorted(units, key=lambda unit: unit.start)
    builds = dict.fromkeys(unit.build for unit in units)
    return {build: pack((unit for unit in units if unit.build == build), span) for build in builds}


def _compiler(picture: _Picture, unit: Unit, extent: Sequence[float], down: Span, alike: str) -> float:
    """Draw the bar of a compiler run and write its name where there is room; give where the next name may begin.

    Args:
        extent: where its name may begin at the earliest, where the bar begins and ends, and where the name has to end.
        down: y of the bar's top, and its height.
        alike: what a short name can do without at its beginning.
    """
    taken, left, right, following = extent
    peak = memory(unit.peak) if unit.outcome == "ok" else f"{memory(unit.peak)}, {unit.outcome}"
    figures = f"\u00d7{unit.threads}, {peak}"
    group = bar(picture.svg, _look(unit), (left, right), down, prefix=picture.prefix)
    everything = (
        f"{unit.build}: {unit.source}, {unit.kind}, {unit.outcome}; {count(unit.threads, 'thread')} for "
        f"{count(unit.passes, 'pass', 'passes')}, {memory(unit.peak)} in its largest process, "
        f"from {duration(unit.start)} to {duration(unit.end)}"
    )
    put(group, "title", text=everything)
    start = 25 if right - left >= NARROWEST_MARKED else 7
    inside, rows = right - left - start - 6, 2 if down[1] == _TALL_BAR else 1
    name = unit.source.rpartition("/")[2]
    stem = name.rpartition(".")[0] or name
    names = (unit.source, name, stem, stem.removeprefix(alike))
    lines = inscribe(names, figures, inside, rows=rows)
    if not lines:
        if place := beside(f"{name} {figures}", (taken + 7, left - 7), (right + 7, following - 7)):
            words, x, anchor = place
            label(group, "over", x, down[0] + down[1] / 2 + 6, words, anchor=anchor)
            return right + 7 + text_width(words) * (anchor == "start")
        lines = squeeze(names, figures, inside, rows=rows)
    clip = put(group, "svg", x=left, y=down[0], width=right - left, height=down[1])
    for row, words in enumerate(lines):
        label(clip, "", start, down[1] / 2 + 6 + 19 * (row - (len(lines) - 1) / 2), words)
    return right


def _look(unit: Unit) -> str:
    if unit.outcome != "ok":
        return "dead" if unit.outcome == "out of memory" else "failed"
    return unit.kind if unit.kind in LOOKS else "host"
