"""A toolkit out of NVIDIA's redistributable archives, for the CUDA releases whose nvcc is on no package index.

A JSON manifest names, for each component and platform, an archive and its SHA-256. Each archive holds one folder, and
those folders laid over each other are a toolkit.
"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urljoin

from cudawheel.download import SECONDS_WITHOUT_DATA, Remote, download, read_url
from cudawheel.errors import SourceUnreachableError, ToolchainError
from cudawheel.files import disk_errors
from cudawheel.model.progress import Progress
from cudawheel.model.version import CudaVersion
from cudawheel.toolchain.folders import locked, staged
from cudawheel.toolchain.layout import missing_parts
from cudawheel.toolchain.merge import merge, require_links_inside
from cudawheel.toolchain.nvcc import toolchain_at
from cudawheel.toolchain.toolchain import Toolchain
from cudawheel.unpacking import unpack

_MANIFEST_LIMIT = 8 << 20  # bytes; real ones have some 100 kB
_COMPONENTS = ".components.json"
_REMEDY = "Check the network, or install CUDA by other means and use --toolchain system."


@dataclass(frozen=True, slots=True, kw_only=True)
class RedistSettings:
    """Where archives come from; empty values stand for those of `data/redist.json`.

    Attributes:
        base_url: the folder that holds the manifests.
        release: the full release whose manifest to read, such as `12.8.1`.
        timeout: seconds without an answer or data after which a server counts as gone.
    """

    base_url: str = ""
    release: str = ""
    timeout: float = SECONDS_WITHOUT_DATA


class _Edition(NamedTuple):
    """One toolkit among NVIDIA's archives: `12.8.1` for `linux-x86_64`."""

    release: str
    platform: str


def provide(
    cuda: CudaVersion, *, machine: str, folder: Path, settings: RedistSettings, progress: Progress
) -> Toolchain:
    """Give the toolkit for `cuda`, fetching and unpacking it first where `folder` does not hold it yet.

    Args:
        cuda: what torch was built with.
        machine: the processor, as `platform.machine()` writes it.
        folder: where toolkits are kept, each in a folder of its own.
        settings: where from.
        progress: told which archive is on its way, and how many bytes of it have come.

    Raises:
        ToolchainError: the release or platform is not to be had, the manifest cannot be fetched or read, or what was
            unpacked is not a toolkit of that release.
        SourceHashError: an archive is not what the manifest promised.
        SourceUnsafeError: an archive would write outside its folder.
        DiskFullError: no space is left.
        StoreError: the folder cannot be written.
    """
    edition = _Edition(settings.release or _release(cuda), _platform(machine))
    home = folder / f"cuda-{edition.release}-{edition.platform}"
    with locked(home):
        if not home.is_dir():
            _install(edition, home, settings, progress)
    toolchain = toolchain_at(home, "redist")
    if toolchain.version != cuda:
        raise ToolchainError(
            f"NVIDIA's release {edition.release} holds nvcc {toolchain.version}, and the plan says CUDA {cuda}",
            why=f"{toolchain.nvcc} is release {toolchain.release}",
            remedy="Ask for a release of the CUDA that torch was built with.",
        )
    return replace(toolchain, components=_components(home))


def _install(edition: _Edition, home: Path, settings: RedistSettings, progress: Progress) -> None:
    """Fetch all archives before the first is unpacked; they are kept until the toolkit is in its place."""
    archives = home.with_name(f"{home.name}.archives")
    kept = []
    remotes = _remotes(edition, settings)
    for component, remote in remotes.items():
        progress.phase("toolkit", component)
        kept.append(archives / PurePosixPath(remote.url).name)
        _download(remote, kept[-1], progress)
    with staged(home) as fresh:
        for archive in kept:
            progress.phase("toolkit", f"unpacking {archive.name}")
            _add(archive, fresh)
        if not (fresh / "lib64").exists():
            (fresh / "lib64").symlink_to("lib")
        require_links_inside(fresh)
        _require_whole(fresh, edition)
        hashes = {PurePosixPath(remote.url).name: remote.sha256 for remote in remotes.values()}
        (fresh / _COMPONENTS).write_text(json.dumps(hashes, indent=1), encoding="utf-8")
    with disk_errors(archives):
        shutil.rmtree(archives)


