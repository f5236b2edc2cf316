"""The picture of a build: what is drawn where, that it can be read, and that no timeline breaks it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cudawheel.schedule.limits import GIB, MIB
from cudawheel.schedule.plot import plot
from cudawheel.schedule.plot_scale import (
    Scale,
    beginning,
    duration,
    memory,
    shorten,
    spread,
    text_width,
    ticks,
    time_ticks,
)
from cudawheel.schedule.timeline import Event, Sample, Timeline, Unit

SVG = "{http://www.w3.org/2000/svg}"
LEFT, RIGHT, WIDTH = 58.0, 876.0, 900.0


def sample(at: float, used: float, *, budget: float = 6.0, running: int = 1, waiting: int = 0) -> Sample:
    return Sample(at=at, used=int(used * GIB), budget=int(budget * GIB), running=running, waiting=waiting)


def unit(
    start: float, end: float, *, source: str = "a.cu", build: str = "one 1.0", kind: str = "device", outcome: str = "ok"
) -> Unit:
    return Unit(
        build=build, source=source, kind=kind, passes=2, threads=2, start=start, end=end, peak=3 * GIB, outcome=outcome
    )


def timeline(
    samples: tuple[Sample, ...] = (), units: tuple[Unit, ...] = (), events: tuple[Event, ...] = ()
) -> Timeline:
    return Timeline(reserve=GIB, cores=2, samples=list(samples), units=list(units), events=list(events))


SAMPLES = (sample(0, 0.5), sample(20, 3), sample(50, 4.5, budget=5), sample(100, 1, budget=5))


def draw(shown: Timeline, title: str = "one 1.0") -> ET.Element:
    return ET.fromstring(plot(shown, title=title))  # noqa: S314


def of_class(picture: ET.Element, name: str) -> list[ET.Element]:
    """Every element that has a class."""
    return [element for element in picture.iter() if name in element.get("class", "").split()]


def words(picture: ET.Element) -> list[str]:
    """Everything that is written, tooltips aside."""
    return [element.text or "" for element in picture.iter(f"{SVG}text")]


def tooltips(picture: ET.Element, name: str) -> list[str]:
    return [title.text or "" for group in of_class(picture, name) for title in group.iter(f"{SVG}title")]


def points(element: ET.Element) -> list[tuple[float, float]]:
    """The corners of a path that is made of straight lines."""
    pairs = [pair.split() for pair in re.split("[MLZ]", element.get("d", "")) if pair]
    return [(float(x), float(y)) for x, y in pairs]


def value_axis(picture: ET.Element, panel: str) -> Scale:
    """The scale of the panel below a heading, as a reader would make it out from the numbers on the left."""
    texts = list(picture.iter(f"{SVG}text"))
    below = texts[[text.text for text in texts].index(panel) :]
    labels = [text for text in below if float(text.get("x", 0)) == LEFT - 8 and text.get("text-anchor") == "end"]
    (first, second), *_ = itertools.pairwise(labels)
    zero, one = float(first.get("y", 0)) - 6, float(second.get("y", 0)) - 6
    assert first.text == "0"
    step = float(second.text or 0)
    # Far beyond the panel, so that nothing is clipped here.
    return Scale(most=step * 1000, start=zero, end=zero + (one - zero) * 1000)


def x_of(seconds: float, end: float) -> float:
    return LEFT + (RIGHT - LEFT) * seconds / end


def extents(picture: ET.Element) -> Iterator[tuple[float, float, float]]:
    """The top, the left and the right of each bar that is not of the legend."""
    for group in of_class(picture, "unit"):
        if group.find(f"{SVG}title") is not None:
            box = next(iter(group.iter(f"{SVG}rect")))
            left = float(box.get("x", 0))
            yield float(box.get("y", 0)), left, left + float(box.get("width", 0))


def test_used_memory_is_an_area_through_the_samples() -> None:
    picture = draw(timeline(SAMPLES))
    axis = value_axis(picture, "Memory, GiB")
    area = points(of_class(picture, "used")[-1])
    expected = [(x_of(one.at, 100), axis(one.used / GIB)) for one in SAMPLES]
    assert area[1:-1] == [pytest.approx(point, abs=0.02) for point in expected]
    assert [y for _, y in (area[0], area[-1])] == [pytest.approx(axis(0))] * 2


def test_the_budget_is_a_line_that_steps_at_the_samples() -> None:
    picture = draw(timeline(SAMPLES))
    axis = value_axis(picture, "Memory, GiB")
    line = points(of_class(picture, "budget")[-1])
    for one, following in zip(SAMPLES, [20, 50, 100, 100], strict=True):
        y = pytest.approx(axis(one.budget / GIB), abs=0.02)
        assert (pytest.approx(x_of(one.at, 100), abs=0.02), y) in line
        assert (pytest.approx(x_of(following, 100), abs=0.02), y) in line


def test_the_reserve_lies_on_the_budget_and_has_its_name() -> None:
    picture = draw(timeline(SAMPLES))
    axis = value_axis(picture, "Memory, GiB")
    heights = [y for _, y in points(of_class(picture, "reserve")[-1])]
    assert min(heights) == pytest.approx(axis(7), abs=0.02)
    assert max(heights) == pytest.approx(axis(5), abs=0.02)
    assert "reserve" in words(picture)


def test_without_a_reserve_none_is_drawn() -> None:
    picture = draw(Timeline(reserve=0, cores=2, samples=list(SAMPLES)))
    assert of_class(picture, "reserve") == []
    assert "reserve" not in words(picture)


def test_the_peak_is_marked_with_its_figure() -> None:
    picture = draw(timeline(SAMPLES))
    (dot,) = of_class(picture, "dot")
    assert float(dot.get("cx", 0)) == pytest.approx(x_of(50, 100), abs=0.02)
    assert float(dot.get("cy", 0)) == pytest.approx(value_axis(picture, "Memory, GiB")(4.5), abs=0.02)
    assert "peak 4.5 GiB" in words(picture)


@pytest.mark.parametrize("height", [0.5, 4.5, 5.2, 5.5, 5.9, 6.5, 7.5])
def test_the_figure_of_the_peak_crosses_no_budget(height: float) -> None:
    picture = draw(timeline((sample(0, 0), sample(50, height), sample(100, 0))))
    (figure,) = [text for text in picture.iter(f"{SVG}text") if (text.text or "").startswith("peak")]
    baseline = float(figure.get("y", 0))
    assert all(not baseline - 14 < y < baseline + 2 for _, y in points(of_class(picture, "budget")[-1]))


def test_threads_step_and_cores_are_a_line() -> None:
    picture = draw(timeline((sample(0, 1, running=1), sample(50, 1, running=2), sample(100, 1, running=0))))
    axis = value_axis(picture, "Threads")
    assert (pytest.approx(x_of(50, 100)), pytest.approx(axis(1), abs=0.02)) in points(of_class(picture, "running")[-1])
    assert (pytest.approx(x_of(50, 100)), pytest.approx(axis(2), abs=0.02)) in points(of_class(picture, "running")[-1])
    assert [y for _, y in points(of_class(picture, "cores")[-1])] == [pytest.approx(axis(2), abs=0.02)] * 2


def test_a_long_queue_leaves_what_runs_visible() -> None:
    picture = draw(timeline((sample(0, 1, running=2, waiting=500), sample(100, 1, running=2, waiting=0))))
    bottom, top = (pick(y for _, y in points(of_class(picture, "running")[-1])) for pick in (max, min))
    assert bottom - top > 25
    assert "waiting, at most 500" in words(picture)


def test_panels_are_aligned() -> None:
    picture = draw(timeline(SAMPLES, (unit(0, 100),)))
    times = [float(text.get("x", 0)) for text in picture.iter(f"{SVG}text") if text.text == "50 s"]
    assert times == [pytest.approx(x_of(50, 100))] * 3


@pytest.mark.parametrize(("until", "right"), [(50.0, 50), (None, 100)])
def test_spans_without_a_start_are_shaded_and_say_why(until: float | None, right: float) -> None:
    why = Event(kind="withheld", at=20, until=until, text="csrc/b.cu needs 2.6 GiB, and 2.1 GiB are left")
    picture = draw(timeline(SAMPLES, (unit(0, 100),), (why,)))
    shades = [shade for shade in of_class(picture, "withheld") if float(shade.get("width", 0)) != 24]
    assert len(shades) == 4  # the label's row and three panels
    for shade in shades:
        assert float(shade.get("x", 0)) == pytest.approx(x_of(20, 100), abs=0.02)
        assert float(shade.get("width", 0)) == pytest.approx(x_of(right, 100) - x_of(20, 100), abs=0.02)
    assert "b.cu needs 2.6 GiB, and 2.1 GiB are left" in words(picture)
    assert "csrc/b.cu needs 2.6 GiB, and 2.1 GiB are left" in tooltips(picture, "span")[0]


def test_a_long_reason_is_cut_and_whole_in_the_tooltip() -> None:
    reason = "it has to be explained at length " * 9
    picture = draw(timeline(SAMPLES, (), (Event(kind="withheld", at=20, until=90, text=reason),)))
    assert any(text.startswith("it has") and text.endswith("…") for text in words(picture))
    assert reason in tooltips(picture, "span")[0]


def test_moments_have_a_line_a_symbol_and_a_tooltip() -> None:
    kinds = ("killed", "stopped", "again", "alone")
    events = tuple(Event(kind=kind, at=10 + 20 * index, text=f"x.cu {kind}") for index, kind in enumerate(kinds))
    picture = draw(timeline(SAMPLES, (), events))
    assert [tip.partition(" ")[0] for tip in tooltips(picture, "event")] == list(kinds)
    for kind, event in zip(kinds, events, strict=True):
        symbols = of_class(picture, kind)
        assert len(symbols) == 2  # in the legend, and in its place
        lines = [points(line) for line in of_class(picture, "moment")]
        assert any(line[0][0] == line[1][0] == pytest.approx(x_of(event.at, 100), abs=0.02) for line in lines)
    shapes = {next(iter(of_class(symbol, "mark"))).get("d") for kind in kinds for symbol in of_class(picture, kind)}
    assert len(shapes) == len(kinds)


def test_symbols_of_one_moment_lie_side_by_side() -> None:
    events = tuple(Event(kind=kind, at=50, text="why") for kind in ("killed", "again"))
    picture = draw(timeline(SAMPLES, (), events))
    at = [
        float(re.findall(r"[\d.]+", symbol.get("transform", ""))[0])
        for group in of_class(picture, "event")
        for symbol in group.iter(f"{SVG}g")
        if symbol.get("transform")
    ]
    assert at[1] - at[0] >= 20


def test_a_bar_lasts_as_long_as_its_compiler() -> None:
    picture = draw(timeline(SAMPLES, (unit(20, 70),)))
    ((_, left, right),) = extents(picture)
    assert (left, right) == (pytest.approx(x_of(20, 100), abs=1), pytest.approx(x_of(70, 100), abs=1))
    assert {"a.cu", "×2, 3.0 GiB"} <= set(words(picture))  # noqa: RUF001


def test_bars_share_a_lane_where_they_can() -> None:
    picture = draw(timeline((), (unit(0, 40), unit(10, 90), unit(40, 100))))
    tops = [top for top, _, _ in extents(picture)]
    assert len(tops) == 3
    assert len(set(tops)) == 2


UNITS = st.builds(
    lambda start, length, build, source, outcome: unit(
        start, start + length, build=build, source=source, outcome=outcome
    ),
    st.floats(0, 100),
    st.floats(0, 100),
    st.sampled_from(["one", "two"]),
    st.text(max_size=40),
    st.sampled_from(["ok", "failed", "out of memory"]),
)


@given(st.lists(UNITS, max_size=60))
def test_bars_of_a_lane_do_not_overlap(units: list[Unit]) -> None:
    bars = sorted(extents(draw(timeline((), tuple(units)))))
    for (top, _, right), (other_top, left, _) in itertools.pairwise(bars):
        assert top != other_top or right <= left + 0.02


def test_a_name_that_has_no_room_in_its_bar_stands_beside_it() -> None:
    picture = draw(timeline(SAMPLES, (unit(0, 2, source="csrc/kernel.cu"), unit(0, 100))))
    (text,) = [text for text in picture.iter(f"{SVG}text") if "kernel.cu" in (text.text or "")]
    assert text.text == "kernel.cu ×2, 3.0 GiB"  # noqa: RUF001
    assert float(text.get("x", 0)) > x_of(2, 100)


def test_what_sources_have_in_common_gives_way() -> None:
    sources = [f"csrc/flash_fwd_hdim{size}_sm80.cu" for size in (32, 64, 128)]
    units = (unit(33 * index, 33 * (index + 1), source=source) for index, source in enumerate(sources))
    bars = tuple(units) + tuple(unit(0, 100, source=source, kind="host") for source in "abc")
    written = " ".join(words(draw(timeline(SAMPLES, bars))))
    assert all(f"hdim{size}_sm80" in written for size in (32, 64, 128))


@pytest.mark.parametrize(("outcome", "look"), [("out of memory", "dead"), ("failed", "failed")])
def test_a_bad_end_is_told_by_more_than_colour(outcome: str, look: str) -> None:
    picture = draw(timeline(SAMPLES, (unit(0, 50, outcome=outcome), unit(50, 100))))
    _legend, bar = of_class(picture, look)
    assert any((box.get("fill") or "").startswith("url(#") for box in bar.iter(f"{SVG}rect"))
    assert any((text.text or "").endswith(outcome) for text in bar.iter(f"{SVG}text"))
    marks = {mark.get("d") for group in of_class(picture, "unit") for mark in of_class(group, "mark")}
    assert len(marks) == 2


def test_kinds_differ_in_their_marks() -> None:
    units = tuple(unit(30 * index, 30 * index + 30, kind=kind) for index, kind in enumerate(("device", "host", "link")))
    picture = draw(timeline(SAMPLES, units))
    assert len({mark.get("d") for group in of_class(picture, "unit") for mark in of_class(group, "mark")}) == 3


def test_builds_are_told_apart_only_where_there_are_several() -> None:
    assert "one 1.0" not in words(draw(timeline(SAMPLES, (unit(0, 50),)), title="a title"))
    both = words(draw(timeline(SAMPLES, (unit(0, 50), unit(0, 50, build="two 2.0"))), title="a title"))
    assert {"one 1.0", "two 2.0"} <= set(both)


def test_of_too_many_bars_the_longest_are_shown() -> None:
    units = tuple(unit(0, 40 + length, source=f"{length}.cu") for length in range(60))
    picture = draw(timeline((), units))
    bars = list(extents(picture))
    assert len(bars) == 40
    assert min(right for _, _, right in bars) == pytest.approx(x_of(60, 99), abs=1)
    assert "the 40 longest runs; 20 shorter ones left out" in words(picture)


def test_names_are_text_and_nothing_else() -> None:
    source = 'a<b>&"c".cu'
    svg = plot(timeline(SAMPLES, (unit(0, 100, source=source),)), title="<script>alert(1)</script>")
    assert "<b>" not in svg
    assert "<script>" not in svg
    assert source in words(draw(timeline(SAMPLES, (unit(0, 100, source=source),))))


def test_what_xml_cannot_hold_is_replaced() -> None:
    picture = draw(timeline((), (unit(0, 1, source="a\x00\x1b\udcff\ufffe.cu"),)), title="\x08")
    assert "a\ufffd\ufffd\ufffd\ufffd.cu" in words(picture)


def test_nothing_at_all_is_said_to_be_nothing() -> None:
    picture = draw(Timeline(reserve=GIB, cores=2))
    assert "nothing was compiled" in words(picture)
    assert "Nothing was compiled." in (picture.findtext(f"{SVG}desc") or "")
    assert of_class(picture, "used") == []


def test_a_picture_describes_itself() -> None:
    events = (
        Event(kind="withheld", at=20, until=42, text="2.1 GiB are left"),
        Event(kind="killed", at=50, text="the kernel killed a process of b.cu"),
    )
    picture = draw(timeline(SAMPLES, (unit(0, 97), unit(0, 50, outcome="out of memory")), events))
    assert picture.get("role") == "img"
    names = [picture.find(f".//*[@id='{name}']") for name in picture.get("aria-labelledby", "").split()]
    assert [name is not None and name.tag for name in names] == [f"{SVG}title", f"{SVG}desc"]
    spoken = picture.findtext(f"{SVG}desc") or ""
    for figure in (
        "2 compiler runs within 100 seconds",
        "peaked at 4.5 GiB after 50 seconds, when 5.0 GiB",
        "1.0 GiB were kept in reserve",
        "1 compiler run ended with: out of memory",
        "for 22 seconds: 2.1 GiB are left",
        "Killed: the kernel killed a process of b.cu",
    ):
        assert figure in spoken


def test_pictures_can_share_a_page() -> None:
    pictures = [draw(timeline(SAMPLES), title=title) for title in ("one", "two")]
    ids = [element.get("id") for picture in pictures for element in picture.iter() if element.get("id")]
    assert len(ids) == len(set(ids)) > 0
    style = pictures[0].findtext(f"{SVG}style") or ""
    assert "prefers-color-scheme:dark" in style
    selectors = re.findall(r"([^{}]+)\{", style.replace("@media (prefers-color-scheme:dark){", ""))
    assert {selector.split()[0] for selector in selectors} == {".cudawheel-timeline"}


SPANS = st.tuples(st.floats(0, 1e6), st.none() | st.floats(0, 1e6), st.text(max_size=60))
TIMELINES = st.builds(
    Timeline,
    reserve=st.integers(0, 1 << 50),
    cores=st.integers(0, 1 << 12),
    samples=st.lists(
        st.builds(
            Sample,
            at=st.floats(0, 1e6),
            used=st.integers(0, 1 << 62),
            budget=st.integers(-GIB, 1 << 62),
            running=st.integers(0, 1 << 12),
            waiting=st.integers(0, 1 << 16),
        ),
        max_size=8,
    ),
    events=st.lists(
        st.builds(
            lambda kind, span: Event(kind=kind, at=span[0], until=span[1], text=span[2]),
            st.sampled_from(["withheld", "killed", "stopped", "again", "alone"]),
            SPANS,
        ),
        max_size=8,
    ),
    units=st.lists(
        st.builds(
            Unit,
            build=st.text(max_size=40),
            source=st.text(max_size=60),
            kind=st.sampled_from(["device", "host", "link", "?"]),
            passes=st.integers(0, 99),
            threads=st.integers(0, 99),
            start=st.floats(0, 1e6),
            end=st.floats(0, 1e6),
            peak=st.integers(0, 1 << 62),
            outcome=st.sampled_from(["ok", "failed", "out of memory", ""]),
        ),
        max_size=8,
    ),
)


@given(TIMELINES, st.text(max_size=80))
def test_any_timeline_gives_a_picture_within_its_frame(shown: Timeline, title: str) -> None:
    picture = draw(shown, title)
    _, _, width, height = map(float, picture.get("viewBox", "").split())
    assert width == WIDTH
    for element in picture.iter():
        for name in ("x", "cx", "y", "cy"):
            value = float(element.get(name, 0))
            assert 0 <= value <= (width if "x" in name else height)
        for name in {"width", "height"} & set(element.keys()):
            assert element.get(name) == "100%" or float(element.get(name, "nan")) >= 0
        if element.tag == f"{SVG}path" and "mark" not in element.get("class", ""):
            numbers = map(float, re.findall(r"-?(?:nan|inf|[\d.]+(?:e[-+]?\d+)?)", element.get("d", "")))
            assert all(-10 <= value <= max(width, height) for value in numbers)
    for text in picture.iter(f"{SVG}text"):
        reach = text_width(text.text or "", 17)
        if text.get("text-anchor") != "end" and "title" not in text.get("class", ""):
            assert float(text.get("x", 0)) + reach / (2 if text.get("text-anchor") == "middle" else 1) <= width + 1


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [
        (97, ["0", "10 s", "20 s", "30 s", "40 s", "50 s", "60 s", "70 s", "80 s", "90 s"]),
        (0.9, ["0", "0.1 s", "0.2 s", "0.3 s", "0.4 s", "0.5 s", "0.6 s", "0.7 s", "0.8 s", "0.9 s"]),
        (180, ["0", "0.5 min", "1 min", "1.5 min", "2 min", "2.5 min", "3 min"]),
        (3 * 3600, ["0", "0.5 h", "1 h", "1.5 h", "2 h", "2.5 h", "3 h"]),
    ],
)
def test_times_have_round_labels(seconds: float, labels: list[str]) -> None:
    assert [label for _, label in time_ticks(seconds, at_most=10)] == labels


@given(st.floats(1e-6, 1e12), st.integers(3, 12))
def test_ticks_are_few_and_round(most: float, at_most: int) -> None:
    values = ticks(most, at_most=at_most)
    assert values[0] == 0
    assert 1 < len(values) <= at_most + 1
    assert values[-1] <= most * (1 + 1e-6)
    assert f"{values[1]:.0e}"[0] in "125"


@pytest.mark.parametrize(
    ("seconds", "short", "spelled"),
    [
        (0.42, "0.4 s", "0.4 seconds"),
        (1.0, "1 s", "1 second"),
        (97.4, "97 s", "97 seconds"),
        (252, "4 min 12 s", "4 minutes 12 seconds"),
        (300, "5 min", "5 minutes"),
        (3 * 3600 + 60, "3 h 1 min", "3 hours 1 minute"),
    ],
)
def test_durations_are_said(seconds: float, short: str, spelled: str) -> None:
    assert duration(seconds) == short
    assert duration(seconds, spelled=True) == spelled


@pytest.mark.parametrize(
    ("size", "said"), [(0, "0.0 GiB"), (85 * MIB, "85 MiB"), (2.94 * GIB, "2.9 GiB"), (120 * GIB, "120 GiB")]
)
def test_memory_is_said(size: float, said: str) -> None:
    assert memory(size) == said


@given(st.text(max_size=80), st.floats(0, 800), st.booleans())
def test_shortened_text_fits(text: str, room: float, in_the_middle: bool) -> None:
    short = shorten(text, room, in_the_middle=in_the_middle)
    assert text_width(short) <= room
    assert short in {text, ""} or "…" in short


@given(st.lists(st.floats(0, 100), max_size=20), st.floats(1, 40))
def test_spread_symbols_keep_their_order_and_their_distance(positions: list[float], gap: float) -> None:
    moved = spread(sorted(positions), gap=gap, low=0, high=100)
    assert all(-1e-6 <= position <= 100 + 1e-6 for position in moved)
    least = min(gap, 100 / max(1, len(positions)))
    assert all(after - before >= least - 1e-6 for before, after in itertools.pairwise(moved))


def test_only_whole_words_are_in_common() -> None:
    assert beginning(["flash_fwd_32", "flash_fwd_36", "flash_bwd_32"]) == "flash_"
    assert beginning(["flash_fwd", "flash_fwd_a", "flash_fwd_b"]) == "flash_"
    assert beginning(["flash_a", "flash_b"]) == ""
    assert beginning(["a", "b", "c"]) == ""
