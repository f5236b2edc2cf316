"""Reading an HTML page in a test: as a tree, strictly, and as plain text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = frozenset({"meta", "link", "br", "img", "input", "hr", "wbr"})


@dataclass(slots=True)
class Element:
    """An element with what is in it: elements, and texts."""

    tag: str
    attributes: dict[str, str]
    content: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join("".join(_text_of(one) for one in self.content).split())

    def every(self, tag: str = "", *, kind: str = "") -> Iterator[Element]:
        """Every element within, of a tag and a class."""
        for one in self.content:
            if isinstance(one, Element):
                if tag in {"", one.tag} and (not kind or kind in one.attributes.get("class", "").split()):
                    yield one
                yield from one.every(tag, kind=kind)


def _text_of(one: Element | str) -> str:
    if isinstance(one, str):
        return one
    return "" if one.tag == "wbr" else f" {one.text} "


class _Strict(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.top = Element("", {})
        self.open = [self.top]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].content.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # Within SVG, `<path/>` is an element without content.
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> ends <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].content.append(data)


def read_page(text: str) -> Element:
    """Read a page of which every element is closed, in its order, and no id occurs twice."""
    assert text.startswith("<!doctype html>\n")
    parser = _Strict()
    parser.feed(text)
    parser.close()
    assert parser.open == [parser.top], f"left open: {[one.tag for one in parser.open[1:]]}"
    ids = [one.attributes["id"] for one in parser.top.every() if "id" in one.attributes]
    assert len(ids) == len(set(ids)), f"ids twice: {sorted(one for one in set(ids) if ids.count(one) > 1)}"
    return parser.top
