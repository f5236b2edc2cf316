"""What is known of failures: one entry of `data/patterns` each, with its source."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, cast

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Stage = Literal["install", "build", "run"]
Kind = Literal["", "out of memory", "disk full"]

_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A failure that many have met: how it shows, why it happens, what helps.

    Attributes:
        id: names it for scripts.
        title: names it for people.
        rank: the lower, the nearer to the root: what it brings about has a higher one.
        stage: when it shows: while something is installed, built, or run.
        kind: what else a failed build is that shows it.
        needles: every line that a regex matches holds one of these literally; they are what a log is searched for.
        any: regexes of single lines of which one has to match; none if `all` alone decides.
        all: regexes each of which has to match some line.
        within: the lines that `all` matches have to lie so near to each other, in lines; 0 is anywhere in the log.
        also: regexes of lines that tell more once the others have matched.
        defaults: words for the named groups that nothing was found for.
        cause: why it happens; `{name}` stands for what the group of that name matched.
        remedy: what helps, whoever builds; may hold `{name}` too.
        recipe: what helps in a recipe or an option of cudawheel; empty where that is the same.
        source: a page on which it was met, or that explains it.
        examples: texts that show it.
        near_misses: texts that look like it and are not.
    """

    id: str
    title: str
    rank: int
    stage: Stage
    kind: Kind
    needles: tuple[str, ...]
    any: tuple[re.Pattern[str], ...]
    all: tuple[re.Pattern[str], ...]
    within: int
    also: tuple[re.Pattern[str], ...]
    defaults: Mapping[str, str]
    cause: str
    remedy: str
    recipe: str
    source: str
    examples: tuple[str, ...]
    near_misses: tuple[str, ...]

    def fill(self, text: str, captured: Mapping[str, str]) -> str:
        """Put what was captured into a text of this pattern."""
        known = {**self.defaults, **captured}
        return _PLACE.sub(lambda place: known.get(place[1], place[0]), text)


@cache
def known_patterns() -> tuple[Pattern, ...]:
    """Give every pattern, those nearest to the root first."""
    folder = files("cudawheel.data").joinpath("patterns")
    read = [
        _pattern(row)
        for file in sorted(folder.iterdir(), key=lambda one: one.name)
        if file.name.endswith(".toml")
        for row in tomllib.loads(file.read_text(encoding="utf-8"))["pattern"]
    ]
    return tuple(sorted(read, key=lambda pattern: pattern.rank))


def _pattern(row: Mapping[str, Any]) -> Pattern:
    return Pattern(
        id=row["id"],
        title=row["title"],
        rank=row["rank"],
        stage=cast("Stage", row["stage"]),
        kind=cast("Kind", row.get("kind", "")),
        needles=tuple(row["needles"]),
        any=_regexes(row.get("any", ())),
        all=_regexes(row.get("all", ())),
        within=row.get("within", 0),
        also=_regexes(row.get("also", ())),
        defaults=row.get("defaults", {}),
        cause=row["cause"],
        remedy=row["remedy"],
        recipe=row.get("recipe", ""),
        source=row["source"],
        examples=tuple(row["examples"]),
        near_misses=tuple(row["near_misses"]),
    )


def _regexes(texts: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(text) for text in texts)
