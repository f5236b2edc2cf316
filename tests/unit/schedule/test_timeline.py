"""The record of a build: whole when read again, true when cut, and no longer than a plot needs."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cudawheel.schedule.timeline import Event, EventKind, Sample, Timeline, Unit

BYTES = st.integers(0, 1 << 45)
COUNTS = st.integers(0, 1 << 10)
# What is written down has hundredths of a second.
TIMES = st.integers(0, 10**7).map(lambda hundredths: hundredths / 100)
KINDS: list[EventKind] = ["withheld", "killed", "stopped", "again", "alone"]
SAMPLES = st.builds(Sample, at=TIMES, used=BYTES, budget=BYTES, running=COUNTS, waiting=COUNTS)
EVENTS = st.builds(Event, kind=st.sampled_from(KINDS), at=TIMES, text=st.text(), until=st.none() | TIMES)
UNITS = st.builds(
    Unit,
    build=st.text(),
    source=st.text(),
    kind=st.sampled_from(["device", "host", "link"]),
    passes=COUNTS,
    threads=st.integers(1, 64),
    start=TIMES,
    end=TIMES,
    peak=BYTES,
    outcome=st.sampled_from(["ok", "failed", "out of memory"]),
)
TIMELINES = st.builds(
    Timeline,
    reserve=BYTES,
    cores=COUNTS,
    samples=st.lists(SAMPLES, max_size=5),
    events=st.lists(EVENTS, max_size=5),
    units=st.lists(UNITS, max_size=5),
)


def make_sample(at: float, used: int = 0) -> Sample:
    return Sample(at=at, used=used, budget=100, running=1, waiting=0)


def make_unit(start: float, end: float, threads: int = 1, peak: int = 0) -> Unit:
    return Unit(
        build="demo",
        source="kernel.cu",
        kind="device",
        passes=7,
        threads=threads,
        start=start,
        end=end,
        peak=peak,
        outcome="ok",
    )


@pytest.fixture
def timeline() -> Timeline:
    return Timeline(reserve=3, cores=16)


@given(TIMELINES)
def test_a_timeline_is_the_same_after_it_was_written_and_read(timeline: Timeline) -> None:
    assert Timeline.from_json(json.loads(json.dumps(timeline.to_json()))) == timeline


def test_times_are_written_in_hundredths_of_a_second(timeline: Timeline) -> None:
    timeline.add(make_sample(1 / 3))
    timeline.events.append(Event(kind="withheld", at=2 / 3, text="", until=0.0))
    timeline.units.append(make_unit(1 / 3, 2 / 3))
    plain = timeline.to_json()
    assert plain["samples"][0][0] == 0.33
    assert (plain["events"][0]["at"], plain["events"][0]["until"]) == (0.67, 0.0)
    assert (plain["units"][0]["start"], plain["units"][0]["end"]) == (0.33, 0.67)


def test_a_span_is_counted_from_its_start(timeline: Timeline) -> None:
    timeline.samples += [make_sample(at) for at in (9, 10, 15, 20, 21)]
    timeline.events += [Event(kind="again", at=at, text=str(at)) for at in (9, 10, 15, 20, 21)]
    timeline.units += [make_unit(*span) for span in ((1, 9), (8, 10), (12, 14), (20, 25), (21, 25))]
    span = timeline.between(10, 20)
    assert (span.reserve, span.cores) == (3, 16)
    assert [sample.at for sample in span.samples] == [0, 5, 10]
    assert [(event.at, event.text, event.until) for event in span.events] == [
        (0, "10", None),
        (5, "15", None),
        (10, "20", None),
    ]
    assert [(unit.start, unit.end) for unit in span.units] == [(-2, 0), (2, 4), (10, 15)]


@pytest.mark.parametrize(
    ("at", "until", "expected"),
    [(1, 9, None), (1, 10, (0, 0)), (5, 15, (0, 5)), (12, 14, (2, 4)), (5, 50, (0, 10)), (15, 50, (5, 10)),
     (20, 30, (10, 10)), (21, 30, None)],
)  # fmt: skip
def test_an_event_that_reaches_into_a_span_is_cut_to_it(
    at: float, until: float, expected: tuple[float, float] | None, timeline: Timeline
) -> None:
    timeline.events.append(Event(kind="withheld", at=at, text="short of memory", until=until))
    found = [(event.at, event.until) for event in timeline.between(10, 20).events]
    assert found == ([] if expected is None else [expected])


@given(TIMELINES, TIMES, TIMES)
def test_nothing_in_a_span_reaches_out_of_it(timeline: Timeline, start: float, length: float) -> None:
    span = timeline.between(start, start + length)
    assert all(0 <= sample.at <= length + 1e-6 for sample in span.samples)
    assert all(event.at >= 0 for event in span.events)
    assert all(event.until is None or event.until <= length + 1e-6 for event in span.events)


def test_the_whole_span_is_the_whole_timeline(timeline: Timeline) -> None:
    timeline.samples.append(make_sample(3, 7))
    timeline.events.append(Event(kind="withheld", at=1, text="", until=4))
    timeline.units.append(make_unit(1, 5))
    assert timeline.between(0, 5) == timeline


@given(st.integers(0, 5000), st.integers(0, 1 << 32))
def test_samples_are_thinned_and_the_peak_stays(number: int, seed: int) -> None:
    sizes = random.Random(seed).choices(range(1 << 40), k=number)  # noqa: S311 - any sizes will do
    timeline = Timeline(reserve=0, cores=1)
    for at, used in enumerate(sizes):
        timeline.add(make_sample(at, used))
    assert timeline.peak == max(sizes, default=0)
    assert min(number, 600) <= len(timeline.samples) < 1200
    times = [sample.at for sample in timeline.samples]
    assert times == sorted(times)
    assert all(sizes[int(sample.at)] == sample.used for sample in timeline.samples)


def test_few_samples_are_all_kept(timeline: Timeline) -> None:
    samples = [make_sample(at) for at in range(1000)]
    for sample in samples:
        timeline.add(sample)
    assert timeline.samples == samples


def test_the_peak_is_the_most_that_was_seen_anywhere(timeline: Timeline) -> None:
    assert timeline.peak == 0
    timeline.add(make_sample(1, 50))
    assert timeline.peak == 50
    # A process may have been larger than anything that a look happened to see.
    timeline.units.append(make_unit(0, 1, peak=70))
    assert timeline.peak == 70


@pytest.mark.parametrize(
    ("units", "most"),
    [
        ([], 0),
        ([(0, 10, 4)], 4),
        ([(0, 10, 4), (10, 20, 4)], 4),
        ([(0, 10, 4), (9, 20, 3)], 7),
        ([(0, 10, 1), (2, 3, 1), (4, 5, 2), (6, 7, 1)], 3),
        ([(6, 7, 1), (0, 10, 1), (6, 9, 5)], 7),
    ],
)
def test_threads_that_ran_at_once_are_counted(
    units: list[tuple[float, float, int]], most: int, timeline: Timeline
) -> None:
    timeline.units += [make_unit(start, end, threads) for start, end, threads in units]
    assert timeline.most_running == most
