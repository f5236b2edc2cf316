"""What a cell needs beside its recipe's text: the recipe with its lock, patches and source folders, as one archive.

A worker may share no disk with whoever asks, so these files go through the shared store, under their own hash. The
archive of the same files has the same bytes wherever it is written.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from cudawheel.builder.identity import source_folder
from cudawheel.builder.lock import lock_path
from cudawheel.builder.tree import source_files
from cudawheel.errors import RemoteStoreError, SourceUnreachableError
from cudawheel.files import disk_errors
from cudawheel.recipe.loading import LoadedRecipe
from cudawheel.recipe.sources import PathSource
from cudawheel.store.places import Place, open_place
from cudawheel.unpacking import unpack

_FOLDER = "inputs"
_CHUNK_BYTES = 4 << 20


def pack(loaded: LoadedRecipe) -> bytes:
    """Write the archive of a recipe and all files that it refers to, named as they lie beside it.

    A source folder that is missing is left out: whether that matters shows once it is that source's turn.
    """
    buffer = io.BytesIO()
    files = dict(_files(loaded))
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(files):
            _add(tar, name, files[name])
    return buffer.getvalue()


def hash_of(archive: bytes) -> str:
    """Give the hash under which an archive is kept."""
    return hashlib.sha256(archive).hexdigest()


def everywhere(url: str) -> str:
    """Spell the address of a shared store so that it means the same whatever folder a process is in."""
    scheme = urlsplit(url).scheme
    return str(Path(url.removeprefix("file://")).absolute()) if scheme in {"", "file"} else url


def put(url: str, archive: bytes) -> str:
    """Put an archive into a shared store unless it is there; gives its hash.

    Raises:
        UsageError: the address is none of a store.
        RemoteStoreError: it cannot be reached or written.
    """
    place = open_place(url)
    if place.kind == "http":
        raise RemoteStoreError(
            f"{place.url} can only be read, and the workers of a farm have to write there",
            remedy="Name the folder or bucket behind it: a path, s3:// or gs://.",
        )
    digest = hash_of(archive)
    place.write(archive, _path(place, digest))
    return digest


def is_there(url: str, digest: str) -> bool:
    """Say whether a store holds an archive.

    Raises:
        UsageError: the address is none of a store.
        RemoteStoreError: it cannot be reached.
    """
    return _read(open_place(url), digest) is not None


def take(url: str, digest: str, folder: Path) -> Path:
    """Lay the files of an archive out below a folder, unless they lie there already; gives where.

    Raises:
        RemoteStoreError: the store cannot be reached, has no such archive, or another under its name.
        SourceUnsafeError: it is no archive of files.
        StoreError: the folder cannot be written.
    """
    target = folder / digest
    if target.is_dir():
        return target
    place = open_place(url)
    archive = _read(place, digest)
    if archive is None or hash_of(archive) != digest:
        raise RemoteStoreError(
            f"{place.url} does not hold the recipe that this worker is to build",
            why=f"{_path(place, digest)} is {'not there' if archive is None else 'another file than it should be'}",
            remedy="See that the address means the same store on all machines; a folder has to be a shared one.",
        )
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as temporary:
            packed = Path(temporary, "inputs.tar")
            packed.write_bytes(archive)
            fresh = Path(temporary, "files")
            unpack(packed, fresh)
            _move(fresh, target)
    return target


def _move(fresh: Path, target: Path) -> None:
    """Give a finished folder its name, unless another process was faster with the same."""
    try:
        fresh.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _files(loaded: LoadedRecipe) -> Iterator[tuple[str, Path]]:
    yield loaded.path.name, loaded.path
    lock = lock_path(loaded.path)
    if lock.is_file():
        yield lock.name, lock
    check = loaded.recipe.wheel.check
    if check is not None and (loaded.folder / check).is_file():
        yield check, loaded.folder / check
    for source in loaded.recipe.sources:
        for patch in loaded.recipe.settings_for(source).patches:
            if (loaded.folder / patch).is_file():
                yield patch, loaded.folder / patch
        if isinstance(source, PathSource):
            yield from _source_files(source, loaded)


def _source_files(source: PathSource, loaded: LoadedRecipe) -> Iterator[tuple[str, Path]]:
    try:
        folder = source_folder(source, loaded)
    except SourceUnreachableError:
        return
    for path in source_files(folder):
        yield f"{source.path}/{path.relative_to(folder).as_posix()}", path


def _add(tar: tarfile.TarFile, name: str, path: Path) -> None:
    info = tarfile.TarInfo(name)
    if path.is_symlink() and not path.is_file():
        info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
        tar.addfile(info)
        return
    content = path.read_bytes()
    info.size, info.mode = len(content), 0o755 if path.stat().st_mode & 0o100 else 0o644
    tar.addfile(info, io.BytesIO(content))


def _path(place: Place, digest: str) -> str:
    return place.path(_FOLDER, f"{digest}.tar")


def _read(place: Place, digest: str) -> bytes | None:
    with place.errors():
        try:
            with place.absence(), place.files.open(_path(place, digest), "rb", block_size=_CHUNK_BYTES) as source:
                return bytes(source.read())
        except FileNotFoundError:
            return None
