"""Searches a log of any size for what is known, piece by piece, in bounded memory and time.

A log is searched for literal words first, which a processor does at gigabytes a second; only the lines that hold one
are looked at with regular expressions, and of a line no more than what stands near that word.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import IO

from cudawheel.explain.masking import mask, plain
from cudawheel.explain.pattern import Pattern, known_patterns

_BLOCK = 1 << 20
# What a regex gets to see on either side of the word that was found.
_NEAR = 1000
# A line is quoted up to this many characters, with so many of them before the match.
_QUOTED, _BEFORE = 240, 60
_MOST_LINES = 3
# So many lines of evidence are counted; there is no need to look at more.
_MOST_COUNTED = 1000
# So many lines of a block are looked at in vain for one word, and as many from its end.
_MOST_IN_VAIN = 300
_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A line that shows a cause: its number from 1, and what it says, secrets masked and cut short."""

    line: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A cause that was found.

    Attributes:
        pattern: what is known of it.
        evidence: the first lines that show it, in order.
        more: how many more lines show it, counted up to a thousand.
        cause: why it happened, with the names and numbers of this log.
        remedy: what helps.
        recipe: what helps in a recipe or an option of cudawheel; empty where that is the same.
    """

    pattern: Pattern
    evidence: tuple[Evidence, ...]
    more: int
    cause: str
    remedy: str
    recipe: str


@dataclass(slots=True, eq=False)
class _Watch:
    """What was found of one pattern so far."""

    pattern: Pattern
    lines: dict[int, str] = field(default_factory=dict)
    counted: set[int] = field(default_factory=set)
    captured: dict[str, str] = field(default_factory=dict)
    more: dict[int, str] = field(default_factory=dict)
    # For each regex of `all` where it has matched, and what the line says.
    parts: tuple[dict[int, str], ...] = ()

    def __post_init__(self) -> None:
        self.parts = tuple({} for _ in self.pattern.all)

    @property
    def together(self) -> tuple[int, ...]:
        """The lines of `all`, one for each regex: the first, or the first that lie near each other; or nothing."""
        if not all(self.parts):
            return ()
        if not self.pattern.within:
            return tuple(min(part) for part in self.parts)
        first, *others = self.parts
        for start in sorted(first):
            near = [min(part, key=lambda line: abs(line - start)) for part in others]
            if all(abs(line - start) <= self.pattern.within for line in near):
                return (start, *near)
        return ()

    @property
    def found(self) -> bool:
        return len(self.together) == len(self.parts) and bool(self.lines or self.parts)

    @property
    def first(self) -> int:
        return min([*self.lines, *self.together])

    @property
    def satisfied(self) -> bool:
        return len(self.counted) >= _MOST_COUNTED and self.found

    def look(self, text: str, line: Callable[[], int]) -> bool:
        """Look at a line; say whether it means anything."""
        means = False
        for part, regex in zip(self.parts, self.pattern.all, strict=True):
            if len(part) < _MOST_COUNTED and (match := regex.search(text)):
                means = self._keep(part, line(), match)
        if len(self.counted) < _MOST_COUNTED and (match := _first(self.pattern.any, text)):
            number = line()
            self.counted.add(number)
            means = len(self.lines) >= _MOST_LINES or self._keep(self.lines, number, match)
        elif len(self.more) < _MOST_LINES and (match := _first(self.pattern.also, text)):
            means = self._keep(self.more, line(), match)
        return means

    def _keep(self, lines: dict[int, str], line: int, match: re.Match[str]) -> bool:
        lines.setdefault(line, _quote(match.string, match.start()))
        for name, value in match.groupdict().items():
            if value:
                self.captured.setdefault(name, _quote(value, 0))
        return True

    def explanation(self) -> Explanation:
        pattern, captured = self.pattern, self.captured
        parts = {line: part[line] for line, part in zip(self.together, self.parts, strict=True)}
        lines = {**self.more, **parts, **self.lines}
        return Explanation(
            pattern=pattern,
            evidence=tuple(Evidence(line=line, text=lines[line]) for line in sorted(lines)),
            more=len(self.counted - set(self.lines)),
            cause=pattern.fill(pattern.cause, captured),
            remedy=pattern.fill(pattern.remedy, captured),
            recipe=pattern.fill(pattern.recipe, captured),
        )


class Scanner:
    """Takes a log piece by piece and says what it shows.

    Args:
        patterns: what to look for.
    """

    def __init__(self, patterns: Iterable[Pattern] | None = None) -> None:
        self._watches = [_Watch(pattern) for pattern in (known_patterns() if patterns is None else patterns)]
        self._needles: dict[bytes, list[_Watch]] = {}
        for watch in self._watches:
            for needle in watch.pattern.needles:
                self._needles.setdefault(needle.encode(), []).append(watch)
        self._rest = b""
        self._rest_is_cut = False
        self._line = 1

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the log, of any length."""
        for start in range(0, len(piece), _BLOCK):
            self._rest += piece[start : start + _BLOCK]
            if len(self._rest) >= _BLOCK:
                end = self._rest.rfind(b"\n") + 1
                # Of a line without end all is searched, and its last part kept to be read with what follows.
                block, rest = (self._rest[:end], self._rest[end:]) if end else (self._rest, self._rest[-2 * _NEAR :])
                self._search(block)
                self._rest, self._rest_is_cut = rest, not end

    def explanations(self) -> tuple[Explanation, ...]:
        """Give what was found up to here, the root first: by rank, and among equals by where it first shows."""
        block, self._rest = self._rest, b""
        self._search(block)
        found = [watch for watch in self._watches if watch.found]
        found.sort(key=lambda watch: (watch.pattern.rank, watch.first))
        return tuple(watch.explanation() for watch in found)

    def _search(self, block: bytes) -> None:
        for needle, watches in list(self._needles.items()):
            # A build ends soon after what ends it: where there are too many places the last of them count as well.
            if not self._look(block, _forwards(block, needle), len(needle), watches):
                self._look(block, _backwards(block, needle), len(needle), watches)
            if all(watch.satisfied for watch in watches):
                del self._needles[needle]
        self._line += block.count(b"\n")

    def _look(self, block: bytes, places: Iterator[int], length: int, watches: list[_Watch]) -> bool:
        """Look at places of a block; say whether that was done to the end, or given up after too many in vain."""
        vain = 0
        for place in places:
            start, end = _around(block, place, length, cut=self._rest_is_cut)
            text = plain(block[start:end].decode("utf-8", "replace"))
            line = partial(self._line_of, block, place)
            vain += True not in [watch.look(text, line) for watch in watches]
            if vain > _MOST_IN_VAIN:
                return False
            if all(watch.satisfied for watch in watches):
                break
        return True

    def _line_of(self, block: bytes, place: int) -> int:
        return self._line + block.count(b"\n", 0, place)


