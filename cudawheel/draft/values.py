"""What a draft is made of: what was found, and what could not be known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that the source says.

    Attributes:
        topic: what it is about, such as `backend`.
        said: what was found, in a few words.
        where: file and line, such as `setup.py:12`; empty where it is about the whole.
    """

    topic: str
    said: str
    where: str = ""

    def to_json(self) -> dict[str, str]:
        """Give it as plain values."""
        return {"topic": self.topic, "said": self.said, "where": self.where}


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Something that the source does not say, or says twice, with what a person has to decide.

    Attributes:
        field: dotted path of the recipe's field, such as `build.environment`.
        found: what is uncertain, with the evidence.
        edit: what to look at, and what to write.
    """

    field: str
    found: str
    edit: str

    def to_json(self) -> dict[str, str]:
        """Give it as plain values."""
        return {"field": self.field, "found": self.found, "edit": self.edit}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a source that is replaced by another; the fields are those of the recipe's `[[build.replacements]]`."""

    file: str
    old: str
    new: str
    hits: int = 1
