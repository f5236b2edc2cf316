"""CW204: an RPATH leads out of the wheel, into the environment that it was built in."""

from __future__ import annotations

import posixpath

from cudawheel.audit.checks.base import Check, Subject, Violation
from cudawheel.audit.expectation import Expectation

_ORIGINS = ("$ORIGIN", "${ORIGIN}")


class BuildPath(Check):
    """RPATHs start at `$ORIGIN` and stay below site-packages.

    Any other is a folder of the build machine: useless on the user's, unless somebody else can write to it there.
    `$ORIGIN/../torch/lib` is fine, since torch is installed beside the wheel.
    """

    code = "CW204"
    title = "RPATH leaves the wheel"

    def run(self, subject: Subject, expectation: Expectation) -> tuple[Violation, ...]:  # noqa: ARG002 - no exceptions
        """Resolve each RPATH from where its object will be installed."""
        return tuple(
            self.violation(
                where=item.name,
                found=f"Its RPATH {rpath!r} {reason}.",
                remedy="Pass -DCMAKE_SKIP_INSTALL_RPATH=ON, or drop -Wl,-rpath from the link flags; torch and CUDA are "
                "loaded before the extension and need no RPATH.",
            )
            for item in subject.inspection.objects
            for rpath in item.linkage.rpaths
            if (reason := _why_bad(rpath, item.name))
        )


def _why_bad(rpath: str, member: str) -> str:
    start = next((origin for origin in _ORIGINS if rpath == origin or rpath.startswith(f"{origin}/")), None)
    if start is None:
        return "is a folder of the machine that built it" if rpath.startswith("/") else "depends on the working folder"
    parts = member.split("/")
    if parts[0].endswith(".data") and len(parts) > 2:  # noqa: PLR2004 - <name>.data/<scheme>/<file>
        parts = parts[2:]
    resolved = posixpath.normpath(posixpath.join(*parts[:-1], rpath[len(start) :].lstrip("/") or "."))
    return "leads out of site-packages" if resolved.split("/")[0] == ".." else ""
