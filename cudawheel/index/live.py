"""An index that follows its wheelhouse while it is being served."""

from __future__ import annotations

import time
from collections.abc import Callable

from cudawheel.errors import StoreError
from cudawheel.index.examine import Stamp
from cudawheel.index.model import Index
from cudawheel.index.scan import Finding, Scanner, Survey

FULL_LOOK_SECONDS = 30.0
"""How often every wheel's stamp is compared, for those that are overwritten in place by a foreign hand."""

_RACY_NS = 20_000_000  # two ticks of a slow clock: two changes within one leave the same time behind


class LiveIndex:
    """The newest sound state of a wheelhouse.

    `refresh` costs a few system calls while nothing changes: cudawheel puts wheels into the wheelhouse by renaming,
    which changes the folder's time. When the wheelhouse vanishes the last state stays, and so do its names.

    Args:
        scanner: reads the wheelhouse.
        tell: is told of every file that is not offered, once for each reason.
    """

    def __init__(self, scanner: Scanner, tell: Callable[[Finding], None]) -> None:
        self._scanner = scanner
        self._tell = tell
        self._told: frozenset[Finding] = frozenset()
        self._survey = Survey(index=Index.of(()))
        self._names: frozenset[str] = frozenset()
        self._looked = 0.0
        self._racy = False

    @property
    def index(self) -> Index:
        """What is offered now."""
        return self._survey.index

    @property
    def names(self) -> frozenset[str]:
        """Every project that a wheel was ever named after while this was running; none may come from elsewhere."""
        return self._names

    def start(self) -> None:
        """Read the wheelhouse for the first time.

        Raises:
            StoreError: it is no folder, or cannot be read.
        """
        self._take(self._scanner.scan())

    def refresh(self) -> bool:
        """Look whether anything changed, and read it again if so; says whether it was read."""
        if not self._racy and not self._changed() and time.monotonic() - self._looked < FULL_LOOK_SECONDS:
            return False
        try:
            self._take(self._scanner.scan())
        except StoreError as fault:
            self._keep(fault.why)
        except Exception as defect:  # noqa: BLE001 - whatever is wrong with one look, the next ones are still made
            self._keep(f"{type(defect).__name__}: {defect}")
        return True

    def _take(self, survey: Survey) -> None:
        self._looked = time.monotonic()
        newest = max((modified_ns for _folder, modified_ns in survey.folders), default=0)
        self._racy = abs(time.time_ns() - newest) < _RACY_NS
        self._names |= survey.names
        self._survey = survey
        self._report(survey.findings)

    def _keep(self, why: str) -> None:
        self._looked = time.monotonic()
        self._report((Finding(str(self._scanner.wheelhouse), f"{why}; the last state is kept"),))

    def _report(self, findings: tuple[Finding, ...]) -> None:
        for finding in findings:
            if finding not in self._told:
                self._tell(finding)
        self._told = frozenset(findings)

    def _changed(self) -> bool:
        root = self._scanner.wheelhouse
        try:
            return any(
                (root / folder).stat().st_mtime_ns != modified_ns for folder, modified_ns in self._survey.folders
            ) or any(Stamp.of((root / path).stat()) != stamp for path, stamp in self._survey.unsettled)
        except OSError:
            return True
