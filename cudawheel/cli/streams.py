"""Standard output and error that take whatever is printed, also where their encoding has no signs but ASCII."""

from __future__ import annotations

import codecs
import io
import os
import sys

_HANDLER = "cudawheel.plain"
# What stands for signs that carry a meaning here; `replace` would make one question mark of good and of bad. The last
# row are the quotation marks of compilers, a multiplication sign and a dash.
_PLAIN = {
    "✓": "+", "✗": "x", "•": "*", "→": "->", "▸": ">", "…": "...", "·": "-", "±": "+-", "≤": "<=", "≥": ">=",
    "│": "|", "┃": "|", "╎": "|", "┼": "+", "╇": "+", "╈": "+", "─": "-", "━": "-", "═": "=",
    "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u00d7": "x", "\u2013": "-",
}  # fmt: skip


def write_anything() -> None:
    """Have standard output and error replace what they cannot encode: a report without a tick is better than none.

    Under `LC_ALL=C` or `PYTHONIOENCODING=ascii` they would raise UnicodeEncodeError at the first tick, and in UTF-8 at
    the first file name that is none. Rich writes to these streams; Click goes round those that take ASCII alone.
    """
    codecs.register_error(_HANDLER, _plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and _may_fail(stream):
            stream.reconfigure(errors=_HANDLER)


def let_go() -> None:
    """Send nowhere what standard output still holds: its reader is gone, and Python's own last flush would fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _may_fail(stream: io.TextIOWrapper) -> bool:
    """Whether something may not be encoded, or come out as an escape sequence that nobody reads."""
    return stream.errors == "strict" or codecs.lookup(stream.encoding).name != "utf-8"


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(sign, "?") for sign in error.object[error.start : error.end]), error.end