def explain_text(text: str) -> tuple[Explanation, ...]:
    """Say what a text shows, the root first."""
    scanner = Scanner()
    scanner.feed(text.encode("utf-8", "replace"))
    return scanner.explanations()


def explain_stream(
    stream: IO[bytes], *, on_read: Callable[[int], None] = lambda _size: None
) -> tuple[Explanation, ...]:
    """Say what a log shows, the root first.

    It may be of any size and hold anything; it may be UTF-16, as PowerShell writes it.

    Args:
        stream: the log.
        on_read: called with the size of each piece that was read, in bytes.

    Raises:
        OSError: it cannot be read to its end.
    """
    scanner = Scanner()
    for piece in _as_utf8(stream):
        on_read(len(piece))
        scanner.feed(piece)
    return scanner.explanations()


def _as_utf8(stream: IO[bytes]) -> Iterator[bytes]:
    first = stream.read(_BLOCK)
    encoding = next((name for mark, name in _MARKS.items() if first.startswith(mark)), "")
    pieces = iter(lambda: stream.read(_BLOCK), b"")
    if not encoding:
        yield first
        yield from pieces
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    yield decoder.decode(first[2:]).encode("utf-8", "replace")
    for piece in pieces:
        yield decoder.decode(piece).encode("utf-8", "replace")


def _forwards(block: bytes, needle: bytes) -> Iterator[int]:
    """Give where a word stands, each line once, of a very long one again where a regex sees other parts of it."""
    place = block.find(needle)
    while place >= 0:
        yield place
        end = block.find(b"\n", place, place + _NEAR // 2)
        place = block.find(needle, end if end >= 0 else place + _NEAR // 2)


def _backwards(block: bytes, needle: bytes) -> Iterator[int]:
    """Give the same from the end."""
    place = block.rfind(needle)
    while place >= 0:
        yield place
        start = block.rfind(b"\n", max(0, place - _NEAR // 2), place)
        place = block.rfind(needle, 0, start if start >= 0 else max(0, place - _NEAR // 2))


def _around(block: bytes, position: int, length: int, *, cut: bool) -> tuple[int, int]:
    """Give where the line begins and ends, or as much of it as stands near; a progress bar's returns end a line too.

    Of a line that is cut, the word at the cut is left out: half a URL would not be known for one with a password.
    """
    first, last = max(0, position - _NEAR), min(len(block), position + length + _NEAR)
    start = max(block.rfind(b"\n", first, position), block.rfind(b"\r", first, position)) + 1
    if not start and (first or cut):
        blank = block.find(b" ", first, position)
        start = blank + 1 if blank >= 0 else position
    ends = [end for end in (block.find(mark, position, last) for mark in (b"\n", b"\r")) if end >= 0]
    if ends:
        return start, min(ends)
    if last < len(block):
        blank = block.rfind(b" ", position + length, last)
        last = blank if blank >= 0 else position + length
    return start, last


def _first(regexes: Iterable[re.Pattern[str]], text: str) -> re.Match[str] | None:
    return next((match for regex in regexes if (match := regex.search(text))), None)


def _quote(text: str, start: int) -> str:
    """Give a line as it may be shown: masked, and cut around where the match begins."""
    shown = mask(text)
    if len(shown) <= _QUOTED:
        return shown
    # Masking moves what comes after it; the match is looked for where it stands now.
    moved = shown.find(text[start : start + 20])
    left = max(0, (moved if moved >= 0 else start) - _BEFORE)
    left = min(left, len(shown) - _QUOTED)
    cut = shown[left : left + _QUOTED]
    return f"{'…' if left else ''}{cut.strip()}{'…' if left + _QUOTED < len(shown) else ''}"
