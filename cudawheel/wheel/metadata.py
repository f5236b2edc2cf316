"""Header files of a wheel, METADATA and WHEEL, edited without touching what is not meant.

Both are RFC 822 headers, METADATA with the description as its body (PyPA "Core metadata specifications"). Parsing and
writing them with `email` would fold lines and change encodings, so lines are kept as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from cudawheel.errors import WheelError

_REPEATABLE = frozenset(
    {
        "classifier",
        "dynamic",
        "import-name",
        "import-namespace",
        "license-file",
        "obsoletes-dist",
        "platform",
        "project-url",
        "provides-dist",
        "provides-extra",
        "requires-dist",
        "requires-external",
        "supported-platform",
        "tag",
    },
)
"""Fields that may stand more than once: those marked "multiple use" in the core metadata, and WHEEL's Tag."""


@dataclass(frozen=True, slots=True)
class Headers:
    """The header lines of METADATA or WHEEL, and the body behind them.

    Attributes:
        fields: names and values in order; folded values keep their line breaks.
        body: the text behind the empty line.
    """

    fields: tuple[tuple[str, str], ...]
    body: str = ""

    @classmethod
    def parse(cls, data: bytes, where: str) -> Headers:
        """Read a header file.

        Raises:
            WheelError: it is not UTF-8, or a line is neither a header nor the continuation of one.
        """
        try:
            text = data.decode("utf-8").replace("\r\n", "\n")
        except UnicodeDecodeError as fault:
            raise WheelError(f"{where} is not UTF-8", why=str(fault), remedy="Build the wheel again.") from fault
        head, _, body = text.lstrip("\n").partition("\n\n")
        fields: list[tuple[str, str]] = []
        for line in head.rstrip("\n").split("\n"):
            name, colon, value = line.partition(":")
            if line[:1] in {" ", "\t"} and fields:
                fields[-1] = (fields[-1][0], f"{fields[-1][1]}\n{line}")
            elif colon and name and not name[-1].isspace():
                fields.append((name, value.strip()))
            else:
                raise WheelError(
                    f"{where} has a line that is no header", why=f"Found {line!r}.", remedy="Build the wheel again."
                )
        return cls(tuple(fields), body)

    def get(self, name: str) -> tuple[str, ...]:
        """Give every value of a field, in order; empty where it is absent."""
        return tuple(value for key, value in self.fields if key.casefold() == name.casefold())

    def first(self, name: str) -> str:
        """Give the first value of a field, or an empty string."""
        return next(iter(self.get(name)), "")

    def put(self, name: str, values: Iterable[str]) -> Headers:
        """Replace all values of a field by others, at the place of the first, or at the end if there was none."""
        place = next((at for at, (key, _) in enumerate(self.fields) if _same(key, name)), len(self.fields))
        before = tuple(field for field in self.fields[:place] if not _same(field[0], name))
        after = tuple(field for field in self.fields[place:] if not _same(field[0], name))
        return replace(self, fields=(*before, *((name, _one_line(name, value)) for value in values), *after))

    def add(self, name: str, value: str) -> Headers:
        """Add a value: beside the others where the field may repeat, else in place of the one there."""
        kept = self.get(name) if name.casefold() in _REPEATABLE else ()
        return self if value in kept else self.put(name, (*kept, value))

    def require(self, requirement: str) -> Headers:
        """Replace every requirement on a project by one; keep those on all other projects.

        Raises:
            WheelError: `requirement`, or one that is there, cannot be parsed.
        """
        project = canonicalize_name(parse_requirement(requirement).name)
        present = self.get("Requires-Dist")
        about = [canonicalize_name(parse_requirement(text).name) == project for text in present]
        place = about.index(True) if True in about else len(present)
        others = [text for text, hit in zip(present, about, strict=True) if not hit]
        return self.put("Requires-Dist", (*others[:place], requirement, *others[place:]))

    def __bytes__(self) -> bytes:
        head = "".join(f"{name}: {value}\n" for name, value in self.fields)
        return (f"{head}\n{self.body}" if self.body else head).encode("utf-8")


def parse_requirement(text: str) -> Requirement:
    """Read the value of a `Requires-Dist`.

    Raises:
        WheelError: it is not a requirement.
    """
    try:
        return Requirement(text)
    except InvalidRequirement as fault:
        raise WheelError(
            f"Requires-Dist {text!r} is not a requirement",
            why=str(fault),
            remedy="Write it as torch==2.11.*, say.",
        ) from fault


def _same(left: str, right: str) -> bool:
    return left.casefold() == right.casefold()


def _one_line(name: str, value: str) -> str:
    """Refuse a value that would begin another header; folded values that were read are let through."""
    if any(not line[:1].isspace() for line in value.split("\n")[1:]) or "\r" in value:
        raise WheelError(f"the value of {name} has a line break in it", why=repr(value), remedy="Write it on one line.")
    return value