def _components(home: Path) -> tuple[tuple[str, str], ...]:
    """Say what a toolkit was unpacked from; nothing is known of those that an older cudawheel unpacked."""
    try:
        hashes = json.loads((home / _COMPONENTS).read_text(encoding="utf-8"))
        return tuple(sorted((str(name), str(digest)) for name, digest in hashes.items()))
    except (OSError, ValueError, AttributeError):
        return ()


def _download(remote: Remote, archive: Path, progress: Progress) -> None:
    try:
        download(remote, archive, progress)
    except SourceUnreachableError as error:
        raise ToolchainError(error.what, why=error.why, remedy=_REMEDY) from error


def _add(archive: Path, home: Path) -> None:
    """Unpack an archive and lay its one top folder over `home`."""
    scratch = home / ".unpacking"
    unpack(archive, scratch)
    tops = list(scratch.iterdir())
    if len(tops) != 1 or not tops[0].is_dir():
        raise ToolchainError(
            f"{archive.name} has no single top folder",
            why=f"found {', '.join(sorted(top.name for top in tops)) or 'nothing'}",
            remedy=_REMEDY,
        )
    merge(tops[0], home)
    shutil.rmtree(scratch)


def _require_whole(home: Path, edition: _Edition) -> None:
    missing = missing_parts(home)
    if missing:
        raise ToolchainError(
            f"the archives of NVIDIA's release {edition.release} do not add up to a toolkit",
            why=f"missing: {', '.join(missing)}",
            remedy="Ask for another release, or install CUDA and use --toolchain system.",
        )


def _remotes(edition: _Edition, settings: RedistSettings) -> dict[str, Remote]:
    """Read the manifest of a release and pick the archive of each component."""
    base = (settings.base_url or str(_data()["base_url"])).rstrip("/") + "/"
    url = urljoin(base, f"redistrib_{edition.release}.json")
    try:
        manifest = json.loads(read_url(url, limit=_MANIFEST_LIMIT, timeout=settings.timeout))
        return {
            component: _remote(manifest[component][edition.platform], base, settings.timeout)
            for component in _data()["components"]
        }
    except SourceUnreachableError as error:
        raise ToolchainError(
            f"NVIDIA's manifest for CUDA {edition.release} cannot be fetched", why=str(error.why), remedy=_REMEDY
        ) from error
    except KeyError as error:
        why = f"it lacks {error.args[0]!r}, where each component is to have {edition.platform}"
        raise _not_usable(url, why) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise _not_usable(url, str(error)) from error


def _remote(entry: Mapping[str, Any], base: str, timeout: float) -> Remote:
    path = PurePosixPath(entry["relative_path"])
    if path.is_absolute() or ".." in path.parts or ":" in str(path):
        raise ValueError(f"relative_path {str(path)!r} leaves the manifest's folder")
    return Remote(url=urljoin(base, str(path)), sha256=entry["sha256"].lower(), timeout=timeout)


def _not_usable(url: str, why: str) -> ToolchainError:
    return ToolchainError(
        f"{url} is not a manifest that can be used",
        why=why,
        remedy="Ask for another release, or install CUDA and use --toolchain system.",
    )


def _release(cuda: CudaVersion) -> str:
    releases: Mapping[str, str] = _data()["releases"]
    if str(cuda) not in releases:
        raise ToolchainError(
            f"no release of NVIDIA's archives is known for CUDA {cuda}",
            why=f"known: {', '.join(releases)}",
            remedy="Use --toolchain package (CUDA 13.0 and later) or system, or name a full release such as 12.8.1.",
        )
    return releases[str(cuda)]


def _platform(machine: str) -> str:
    platforms: Mapping[str, str] = _data()["platforms"]
    if machine not in platforms:
        raise ToolchainError(
            f"NVIDIA has no archives for {machine}",
            why=f"known: {', '.join(platforms)}",
            remedy="Build on one of these, or use --toolchain system.",
        )
    return platforms[machine]


@functools.cache
def _data() -> Mapping[str, Any]:
    text = files("cudawheel").joinpath("data", "redist.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]
