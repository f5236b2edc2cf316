"""Git sources: one bare repository a URL in the cache, and a checkout of one commit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from cudawheel.errors import SourceUnreachableError
from cudawheel.process import NOT_FOUND, Finished, capture
from cudawheel.toolchain.environment import machine_environment

# Whether a server answers is decided within this time; git alone would wait five minutes for a connection.
_ANSWER_SECONDS = 18.0
_FETCH_SECONDS = 1800.0
_STALL = {"GIT_HTTP_LOW_SPEED_LIMIT": "1000", "GIT_HTTP_LOW_SPEED_TIME": "15"}
_NO_QUESTIONS = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=15",
}
# Set where git runs a hook: the repository that the person works in, which every git below would take for its own.
_SOMEBODY_ELSES = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_DIR",
        "GIT_INDEX_FILE",
        "GIT_NAMESPACE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_WORK_TREE",
    }
)


def bring(url: str, commit: str, cache: Path) -> Path:
    """Make sure that a commit lies in the cache, and give the bare repository that holds it.

    Raises:
        SourceUnreachableError: git is missing, the server does not answer within 20 s, or it has no such commit.
    """
    bare = cache / hashlib.sha256(url.encode()).hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{bare}.lock"):
        if _has(bare, commit):
            return bare
        _checked(["git", "init", "--bare", "--quiet", bare], url)
        _checked(["git", "ls-remote", url, "HEAD"], url, seconds=_ANSWER_SECONDS)
        # One commit is enough where the server gives single commits; older servers only give branches.
        shallow = _git(["git", "-C", bare, "fetch", "--quiet", "--depth=1", url, commit], seconds=_FETCH_SECONDS)
        if not shallow.ok:
            _checked(["git", "-C", bare, "fetch", "--quiet", "--tags", url, "+refs/heads/*:refs/heads/*"], url)
        if not _has(bare, commit):
            raise SourceUnreachableError(
                f"{url} has no commit {commit}",
                why="the server answered, but does not give this commit",
                remedy="Correct `commit` in the recipe, or the mirror that insteadOf names.",
            )
    return bare


def check_out(bare: Path, commit: str, into: Path, *, url: str) -> None:
    """Check a commit out into a folder that does not exist yet, submodules included.

    Args:
        url: where the repository came from; submodules may be named relative to it.

    Raises:
        SourceUnreachableError: a submodule cannot be fetched.
    """
    # Not a clone: the cached repository may be shallow, and no branch of it need lead to the commit.
    _checked(["git", "init", "--quiet", into], str(bare))
    _checked(["git", "-C", into, "remote", "add", "origin", url], str(bare))
    _checked(["git", "-C", into, "fetch", "--quiet", "--depth=1", bare.as_uri(), commit], str(bare))
    _checked(["git", "-C", into, "-c", "advice.detachedHead=false", "checkout", "--quiet", commit], str(bare))
    if (into / ".gitmodules").exists():
        _checked(["git", "-C", into, "submodule", "update", "--quiet", "--init", "--recursive"], f"submodules of {url}")


def _has(bare: Path, commit: str) -> bool:
    return bare.exists() and _git(["git", "-C", bare, "cat-file", "-e", f"{commit}^{{commit}}"]).ok


def _git(command: Sequence[str | Path], *, seconds: float = 60.0) -> Finished:
    environ = {name: value for name, value in machine_environment().items() if name not in _SOMEBODY_ELSES}
    return capture(command, env={**environ, **_STALL, **_NO_QUESTIONS}, timeout=seconds)


def _checked(command: Sequence[str | Path], url: str, *, seconds: float = _FETCH_SECONDS) -> None:
    done = _git(command, seconds=seconds)
    if done.ok:
        return
    missing = done.code == NOT_FOUND
    lines = done.output.strip().splitlines() or [f"git ended with {done.code}"]
    # After the reason git often gives advice that fits anything.
    reason = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1])
    raise SourceUnreachableError(
        f"git cannot fetch {url}",
        why="git is not installed" if missing else reason,
        remedy="Install git."
        if missing
        else "Check the network, the proxy and the URL; git's `url.<base>.insteadOf` can name a mirror.",
    )
