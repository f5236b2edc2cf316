"""What a recipe is drafted from: an sdist file, an archive at an address, a git repository, or a name on the index."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename
from packaging.version import InvalidVersion, Version
from pypi_simple import (
    PYPI_SIMPLE_ENDPOINT,
    DistributionPackage,
    NoSuchProjectError,
    PyPISimple,
    UnsupportedContentTypeError,
    UnsupportedRepoVersionError,
)

from cudawheel.builder import archives, git
from cudawheel.download import read_url
from cudawheel.draft.metadata import Claim
from cudawheel.draft.values import Doubt, Finding
from cudawheel.errors import DraftError, SourceUnreachableError
from cudawheel.files import sha256_of
from cudawheel.model.progress import Progress
from cudawheel.process import NOT_FOUND, capture
from cudawheel.recipe.sources import SdistSource

_ARCHIVE = re.compile(r"\.(tar\.(gz|xz|bz2)|tgz|zip)$")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SCP_LIKE = re.compile(r"(?P<at>[\w.-]+@[\w.-]+):(?P<path>[^/].*)")
_ANSWER_SECONDS = 18.0
_TIMEOUT_SECONDS = 9.0
_LARGEST = 1 << 30
_QUIET = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=15",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A source that was brought here, pinned, and unpacked.

    Attributes:
        asked_for: what a person named.
        folder: the project's folder.
        pin: the fields of the recipe's source.
        name: that the file or the index gives it; empty if none does.
        claims: versions that came with it.
    """

    asked_for: str
    folder: Path
    pin: dict[str, str]
    name: str = ""
    claims: tuple[Claim, ...] = ()
    findings: tuple[Finding, ...] = ()
    doubts: tuple[Doubt, ...] = ()


