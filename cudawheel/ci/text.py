"""Workflows as text: YAML 1.2, in the order that they were written in, so that equal values give equal bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from cudawheel.errors import ExtraMissingError

_HEAD = "Written by `{command}`. Change the recipes or that command, not this file."
_WIDEST = 4096  # no line is broken


def to_yaml(document: Mapping[str, Any], command: str, warning: str = "") -> str:
    """Write a workflow.

    Args:
        document: plain values; of a text `action@commit # v1` the part behind `#` becomes a comment.
        command: what the file is made by, for its first line.
        warning: what a reader has to know before it is run, in one line; empty for nothing.

    Raises:
        ExtraMissingError: ruamel.yaml is not installed.
    """
    try:
        from ruamel.yaml import YAML  # noqa: PLC0415 - an extra of its own
    except ImportError as error:
        raise ExtraMissingError(
            "writing workflows needs ruamel.yaml, which is not installed",
            why=str(error),
            extra="ci",
        ) from error
    writer = YAML()
    writer.width = _WIDEST
    writer.indent(mapping=2, sequence=4, offset=2)
    sink = io.StringIO()
    writer.dump(_node(document), sink)
    head = [_HEAD.format(command=command), *([f"WARNING: {warning}"] if warning else [])]
    return "".join(f"# {line}\n" for line in head) + sink.getvalue()


def _node(value: Any) -> Any:  # noqa: ANN401 - plain values in, ruamel's nodes out
    from ruamel.yaml.comments import CommentedMap  # noqa: PLC0415 - as above
    from ruamel.yaml.scalarstring import LiteralScalarString  # noqa: PLC0415 - as above

    if isinstance(value, Mapping):
        node = CommentedMap()
        for name, item in value.items():
            text, mark, comment = item.partition(" # ") if isinstance(item, str) else (item, "", "")
            node[name] = _node(text if mark else item)
            if mark:
                node.yaml_add_eol_comment(comment, name, column=0)
        return node
    if isinstance(value, str):
        return LiteralScalarString(value) if "\n" in value else value
    if isinstance(value, Sequence):
        return [_node(item) for item in value]
    return value
