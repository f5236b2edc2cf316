"""Archive sources: sdists from the package index and files at a URL, verified by hash and kept in the cache."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import requests
from filelock import FileLock
from packaging.version import InvalidVersion, Version
from pypi_simple import (
    PYPI_SIMPLE_ENDPOINT,
    DistributionPackage,
    NoSuchProjectError,
    PyPISimple,
    UnsupportedContentTypeError,
    UnsupportedRepoVersionError,
)

from cudawheel.download import Remote, download
from cudawheel.errors import SourceHashError, SourceUnreachableError, SourceUnsafeError
from cudawheel.files import sha256_of
from cudawheel.model.progress import Progress
from cudawheel.recipe.sources import SdistSource, UrlSource
from cudawheel.unpacking import unpack

# For connecting, and for each wait between two pieces; both stay below the 20 s in which a source is decided on.
_TIMEOUT_SECONDS = 9.0
_INDEX_ERRORS = (NoSuchProjectError, UnsupportedContentTypeError, UnsupportedRepoVersionError)


def package_index(environ: Mapping[str, str]) -> str:
    """Give the address of the package index that uv and pip are told to use, or an empty string for the usual one."""
    told = (environ.get(name, "") for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"))
    address = next((text for text in told if text), "")
    # uv takes `name=address` as well.
    return address.partition("=")[2] if "=" in address.partition("://")[0] else address


def bring_sdist(source: SdistSource, cache: Path, progress: Progress, index_url: str = "") -> Path:
    """Download an sdist from the package index, unless the cache holds it.

    Raises:
        SourceUnreachableError: the index does not answer, or does not have the file.
        SourceHashError: the file is not the one that the recipe pinned.
    """
    what = f"{source.project} {source.version} on the package index"
    if kept := _kept(cache, source.sha256):
        return kept
    try:
        with PyPISimple(endpoint=index_url or PYPI_SIMPLE_ENDPOINT) as index:
            page = index.get_project_page(source.project, timeout=_TIMEOUT_SECONDS)
            sdist = _choose(page.packages, source)
            if sdist is None:
                raise SourceUnreachableError(
                    f"the package index has no sdist of {source.project} {source.version}",
                    why=f"the index has {source.project}, but no sdist of version {source.version}",
                    remedy="Correct `version` of the source, or use a git source.",
                )
    except (requests.RequestException, *_INDEX_ERRORS) as error:
        raise _unreachable(what, error) from error
    return _fetch(sdist.url, sdist.filename, source.sha256, cache, progress)


def bring_url(source: UrlSource, cache: Path, progress: Progress) -> Path:
    """Download an archive, unless the cache holds it; raises as `bring_sdist` does."""
    name = source.url.split("?")[0].rsplit("/", 1)[-1] or "archive"
    return _kept(cache, source.sha256) or _fetch(source.url, name, source.sha256, cache, progress)


def unpack_project(archive: Path, into: Path) -> Path:
    """Unpack an archive with one top folder, and give that folder.

    Raises:
        SourceUnsafeError: it would write outside of `into`, cannot be read, or has no single top folder.
    """
    unpack(archive, into)
    tops = [path for path in into.iterdir() if path.name != "pax_global_header"]
    if len(tops) != 1 or not tops[0].is_dir():
        raise SourceUnsafeError(
            f"{archive.name} has no single top folder",
            why=f"found {', '.join(sorted(path.name for path in tops)[:5]) or 'nothing'}",
            remedy="Use an sdist, or an archive that a code host makes of a commit.",
        )
    return tops[0]


def _choose(packages: list[DistributionPackage], source: SdistSource) -> DistributionPackage | None:
    sdists = (p for p in packages if p.package_type == "sdist" and _normalised(p.version) == source.version)
    # Where an index offers a .zip beside the .tar.gz, the pinned hash says which one is meant.
    ranked = sorted(sdists, key=lambda p: p.digests.get("sha256") != source.sha256)
    return ranked[0] if ranked else None


def _normalised(version: str | None) -> str:
    try:
        return str(Version(version or ""))
    except InvalidVersion:
        return ""


def _fetch(url: str, name: str, sha256: str, cache: Path, progress: Progress) -> Path:
    target = cache / sha256 / name
    cache.mkdir(parents=True, exist_ok=True)
    try:
        # Two builds at once may want the same file; the second finds it complete.
        with FileLock(cache / f"{sha256}.lock"):
            download(Remote(url=url, sha256=sha256, timeout=_TIMEOUT_SECONDS), target, progress)
    except SourceHashError as error:
        raise SourceHashError(
            f"{name} is not what the recipe pinned",
            why=error.why,
            remedy="If the new file is trusted, change `sha256` in the recipe; otherwise do not build it.",
        ) from error
    return target


def _kept(cache: Path, sha256: str) -> Path | None:
    folder = cache / sha256
    files = (p for p in folder.iterdir() if p.suffix != ".part") if folder.is_dir() else ()
    return next((path for path in files if sha256_of(path) == sha256), None)


def _unreachable(what: str, error: Exception) -> SourceUnreachableError:
    return SourceUnreachableError(
        f"cannot fetch {what}", why=f"{type(error).__name__}: {error}", remedy="Check the network and the proxy."
    )
