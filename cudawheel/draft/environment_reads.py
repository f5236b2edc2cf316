"""Which environment variables a Python file reads, what it takes them for, and what turns each of them on."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from cudawheel.draft.folding import OPEN, Constants

OFF = frozenset({"", "0", "false", "n", "no", "none", "off"})
_READERS = ("environ.get", "getenv", "environ.setdefault", "environ.pop")
_PASSED_THROUGH = frozenset({"lower", "upper", "strip", "casefold", "title"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentRead:
    """One variable that a file reads or writes.

    Attributes:
        name: of the variable.
        line: of the file, from 1.
        default: what it counts as when it is not set; None where it has none, or none that can be read.
        on: the value that turns it on, if it is compared with one.
        separator: what a list in it is split at.
        written: the file sets it, whatever it was.
        kept: the file sets it only if nobody did.
        condition: that a write stands under, if any.
    """

    name: str
    line: int
    default: str | None = None
    on: str | None = None
    separator: str | None = None
    written: bool = False
    kept: bool = False
    condition: str = ""

    @property
    def on_by_default(self) -> bool:
        """Whether it is on where nobody sets it."""
        return self.default is not None and self.default.lower() not in OFF


class EnvironmentReads:
    """The variables of one syntax tree, directly read or through functions of the file's own."""

    def __init__(self, tree: ast.AST, constants: Constants) -> None:
        self._tree = tree
        self._constants = constants
        self._parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        self._helpers = dict(self._find_helpers())

    def all(self) -> tuple[EnvironmentRead, ...]:
        """Give every read and write in the order of lines."""
        found = [read for node in ast.walk(self._tree) for read in self._at(node)]
        return tuple(sorted(found, key=lambda read: (read.line, read.name)))

    def _at(self, node: ast.AST) -> Iterator[EnvironmentRead]:
        if isinstance(node, ast.Call):
            yield from self._call(node)
        elif isinstance(node, ast.Subscript) and _is_environ(node.value):
            name = self._constants.text(node.slice)
            if name and isinstance(node.ctx, ast.Store):
                condition = self._condition(node)
                yield EnvironmentRead(
                    name=name, line=node.lineno, written=True, kept=name in condition, condition=condition
                )
            elif name:
                yield self._read(node, name, None)
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            name = self._constants.text(node.left)
            if name and _is_environ(node.comparators[0]):
                yield EnvironmentRead(name=name, line=node.lineno, on="1")

    def _call(self, node: ast.Call) -> Iterator[EnvironmentRead]:
        called = ast.unparse(node.func)
        helper = self._helpers.get(called)
        if not node.args or not (helper or called.endswith(_READERS)):
            return
        name = self._constants.text(node.args[0])
        if not name:
            return
        default = self._constants.fold(node.args[1]) if len(node.args) > 1 else self._keyword_default(node)
        written = None if default is OPEN or default is None else _as_text(default)
        if called.endswith("setdefault"):
            yield EnvironmentRead(name=name, line=node.lineno, default=written, written=True, kept=True)
        else:
            yield self._read(node, name, written, on=helper.on if helper else None)

    def _keyword_default(self, node: ast.Call) -> object:
        return next((self._constants.fold(word.value) for word in node.keywords if word.arg == "default"), OPEN)

    def _read(self, node: ast.expr, name: str, default: str | None, on: str | None = None) -> EnvironmentRead:
        uses = [node, *self._uses_of_name(node)]
        turned = on or next((value for use in uses if (value := self._on(use)) is not None), None)
        separator = next((value for use in uses if (value := self._split(use)) is not None), None)
        return EnvironmentRead(name=name, line=node.lineno, default=default, on=turned, separator=separator)

    def _uses_of_name(self, node: ast.expr) -> list[ast.expr]:
        """Give the places where the name that a read is assigned to is used."""
        outer: ast.AST = node
        while isinstance(self._parents.get(outer), ast.Call | ast.Attribute | ast.BoolOp):
            outer = self._parents[outer]
        parent = self._parents.get(outer)
        if not isinstance(parent, ast.Assign) or not isinstance(parent.targets[0], ast.Name):
            return []
        name = parent.targets[0].id
        return [use for use in ast.walk(self._tree) if isinstance(use, ast.Name) and use.id == name]

    def _on(self, node: ast.expr) -> str | None:
        """Say what value turns on what is read here; None where nothing is compared."""
        here: ast.AST = node
        parent = self._parents.get(here)
        while isinstance(parent, ast.Call | ast.Attribute):
            if isinstance(parent, ast.Call) and ast.unparse(parent.func).split(".")[-1] in {"int", "bool", "strtobool"}:
                return "1"
            if isinstance(parent, ast.Attribute) and parent.attr not in _PASSED_THROUGH:
                return None
            here, parent = parent, self._parents.get(parent)
        if isinstance(parent, ast.Compare) and parent.left is here:
            return self._compared(parent)
        if isinstance(parent, ast.If | ast.IfExp | ast.BoolOp | ast.UnaryOp):
            return "1"
        return None

    def _compared(self, node: ast.Compare) -> str | None:
        value = self._constants.fold(node.comparators[0])
        words = [_as_text(item) for item in (value if isinstance(value, list) else [value]) if item is not OPEN]
        on = [word for word in words if word.lower() not in OFF]
        return on[0] if on else "1" if words else None

    def _split(self, node: ast.expr) -> str | None:
        here: ast.AST = node
        parent = self._parents.get(here)
        while isinstance(parent, ast.Attribute | ast.Call):
            if isinstance(parent, ast.Attribute) and parent.attr == "split":
                call = self._parents.get(parent)
                given = isinstance(call, ast.Call) and call.args
                return (self._constants.text(call.args[0]) if isinstance(call, ast.Call) and given else " ") or None
            parent = self._parents.get(parent)
        return None

    def _condition(self, node: ast.AST) -> str:
        """Give the innermost condition that a write stands under."""
        here = self._parents.get(node)
        while here is not None and not isinstance(here, ast.If):
            here = self._parents.get(here)
        return ast.unparse(here.test) if isinstance(here, ast.If) else ""

    def _find_helpers(self) -> Iterator[tuple[str, EnvironmentRead]]:
        """Find functions of the file that read the variable whose name they are given."""
        for function in ast.walk(self._tree):
            if not isinstance(function, ast.FunctionDef) or not function.args.args:
                continue
            first = function.args.args[0].arg
            for node in ast.walk(function):
                reads = isinstance(node, ast.Call) and ast.unparse(node.func).endswith(_READERS) and node.args
                if isinstance(node, ast.Call) and reads and ast.unparse(node.args[0]) == first:
                    inner = EnvironmentRead(name=first, line=node.lineno)
                    on = next((v for use in [node, *self._uses_of_name(node)] if (v := self._on(use))), None)
                    yield function.name, EnvironmentRead(name=inner.name, line=inner.line, on=on)
                    break


def _is_environ(node: ast.expr) -> bool:
    return ast.unparse(node) in {"os.environ", "environ"}


def _as_text(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
