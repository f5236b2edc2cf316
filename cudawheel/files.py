"""Small dealings with files that several rooms need."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cudawheel.errors import DiskFullError, StoreError

_CHUNK_BYTES = 1 << 20


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Say in our own words what the operating system has against writing below `folder`.

    Raises:
        DiskFullError: no space or quota is left.
        StoreError: writing is not possible there for another reason.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise  # of the network: requests derives its errors from OSError
        raise DiskFullError.from_os_error(error, folder) or StoreError(
            f"{folder} cannot be written",
            why="a file is in the way where a folder should be" if _in_the_way(error) else str(error),
            remedy="Choose another folder with --wheelhouse or --cache, or change its permissions.",
        ) from error


def _in_the_way(error: OSError) -> bool:
    return isinstance(error, FileExistsError | NotADirectoryError)


def sha256_of(path: Path) -> str:
    """Hash a file's content; gives 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    write_together({path: content})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files, each there whole or not at all, and none of them unless there is space for all."""
    with ExitStack() as clean_up:
        ready = []
        for path, content in contents.items():
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            temporary = Path(name)
            clean_up.callback(temporary.unlink, missing_ok=True)
            with os.fdopen(handle, "wb") as sink:
                sink.write(content)
            # mkstemp makes files private; a wheelhouse is there to be read.
            temporary.chmod(0o644)
            ready.append((temporary, path))
        for temporary, path in ready:
            temporary.replace(path)
