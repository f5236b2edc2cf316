"""The arithmetic of a plot: scales, round ticks, how wide words are, and what fits beside what. Lengths are pixels."""

from __future__ import annotations

import bisect
import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cudawheel.schedule.limits import GIB, MIB

_NICE = (1, 2, 5, 10)
_TIME_UNITS = ((3600.0, "h", "hour"), (60.0, "min", "minute"), (1.0, "s", "second"))
# A unit of time labels an axis once there are more than so many of it; "90 s" reads better than "1.5 min".
_FEWEST_OF_A_UNIT = 2.0

# Advances of DejaVu Sans in ems, rounded up. Of the faces that a reader is likely to have it is the widest: what fits
# with it fits with all.
_NARROW = frozenset("fijlrtI|!.,:;'()[]/\\ -·")
_WIDE = frozenset("mwMW@%…—×")
_NARROW_EM, _MIDDLE_EM, _UPPER_EM, _WIDE_EM = 0.4, 0.635, 0.75, 1.0
# No label is longer than this; the rest of a longer text need not be measured.
_LONGEST_LABEL = 200


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
        at_most: so many steps.
        least_step: no finer than this, itself such a step.
    """
    rough = most / at_most
    power = 10.0 ** math.floor(math.log10(rough))
    # The hair forgives a quotient that is a rounding error too large for its step.
    step = max(least_step, next(power * nice for nice in _NICE if power * nice * (1 + 1e-9) >= rough))
    return [number * step for number in range(math.floor(most / step * (1 + 1e-9)) + 1)]


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
    words = []
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


def text_width(text: str, size: float) -> float:
    """Give how wide a text is at most, at a font size of `size` pixels."""
    return size * sum(map(_advance, text))


def _advance(character: str) -> float:
    if character in _NARROW:
        return _NARROW_EM
    if character in _WIDE or unicodedata.east_asian_width(character) in "WFA":
        return _WIDE_EM
    return _MIDDLE_EM if character.islower() or character.isascii() and not character.isupper() else _UPPER_EM


def shorten(text: str, room: float, size: float, *, in_the_middle: bool = False) -> str:
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

    kept = bisect.bisect_right(range(1, len(text)), room, key=lambda count: text_width(cut(count), size))
    return cut(kept) if kept else ""


def pack(spans: Sequence[tuple[float, float]]) -> list[int]:
    """Put spans into as few lanes as hold them without overlap; give the lane of each.

    Args:
        spans: start and end of each, sorted by start.
    """
    ends: list[float] = []
    lanes = []
    for start, end in spans:
        lane = next((number for number, taken in enumerate(ends) if taken <= start), len(ends))
        ends[lane : lane + 1] = [end]
        lanes.append(lane)
    return lanes


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
