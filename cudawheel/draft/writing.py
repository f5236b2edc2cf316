"""A draft as TOML text, with what was found and what is uncertain as comments at the fields that they are about."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from cudawheel.draft.drafting import Draft
from cudawheel.draft.values import Doubt, Finding

_WIDTH = 110
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
UNSURE, EDIT = "UNSURE", "EDIT"
# Which field of the recipe a finding is about.
_FIELD_OF = {
    "capability list": "build.capability-list",
    "imports": "wheel.imports",
    "requires": "build.requires",
    "source": "sources",
}


def write_recipe(draft: Draft, *, schema: str = "") -> str:
    """Write a draft.

    Args:
        schema: path of the JSON Schema, for editors; empty leaves the line out.
    """
    return "\n".join(_Writer(draft).lines(schema)) + "\n"


class _Writer:
    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._doubts = list(draft.doubts)
        self._findings = list(draft.findings)

    def lines(self, schema: str) -> Iterator[str]:
        body = list(self._body())
        if schema:
            yield f"#:schema {schema}"
        yield from _comment(f"{self._draft.title}.")
        yield from _comment(
            f"Drafted by `cudawheel recipe new` from {self._draft.origin}: its files were read, nothing of it was run. "
            f"{UNSURE} marks what they do not tell, {EDIT} what to do about it; take these comments out once settled."
        )
        # What belongs to no field that is written stands at the top, so that nothing is lost.
        yield from self._said(self._findings)
        yield from self._asked(self._doubts)
        yield from body

    def _body(self) -> Iterator[str]:
        for table, content in self._draft.document.items():
            yield ""
            if table == "sources":
                yield from self._about("sources")
                for source in content:
                    yield "[[sources]]"
                    yield from (f"{_key(name)} = {_value(value)}" for name, value in source.items())
                continue
            yield f"[{table}]"
            yield from self._about(table)
            yield from self._table(table, content)

    def _table(self, table: str, content: dict[str, Any]) -> Iterator[str]:
        replacements = content.get("replacements", ())
        for name, value in content.items():
            if name == "replacements":
                continue
            yield from self._about(f"{table}.{name}")
            if name == "memory-per-job":
                yield "# Until it is measured; the first build does that."
            yield f"{_key(name)} = {_value(value)}"
        for replacement in replacements:
            yield ""
            yield from self._about(f"{table}.replacements")
            yield f"[[{table}.replacements]]"
            yield from (f"{_key(name)} = {_value(value)}" for name, value in replacement.items())
        left = [doubt for doubt in self._doubts if doubt.field.startswith(f"{table}.")]
        self._doubts = [doubt for doubt in self._doubts if doubt not in left]
        yield from self._asked(left)

    def _about(self, field: str) -> Iterator[str]:
        said = [finding for finding in self._findings if _field_of(finding, self._draft) == field]
        asked = [doubt for doubt in self._doubts if doubt.field == field]
        self._findings = [finding for finding in self._findings if finding not in said]
        self._doubts = [doubt for doubt in self._doubts if doubt not in asked]
        yield from self._said(said)
        yield from self._asked(asked)

    def _said(self, findings: Iterable[Finding]) -> Iterator[str]:
        for finding in findings:
            yield from _comment(f"{finding.topic}: {finding.said}{f' ({finding.where})' if finding.where else ''}")

    def _asked(self, doubts: Iterable[Doubt]) -> Iterator[str]:
        for doubt in doubts:
            yield from _comment(f"{UNSURE} {doubt.field}: {doubt.found}.")
            yield from _comment(f"{EDIT} {doubt.edit}")


def _field_of(finding: Finding, draft: Draft) -> str:
    if finding.topic == "switch":
        return "build.environment" if "environment" in draft.document["build"] else "build.config-settings"
    return _FIELD_OF.get(finding.topic, "")


def _comment(text: str) -> Iterator[str]:
    # What comes out of a source may hold anything; in a comment of TOML no control character may stand.
    plain = "".join(character if character.isprintable() else " " for character in text)
    yield from textwrap.wrap(plain, _WIDTH, initial_indent="# ", subsequent_indent="#   ", break_long_words=False)


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _value(name)


def _value(value: Any) -> str:  # noqa: ANN401 - values of TOML
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(name)} = {_value(inner)}' for name, inner in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for DEL, which JSON leaves as it is (TOML 1.0, "String").
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    return str(value)
