"""The faults of a recipe: pydantic's account of them, told once each by dotted path, and what pydantic cannot see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from cudawheel.errors import Fault

_FOUND_LENGTH = 60
_NOTHING = "nothing"

# By pydantic's type of error; {…} is filled from its context. Other types bring a message that says it well enough.
_ALLOWED = {
    "dict_type": "a table is required here",
    "extra_forbidden": "there is no field of this name",
    "literal_error": "allowed is {expected}",
    "missing": "this field is required",
    "model_attributes_type": "a table is required here",
    "model_type": "a table is required here",
    "string_pattern_mismatch": "allowed is what matches {pattern}",
    "string_type": "a text in quotes is required here",
    "too_short": "at least one is required here",
    "tuple_type": "a list is required here",
    "union_tag_invalid": "allowed is {expected_tags}",
    "union_tag_not_found": "this field is required",
}


@dataclass(frozen=True, slots=True)
class _Complaint:
    """One error of pydantic. `branch` says that it is about one of several forms that a value may take."""

    path: str
    found: str
    allowed: str
    branch: bool


def find_faults(document: dict[str, Any], errors: Iterable[Any]) -> tuple[Fault, ...]:
    """Give every fault of a document, in pydantic's order.

    Args:
        errors: what `ValidationError.errors()` gave; empty if pydantic found none.
    """
    complaints = [_complaint(detail, document) for detail in errors if not _only_emptied(detail)]
    merged: dict[str, Fault] = {}
    for this in complaints:
        # A value of several forms is refused once for each; the form it comes closest to is the one with details.
        if this.branch and any(other.path.startswith((f"{this.path}.", f"{this.path}[")) for other in complaints):
            continue
        before = merged.get(this.path)
        allowed = this.allowed if before is None else f"{before.allowed}, or {this.allowed}"
        merged[this.path] = Fault(path=this.path, found=this.found, allowed=allowed)
    own = (*_label_faults(document), *_torch_faults(document))
    return (*merged.values(), *(fault for fault in own if fault.path not in merged))


def _only_emptied(detail: Any) -> bool:  # noqa: ANN401 - pydantic's own error shape
    """Whether a list counts as empty only because all its items were refused."""
    return detail["type"] == "too_short" and bool(detail["input"])


def _complaint(detail: Any, document: dict[str, Any]) -> _Complaint:  # noqa: ANN401 - pydantic's own error shape
    kind, context = detail["type"], detail.get("ctx", {})
    path, branch = _dotted(detail["loc"], document, missing=kind == "missing")
    found = _NOTHING if kind == "missing" else _shorten(detail["input"])
    if kind.startswith("union_tag"):
        path = f"{path}.kind"
        found = repr(context["tag"]) if kind == "union_tag_invalid" else _NOTHING
    allowed = _ALLOWED.get(kind, "").format(**context) or detail["msg"].removeprefix("Value error, ")
    return _Complaint(path, found, allowed, branch)


def _dotted(location: tuple[str | int, ...], document: Any, *, missing: bool) -> tuple[str, bool]:  # noqa: ANN401 - TOML values
    """Write `sources[1].commit`, leaving out the names of forms that pydantic puts between; say if one comes last.

    Args:
        missing: whether the last step is what the document lacks.
    """
    path, here, branch = "", document, False
    for index, step in enumerate(location):
        branch = False
        if isinstance(step, int):
            path += f"[{step}]"
            here = here[step]
        elif _is_kind(step, location[index - 1], here):
            continue
        elif isinstance(here, dict) and step in here:
            path += f".{step}"
            here = here[step]
        elif missing and index == len(location) - 1:
            path += f".{step}"
        else:
            branch = step != "[key]"
    return path.removeprefix("."), branch


def _is_kind(step: str, before: str | int, here: Any) -> bool:  # noqa: ANN401 - TOML values of any type
    """Whether a step is the kind of the source it lies in; `path` and `url` are names of fields, too."""
    return isinstance(before, int) and isinstance(here, dict) and here.get("kind") == step


def _shorten(value: object) -> str:
    text = "a table" if isinstance(value, dict) else repr(value)
    return text if len(text) <= _FOUND_LENGTH else f"{text[: _FOUND_LENGTH - 1]}…"


def _label_faults(document: dict[str, Any]) -> Iterator[Fault]:
    """Compare the labels of sources, whether or not the rest of the document is in order."""
    sources = document.get("sources")
    listed = sources if isinstance(sources, list) else []
    labels = [source.get("label") if isinstance(source, dict) else None for source in listed]
    for index, label in enumerate(labels):
        path = f"sources[{index}].label"
        if not isinstance(label, str) or not index:
            continue
        if label in labels[:index]:
            yield Fault(path=path, found=repr(label), allowed="each source needs a label of its own")
        elif label >= "cu":
            allowed = (
                "a fallback's label must sort below 'cu', or pip would prefer the fallback; "
                "choose one such as 'bundled' or 'alternate'"
            )
            yield Fault(path=path, found=repr(label), allowed=allowed)


def _torch_faults(document: dict[str, Any]) -> Iterator[Fault]:
    """Find what a recipe without torch lacks, and what makes no sense in it."""
    matrix, build, sources = (document.get(name) for name in ("matrix", "build", "sources"))
    if not isinstance(matrix, dict) or matrix.get("torch"):
        return
    if not matrix.get("cuda"):
        allowed = "torch releases, or, for a package that uses CUDA without torch, its CUDA versions in `matrix.cuda`"
        yield Fault(path="matrix.torch", found=_NOTHING, allowed=allowed)
        return
    tables = {"build": build if isinstance(build, dict) else {}}
    listed = sources if isinstance(sources, list) else []
    for index, source in enumerate(listed):
        own = source.get("build") if isinstance(source, dict) else None
        tables[f"sources[{index}].build"] = own if isinstance(own, dict) else {}
    for path, table in tables.items():
        if "abi" in table:
            yield Fault(path=f"{path}.abi", found=repr(table["abi"]), allowed="no promise about torch without torch")
        style = table.get("capability-list", "torch" if path == "build" else None)
        if style == "torch" and not _each_answers(listed, path):
            allowed = '"cmake", or a variable of the package\'s own: the variable of torch means nothing without torch'
            found = repr(style) if "capability-list" in table else _NOTHING
            yield Fault(path=f"{path}.capability-list", found=found, allowed=allowed)


def _each_answers(sources: list[Any], path: str) -> bool:
    """Whether each source has a capability list of its own, so that what `[build]` says of it does not count."""
    own = [source.get("build") if isinstance(source, dict) else None for source in sources]
    return path == "build" and bool(own) and all(isinstance(one, dict) and "capability-list" in one for one in own)
