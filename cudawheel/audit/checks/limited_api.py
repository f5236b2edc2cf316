"""CW403: a wheel tagged abi3 uses more of Python than the limited API of its oldest Python."""

from __future__ import annotations

from functools import cache

import abi3info  # type: ignore[import-untyped]
from packaging.tags import Tag

from cudawheel.audit.checks.base import Check, Subject, Violation, shorten
from cudawheel.audit.expectation import Expectation
from cudawheel.audit.policy import load_policy, matches
from cudawheel.model.version import PythonVersion


class LimitedApi(Check):
    """Each of Python's symbols that is used was in the stable ABI (PEP 384) at the Python of the wheel's tag."""

    code = "CW403"
    title = "limited Python API"

    def run(self, subject: Subject, expectation: Expectation) -> tuple[Violation, ...]:  # noqa: ARG002 - the tag decides
        """Look up each symbol's first version; does nothing for wheels that are not abi3."""
        floor = _oldest_python(subject.wheel.tags)
        if floor is None:
            return ()
        patterns = load_policy().interpreter_symbols
        found = []
        for item in subject.inspection.objects:
            used = [symbol.name for symbol in item.linkage.undefined if matches(symbol.name, patterns)]
            outside = sorted(name for name in used if _added().get(name, _NEVER) > floor)
            if outside:
                found.append(
                    self.violation(
                        where=item.name,
                        found=f"Uses {shorten(outside)}, which Python {floor}'s stable ABI does not have.",
                        remedy=f"Define Py_LIMITED_API to 0x{floor.major:02X}{floor.minor:02X}0000 for every source "
                        "file, or tag the wheel for one Python.",
                    )
                )
        return tuple(found)


_NEVER = PythonVersion(99, 0)


def _oldest_python(tags: frozenset[Tag]) -> PythonVersion | None:
    digits = [tag.interpreter.removeprefix("cp") for tag in tags if tag.abi == "abi3"]
    return min((PythonVersion(int(text[0]), int(text[1:] or 0)) for text in digits if text.isdigit()), default=None)


@cache
def _added() -> dict[str, PythonVersion]:
    """Give the Python that brought each symbol into the stable ABI."""
    known = (*abi3info.FUNCTIONS.values(), *abi3info.DATAS.values())
    return {item.symbol.name: PythonVersion(item.added.major, item.added.minor) for item in known}
