"""The lock file of a recipe: what its builds fetched, by version and hash, so that the next build fetches the same.

It lies beside the recipe, `NAME.lock.toml` for `NAME.toml`, and holds one entry for each variant, source and kind of
toolchain that was built with --lock. It names files and hashes, and no place that they come from: any index that gives
these files will do. Sources are not in it, since the recipe itself pins them.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from filelock import FileLock
from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cudawheel.builder.pins import Pin
from cudawheel.errors import LockError
from cudawheel.files import disk_errors, write_atomically
from cudawheel.recipe.fields import Sha256

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_HEAD = """# What the builds of {recipe} fetch, by hash. `cudawheel build --update-lock` writes an entry anew.
version = 1
"""
_ANEW = "Write it anew: cudawheel build --update-lock"
# Those of requirements have no space for more; those of files could hide a second line.
_Word = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _File(_Part):
    file: _Word
    sha256: Sha256


class _Package(_Part):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9.!+_-]*$")] = ""
    reference: Annotated[str, Field(pattern=r"^\S*$")] = ""
    files: tuple[_File, ...] = ()


class LockedBuild(_Part):
    """What one build fetched beside its source."""

    variant: _Word
    """Identifier of the variant."""
    source: _Word
    """Label of the source."""
    toolchain: Literal["package", "system", "redist"]
    """Where nvcc came from."""
    requires: tuple[_Word, ...]
    """What the build asked for; a recipe that asks for something else is not bound by this entry."""
    packages: tuple[_Package, ...]
    """The build environment."""
    toolkit: tuple[_File, ...] = ()
    """Archives of the toolkit, where it was fetched as such."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is found by."""
        return self.variant, self.source, self.toolchain

    @property
    def digest(self) -> str:
        """Hash of all of it; gives 64 hex digits."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def pins(self) -> tuple[Pin, ...]:
        """The build environment, for an installer."""
        return tuple(
            Pin(
                name=package.name,
                version=package.version,
                sha256=tuple(file.sha256 for file in package.files),
                files=tuple(file.file for file in package.files),
                reference=package.reference,
            )
            for package in self.packages
        )


class _Lock(_Part):
    version: Literal[1]
    builds: tuple[LockedBuild, ...] = ()


def locked_build(
    key: tuple[str, str, str],
    *,
    requires: Sequence[str],
    pins: Sequence[Pin],
    toolkit: Mapping[str, str],
) -> LockedBuild:
    """Make the entry of a build.

    Args:
        key: identifier of the variant, label of the source, and kind of toolchain.
        requires: what was asked for.
        pins: what was installed.
        toolkit: archives of the toolkit, and their hashes.

    Raises:
        LockError: something was installed that no hash can hold.
    """
    loose = [pin.name for pin in pins if not pin.sha256]
    if loose or not pins:
        raise LockError(
            "the build requirements cannot be locked",
            why=f"there is no hash for {', '.join(loose)}" if loose else "their hashes are not known",
            remedy="Use releases from a package index instead of repositories or folders, or build without --lock.",
        )
    variant, source, toolchain = key
    return LockedBuild.model_validate(
        {
            "variant": variant,
            "source": source,
            "toolchain": toolchain,
            "requires": tuple(sorted(set(requires))),
            "packages": tuple(_package(pin) for pin in pins),
            "toolkit": tuple({"file": name, "sha256": digest} for name, digest in sorted(toolkit.items())),
        }
    )


def lock_path(recipe: Path) -> Path:
    """Say where the lock of a recipe lies."""
    return recipe.with_name(f"{recipe.stem}.lock.toml")


def read_lock(path: Path) -> tuple[LockedBuild, ...]:
    """Read a lock; one that is not there has no entries.

    Raises:
        LockError: it is there and cannot be read.
    """
    try:
        lock = _Lock.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return ()
    except ValidationError as error:
        found = "\n".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise LockError(f"{path} is not a lock", why=found, remedy=f"{_ANEW}, after removing it.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise LockError(f"{path} cannot be read", why=str(error), remedy=f"{_ANEW}, after removing it.") from error
    return lock.builds


def find_locked(path: Path, key: tuple[str, str, str]) -> LockedBuild | None:
    """Give the entry of a build, or None where it was never locked; raises as `read_lock` does."""
    return next((build for build in read_lock(path) if build.key == key), None)


def write_locked(path: Path, build: LockedBuild, *, guard: Path) -> None:
    """Put an entry into a lock, in place of the one with the same key; other entries stay.

    Args:
        path: the lock.
        build: the entry.
        guard: a file to lock meanwhile, since builds of several variants end at the same time.

    Raises:
        LockError: the lock that is there cannot be read.
        StoreError: it cannot be written.
    """
    with disk_errors(path.parent), FileLock(guard):
        others = [other for other in read_lock(path) if other.key != build.key]
        builds = sorted((*others, build), key=lambda one: one.key)
        recipe = path.name.removesuffix(".lock.toml") + ".toml"
        write_atomically(path, (_HEAD.format(recipe=recipe) + "".join(map(_to_toml, builds))).encode())


def require_same_requests(locked: LockedBuild, requires: Sequence[str], path: Path) -> None:
    """Let an entry pass that was made for what a build asks for now.

    Raises:
        LockError: it was made for other requirements.
    """
    before, now = set(locked.requires), set(requires)
    if before != now:
        changes = [f"+ {text}" for text in sorted(now - before)] + [f"- {text}" for text in sorted(before - now)]
        raise LockError(
            f"{path} does not fit what the build asks for",
            why="\n".join((f"since {locked.variant} was locked:", *changes)),
            remedy=_ANEW,
        )


def require_none_lacking(locked: LockedBuild, lacking: Sequence[str], path: Path) -> None:
    """Let an entry pass that holds all that a backend asks for when it runs.

    Raises:
        LockError: something is missing, or there in a version that does not do.
    """
    if lacking:
        raise LockError(
            f"{path} lacks what the package's backend asks for",
            why=f"{locked.variant} was locked without {', '.join(lacking)}",
            remedy=_ANEW,
        )


def require_same_toolkit(locked: LockedBuild, toolkit: Mapping[str, str], path: Path) -> None:
    """Let a toolkit pass whose archives are the ones that were locked.

    Raises:
        LockError: an archive is another one.
    """
    before = {file.file: file.sha256 for file in locked.toolkit}
    if before != dict(toolkit):
        names = sorted(name for name in {*before, *toolkit} if before.get(name) != toolkit.get(name))
        raise LockError(
            f"the toolkit is not the one that {path} pins",
            why=f"other hashes than before: {', '.join(names)}",
            remedy=f"If it can be trusted: {_ANEW[0].lower()}{_ANEW[1:]}. Otherwise do not build.",
        )


def _package(pin: Pin) -> dict[str, Any]:
    files = tuple({"file": name, "sha256": digest} for name, digest in zip(pin.files, pin.sha256, strict=True))
    return {
        "name": canonicalize_name(pin.name),
        "version": pin.version,
        "reference": pin.reference,
        "files": files,
    }


def _to_toml(build: LockedBuild) -> str:
    lines = ["", "[[builds]]"]
    lines += [f"{name} = {_quote(getattr(build, name))}" for name in ("variant", "source", "toolchain")]
    lines += ["requires = [", *(f"  {_quote(text)}," for text in build.requires), "]"]
    if build.toolkit:
        lines += ["toolkit = [", *(f"  {_file(file)}," for file in build.toolkit), "]"]
    for package in build.packages:
        lines += ["", "[[builds.packages]]", f"name = {_quote(package.name)}"]
        lines += [f"{name} = {_quote(text)}" for name in ("version", "reference") if (text := getattr(package, name))]
        lines += ["files = [", *(f"  {_file(file)}," for file in package.files), "]"]
    return "\n".join((*lines, ""))


def _file(file: _File) -> str:
    return f"{{ file = {_quote(file.file)}, sha256 = {_quote(file.sha256)} }}"


def _quote(text: str) -> str:
    # A JSON string without escapes beyond the BMP is a TOML string; control characters were refused before.
    return json.dumps(text, ensure_ascii=False)
