"""CW203: an object takes a symbol that the pinned torch does not give."""

from __future__ import annotations

from cudawheel.audit.checks.base import Check, Subject, Violation, shorten
from cudawheel.audit.expectation import Expectation
from cudawheel.audit.exports import Exports, gather_exports
from cudawheel.audit.linkage import UndefinedSymbol
from cudawheel.audit.policy import Policy, load_policy, matches


class UndefinedSymbols(Check):
    """Each symbol is found in a library that the object needs, or `import` fails with `undefined symbol`.

    Left out are weak symbols, those of Python and the C++ runtime, and versioned ones of libraries that lie outside the
    folders given: whether those are there is for the platform tag and the dynamic loader to say. If an object needs a
    library that is not found and whose symbols carry no versions, any name could come from it; then only names that
    torch alone can define are judged.
    """

    code = "CW203"
    title = "undefined symbol"

    def run(self, subject: Subject, expectation: Expectation) -> tuple[Violation, ...]:
        """Look up every undefined symbol; does nothing where the expectation names no folders."""
        if not expectation.torch_libraries:
            return ()
        policy = load_policy()
        own = {item.name.rpartition("/")[2]: item.linkage for item in subject.inspection.objects}
        found = []
        for item in subject.inspection.objects:
            exports = gather_exports(item.linkage.needed, own=own, folders=expectation.torch_libraries)
            missing = sorted(
                symbol.name
                for symbol in item.linkage.undefined
                if symbol.name not in exports and _is_judged(symbol, exports, policy)
            )
            if missing:
                found.append(
                    self.violation(
                        where=item.name,
                        found=f"No library that it needs exports {shorten(missing)}.",
                        remedy=_remedy(expectation),
                    )
                )
        return tuple(found)


def _remedy(expectation: Expectation) -> str:
    if expectation.torch is None:
        return "A library is missing from its link line, or from cuda-libraries of the recipe."
    return (
        f"It was compiled against other headers than those of the pinned torch {expectation.torch}, or a library is "
        "missing from its link line (torch_python, say)."
    )


def _is_judged(symbol: UndefinedSymbol, exports: Exports, policy: Policy) -> bool:
    if symbol.weak or matches(symbol.name, policy.interpreter_symbols):
        return False
    if symbol.library:
        return symbol.library not in exports.unseen
    if policy.cxx_runtime_symbols.match(symbol.name):
        return False
    unversioned = any(not matches(library, policy.versioned_libraries) for library in exports.unseen)
    return not unversioned or policy.torch_symbols.match(symbol.name) is not None
