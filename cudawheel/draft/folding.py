"""Constants of a Python file, worked out from its syntax tree; nothing is run, and what is not constant stays open."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

# Of values that refer to one another; anything deeper is left open.
_DEEPEST = 12
OPEN = object()


class Constants:
    """What the names of a file stand for, as far as they are assigned exactly once and to a constant."""

    def __init__(self, tree: ast.AST) -> None:
        self._by_kind: dict[type[ast.expr], Callable[[Any, int], Any]] = {
            ast.Name: self._name,
            ast.Dict: self._dictionary,
            ast.JoinedStr: self._joined,
            ast.BinOp: self._operation,
            ast.Call: self._call,
        }
        self._values: dict[str, ast.expr] = {}
        self._added: dict[str, list[ast.expr]] = {}
        several: set[str] = set()
        for node in ast.walk(tree):
            for name, value in _assignments(node):
                several.update({name} & self._values.keys())
                self._values[name] = value
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and isinstance(node.op, ast.Add):
                self._added.setdefault(node.target.id, []).append(node.value)
        for name in several:
            del self._values[name]

    def fold(self, node: ast.expr | None, depth: int = 0) -> Any:  # noqa: ANN401 - any constant
        """Give the value of an expression, or OPEN.

        Text, numbers, booleans, lists, tuples and dictionaries are worked out, through names, `+`, f-strings,
        `os.path.join`, `pathlib.Path` and `/`. Items of a list that are open are left out of it.
        """
        if node is None or depth > _DEEPEST:
            return OPEN
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            return [value for item in node.elts if (value := self.fold(item, depth + 1)) is not OPEN]
        worked_out = self._by_kind.get(type(node))
        return worked_out(node, depth) if worked_out else OPEN

    def text(self, node: ast.expr | None) -> str | None:
        """Give an expression's value if it is a text."""
        value = self.fold(node)
        return value if isinstance(value, str) else None

    def texts(self, node: ast.expr | None) -> tuple[str, ...]:
        """Give the texts among the items of a list."""
        value = self.fold(node)
        return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()

    def _name(self, node: ast.Name, depth: int) -> Any:  # noqa: ANN401
        value = self.fold(self._values.get(node.id), depth + 1)
        for more in self._added.get(node.id, ()):
            added = self.fold(more, depth + 1)
            if isinstance(value, list) and isinstance(added, list):
                value = [*value, *added]
        return value

    def _dictionary(self, node: ast.Dict, depth: int) -> dict[Any, Any]:
        pairs = ((self.fold(key, depth + 1), value) for key, value in zip(node.keys, node.values, strict=True) if key)
        return {key: self.fold(value, depth + 1) for key, value in pairs if isinstance(key, str)}

    def _joined(self, node: ast.JoinedStr, depth: int) -> Any:  # noqa: ANN401
        parts = [
            self.fold(part.value if isinstance(part, ast.FormattedValue) else part, depth + 1) for part in node.values
        ]
        return OPEN if OPEN in parts else "".join(map(str, parts))

    def _operation(self, node: ast.BinOp, depth: int) -> Any:  # noqa: ANN401
        left, right = self.fold(node.left, depth + 1), self.fold(node.right, depth + 1)
        if isinstance(node.op, ast.Div) and isinstance(right, str):
            # A path that begins with something open, such as the script's own folder, is relative to that.
            return f"{left}/{right}" if isinstance(left, str) and left else right
        same = type(left) is type(right) and isinstance(left, str | list)
        if isinstance(node.op, ast.Add) and same:
            return left + right
        lists = [side for side in (left, right) if isinstance(side, list)]
        return lists[0] if isinstance(node.op, ast.Add) and lists else OPEN

    def _call(self, node: ast.Call, depth: int) -> Any:  # noqa: ANN401
        called = ast.unparse(node.func)
        arguments = [self.fold(argument, depth + 1) for argument in node.args]
        if called.endswith("path.join"):
            return "/".join(part.rstrip("/") for part in arguments if isinstance(part, str) and part)
        if called in {"str", "Path", "pathlib.Path", "list", "tuple", "os.path.abspath"} and len(arguments) == 1:
            return arguments[0]
        return OPEN


def _assignments(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.Assign):
        yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        yield node.target.id, node.value
