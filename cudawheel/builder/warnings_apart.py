"""Warnings of builds that run side by side, told apart.

`warnings.catch_warnings` replaces what the whole process does with a warning, so two threads that use it at once undo
each other's work. Here it is entered by the first and left by the last, and each thread gets its own warnings.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_lock = threading.Lock()
_catching = ExitStack()
_caught: dict[int, list[str]] = {}


@contextmanager
def warnings_of_this_thread() -> Iterator[list[str]]:
    """Collect the warnings that this thread gives within the block, each as one line."""
    me = threading.get_ident()
    mine: list[str] = []
    with _lock:
        if not _caught:
            _catching.enter_context(warnings.catch_warnings())
            warnings.simplefilter("always")
            warnings.showwarning = _keep
        _caught[me] = mine
    try:
        yield mine
    finally:
        with _lock:
            del _caught[me]
            if not _caught:
                _catching.close()


def _keep(message: Warning | str, category: type[Warning], *_where: object, **_more: object) -> None:
    lines = _caught.get(threading.get_ident())
    if lines is not None:
        lines.append(f"{category.__name__}: {message}")
