"""Reading the files beside a wheel: anybody may have put them there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

# A build record with thousands of compiler runs has some megabytes.
_MOST_BYTES = 32 << 20


def read_small(path: Path, *, most: int = _MOST_BYTES) -> tuple[bytes | None, str]:
    """Read a file of a sensible size that is no link.

    Returns:
        Its content, or None with the reason why it was not read; the reason is empty where no file is there.
    """
    try:
        # A link could bring any file of this machine into a page that others read; a pipe would never end.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, "it is a link, which is not followed" if path.is_symlink() else error.strerror or str(error)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            return None, "it is no file"
        if status.st_size > most:
            return None, f"it has {status.st_size:,} bytes, and at most {most:,} are read"
        try:
            return file.read(most), ""
        except OSError as error:
            return None, error.strerror or str(error)