@contextmanager
def obtain(what: str, cache: Path, progress: Progress, *, index_url: str = "") -> Iterator[Origin]:
    """Bring what a person named, for as long as the block lasts. What was fetched stays in the cache for the build.

    Args:
        what: path of an sdist, `https://…/x.tar.gz`, `https://….git[@commit or branch][#subdirectory=…]`, `NAME` or
            `NAME==VERSION`.
        cache: folder for all that outlives a build.
        index_url: of the package index; empty for the usual one.

    Raises:
        DraftError: it is none of these.
        SourceUnreachableError: it cannot be fetched.
        SourceUnsafeError: the archive would write outside of its folder, or cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="cudawheel-draft-") as name:
        into = Path(name) / "source"
        progress.phase("source", what)
        if Path(what).is_file():
            yield _local(what, cache, into, index_url)
        elif Path(what).is_dir():
            raise DraftError(
                f"{what} is a folder",
                why="A draft pins its source by hash or commit, and a folder has neither.",
                remedy="Make an sdist of it, or name its git repository: file:///…/repository@COMMIT.",
            )
        elif "://" in what or _SCP_LIKE.fullmatch(what):
            plain = what.split("#", maxsplit=1)[0].split("?", maxsplit=1)[0]
            is_archive = _ARCHIVE.search(plain) and not what.startswith("git+")
            yield _at_address(what, cache, into) if is_archive else _repository(what, cache, into)
        else:
            yield _on_index(what, cache, into, progress, index_url)


def _local(what: str, cache: Path, into: Path, index_url: str) -> Origin:
    path = Path(what)
    name, version = _file_name(path.name)
    folder = archives.unpack_project(path, into)
    sha256 = sha256_of(path)
    if not version:
        name, version = _top_folder(folder.name)
    _keep(path, sha256, cache)
    pin = {"kind": "sdist", "label": "index", "project": name or "unknown", "version": version or "0", "sha256": sha256}
    findings, doubts = _whether_on_index(path, pin, index_url)
    return Origin(
        asked_for=path.name,
        folder=folder,
        pin=pin,
        name=name,
        claims=(Claim(where="the file name", version=version),) if version else (),
        findings=findings,
        doubts=doubts,
    )


def _whether_on_index(path: Path, pin: dict[str, str], index_url: str) -> tuple[tuple[Finding, ...], tuple[Doubt, ...]]:
    """Ask the index whether it has the file that a person gave; an index that does not answer leaves it open."""
    try:
        offered = _sdists(pin["project"], index_url)
    except SourceUnreachableError as error:
        found = f"whether the package index has {path.name} is open: {error.why or error.what}"
    else:
        if any(sdist.digests.get("sha256") == pin["sha256"] for sdist in offered):
            return (Finding(topic="source", said="the package index has this very file"),), ()
        same = [sdist for sdist in offered if _is(sdist, pin["version"])]
        found = (
            f"the package index has another file for {pin['project']} {pin['version']} than the one given"
            if same
            else f"the package index has no {pin['project']} {pin['version']}"
        )
    edit = (
        'It is in the cache, so it builds here. For other machines put it where they can fetch it, as kind = "url", or '
        'unpack it beside the recipe, as kind = "path".'
    )
    return (), (Doubt(field="sources", found=found, edit=edit),)


def _at_address(what: str, cache: Path, into: Path) -> Origin:
    name = what.split("#", maxsplit=1)[0].split("?", maxsplit=1)[0].rsplit("/", 1)[-1]
    content = read_url(what, limit=_LARGEST)
    sha256 = hashlib.sha256(content).hexdigest()
    kept = cache / "archives" / sha256 / name
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(content)
    project, version = _file_name(name)
    return Origin(
        asked_for=what,
        folder=archives.unpack_project(kept, into),
        pin={"kind": "url", "label": "archive", "url": what, "sha256": sha256},
        name=project,
        claims=(Claim(where="the file name", version=version),) if version else (),
    )


def _on_index(what: str, cache: Path, into: Path, progress: Progress, index_url: str) -> Origin:
    try:
        requirement = Requirement(what)
    except InvalidRequirement as error:
        raise DraftError(
            f"{what!r} is no file, address or package",
            why=str(error).split("\n", maxsplit=1)[0],
            remedy="Name an sdist file, a git repository as https://…/name.git@commit, or a package as name==1.0.",
        ) from error
    chosen = _newest(_sdists(requirement.name, index_url), requirement)
    version = str(Version(chosen.version or "0"))
    name = canonicalize_name(requirement.name)
    sha256 = chosen.digests.get("sha256", "")
    if not sha256:
        raise SourceUnreachableError(
            f"the package index gives no sha256 of {chosen.filename}",
            why="without a hash the source cannot be pinned before it is fetched",
            remedy="Download the file by hand and draft from that.",
        )
    pin = {"kind": "sdist", "label": "index", "project": name, "version": version, "sha256": sha256}
    source = SdistSource.model_validate(pin)
    archive = archives.bring_sdist(source, cache / "archives", progress, index_url)
    return Origin(
        asked_for=f"{name} {version} on the package index",
        folder=archives.unpack_project(archive, into),
        pin=pin,
        name=name,
        claims=(Claim(where="the package index", version=version),),
    )


def _sdists(name: str, index_url: str) -> tuple[DistributionPackage, ...]:
    try:
        with PyPISimple(endpoint=index_url or PYPI_SIMPLE_ENDPOINT) as index:
            page = index.get_project_page(name, timeout=_TIMEOUT_SECONDS)
    except NoSuchProjectError as error:
        raise SourceUnreachableError(
            f"the package index has no {name}",
            why="it knows no package of this name",
            remedy="Check the spelling; a package that is only in a repository is named by that.",
        ) from error
    except (requests.RequestException, UnsupportedContentTypeError, UnsupportedRepoVersionError) as error:
        raise SourceUnreachableError(
            f"cannot ask the package index for {name}",
            why=f"{type(error).__name__}: {error}",
            remedy="Check the network and the proxy.",
        ) from error
    return tuple(package for package in page.packages if package.package_type == "sdist" and _version(package))


def _newest(sdists: tuple[DistributionPackage, ...], requirement: Requirement) -> DistributionPackage:
    fitting = [sdist for sdist in sdists if requirement.specifier.contains(_version(sdist) or "0", prereleases=True)]
    final = [sdist for sdist in fitting if not Version(sdist.version or "0").is_prerelease and not sdist.is_yanked]
    if not fitting:
        offered = sorted({sdist.version or "" for sdist in sdists})[-8:]
        raise SourceUnreachableError(
            f"the package index has no sdist of {requirement}",
            why=f"its sdists are of {', '.join(offered) or 'no version'}",
            remedy="Name a version that it has, or the git repository of the package.",
        )
    return max(final or fitting, key=lambda sdist: Version(sdist.version or "0"))


def _version(package: DistributionPackage) -> Version | None:
    try:
        return Version(package.version or "")
    except InvalidVersion:
        return None


def _is(package: DistributionPackage, version: str) -> bool:
    return _version(package) == Version(version)


def _repository(what: str, cache: Path, into: Path) -> Origin:
    address, _, fragment = what.removeprefix("git+").partition("#")
    if match := _SCP_LIKE.fullmatch(address):
        address = f"ssh://{match['at']}/{match['path']}"
    scheme, _, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    path, _, reference = path.partition("@") if "@" in path else (path, "", "")
    url = f"{scheme}://{host}{slash}{path}"
    if scheme not in {"https", "ssh", "file"}:
        raise DraftError(f"{what} is no git address", remedy="Use https://, ssh:// or file://.")
    commit = reference if _COMMIT.fullmatch(reference) else _commit_of(url, reference)
    bare = git.bring(url, commit, cache / "git")
    git.check_out(bare, commit, into, url=url)
    pin = {"kind": "git", "label": "upstream", "url": url, "commit": commit}
    folder = into
    if subdirectory := dict(pair.partition("=")[::2] for pair in fragment.split("&")).get("subdirectory", ""):
        pin["subdirectory"] = subdirectory
        folder = into / subdirectory
    if not folder.is_dir() or into.resolve() not in (folder.resolve(), *folder.resolve().parents):
        raise DraftError(f"{url} has no folder {subdirectory}", remedy="Correct #subdirectory=….")
    said = f"{reference or 'the default branch'} is commit {commit[:12]} today" if reference != commit else "as asked"
    return Origin(asked_for=what, folder=folder, pin=pin, findings=(Finding(topic="source", said=said),))


def _commit_of(url: str, reference: str) -> str:
    """Ask a repository which commit a branch or tag is; an empty one stands for its default branch."""
    wanted = (
        (f"refs/heads/{reference}", f"refs/tags/{reference}", f"refs/tags/{reference}^{{}}") if reference else ("HEAD",)
    )
    # `--` keeps an address that begins with a dash from being an option.
    done = capture(["git", "ls-remote", "--", url, *wanted], extra_env=_QUIET, timeout=_ANSWER_SECONDS)
    if not done.ok:
        missing = done.code == NOT_FOUND
        raise SourceUnreachableError(
            f"git cannot reach {url}",
            why="git is not installed" if missing else (done.output.strip().splitlines() or ["no answer"])[-1],
            remedy="Install git." if missing else "Check the network, the proxy and the address.",
        )
    lines = (line.partition("\t") for line in done.output.splitlines() if _COMMIT.match(line))
    found = {name: commit for commit, _, name in lines}
    # An annotated tag is an object of its own; what it points to is given with ^{}.
    commits = [found[name] for name in reversed(wanted) if name in found]
    if not commits:
        raise SourceUnreachableError(
            f"{url} has no branch or tag {reference or 'HEAD'}",
            why="a commit is named by all its 40 digits" if re.fullmatch(r"[0-9a-f]{7,39}", reference) else "",
            remedy="Name a branch, a tag, or a whole commit after the @.",
        )
    return commits[0]


def _file_name(name: str) -> tuple[str, str]:
    """Read name and version out of an sdist's file name; empty where it is none."""
    try:
        project, version = parse_sdist_filename(name)
    except InvalidSdistFilename:
        return _top_folder(_ARCHIVE.sub("", name))
    return str(project), str(version)


def _top_folder(stem: str) -> tuple[str, str]:
    project, dash, text = stem.rpartition("-")
    try:
        return (str(canonicalize_name(project)), str(Version(text))) if dash else ("", "")
    except InvalidVersion:
        return "", ""


def _keep(path: Path, sha256: str, cache: Path) -> None:
    """Put a file into the cache of archives, where a build looks for it by its hash."""
    target = cache / "archives" / sha256 / path.name
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".part")
        part.write_bytes(path.read_bytes())
        part.replace(target)
