"""What the jobs of a workflow install cudawheel from, where nobody says it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cudawheel.errors import recorded_origin

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_NAME = "cudawheel"
_EXTRAS = {"s3": "s3", "gs": "gs", "gcs": "gs"}
_OF_THIS_MACHINE = {"", "file"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """What pip is to install.

    Attributes:
        what: in pip's words: a requirement, or a folder of the checkout that begins with a dot.
        doubt: why that may not be what it should be, in a sentence; empty where there is none.
    """

    what: str
    doubt: str = ""


def default_install(remote: str, root: Path, origin: Mapping[str, Any] | None = None) -> Install:
    """Choose the cudawheel that runs here, from a place that a CI service reaches as well.

    That is the checkout, if it is a clone of cudawheel or holds the folder that this one was installed from; else the
    repository or file on the network that it was installed from; else, by name, the same release.

    Args:
        remote: address of the shared store, which may need an extra.
        root: the folder that will be the checkout.
        origin: what the installer wrote down of this cudawheel (PEP 610); None looks.
    """
    origin = recorded_origin() if origin is None else origin
    extra = _EXTRAS.get(urlsplit(remote).scheme, "")
    extras = f"[{extra}]" if extra else ""
    folder = "." if _is_own_clone(root) else _folder_below(root, origin)
    if folder:
        return Install(what=f"{folder}{extras}")
    if address := _address(origin):
        return Install(what=f"{_NAME}{extras} @ {address}")
    what = f"{_NAME}{extras}=={version(_NAME)}"
    return Install(
        what=what,
        doubt=f"the jobs install {what} from the package index, where cudawheel is not published yet: whoever takes "
        "the name there decides what they run. Say where yours comes from: --install 'cudawheel @ git+https://…'",
    )


def _is_own_clone(root: Path) -> bool:
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8")).get("project")
    except (OSError, ValueError):
        return False
    return isinstance(project, dict) and project.get("name") == _NAME


def _folder_below(root: Path, origin: Mapping[str, Any]) -> str:
    """Give the folder that cudawheel was installed from as seen from the checkout, or nothing where it is not in it."""
    if "dir_info" not in origin:
        return ""
    folder = Path(os.path.realpath(unquote(urlsplit(str(origin.get("url", ""))).path)))
    if not folder.is_relative_to(root.resolve()):
        return ""
    return f"./{folder.relative_to(root.resolve()).as_posix()}"


def _address(origin: Mapping[str, Any]) -> str:
    """Give the address on the network that cudawheel was installed from, to the commit or hash; else nothing."""
    url = str(origin.get("url", ""))
    parts = urlsplit(url)
    # What an installer left of a password does not belong into a file that is committed; `git@` is none.
    if parts.scheme in _OF_THIS_MACHINE or not parts.netloc or parts.password is not None:
        return ""
    vcs, archive = origin.get("vcs_info"), origin.get("archive_info")
    below = str(origin.get("subdirectory", ""))
    if isinstance(vcs, Mapping) and vcs.get("vcs") == "git" and vcs.get("commit_id"):
        return f"git+{url}@{vcs['commit_id']}" + (f"#subdirectory={below}" if below else "")
    if isinstance(archive, Mapping) and parts.username is None:
        hashes = archive.get("hashes")
        sha256 = hashes.get("sha256", "") if isinstance(hashes, Mapping) else ""
        fragment = "&".join([f"sha256={sha256}"] * bool(sha256) + [f"subdirectory={below}"] * bool(below))
        return f"{url}#{fragment}" if fragment else url
    return ""
