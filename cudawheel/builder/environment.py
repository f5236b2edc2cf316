"""Build environments: made by uv, kept by fingerprint, hard-linked out of uv's cache."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, replace
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from filelock import FileLock
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from uv import find_uv_bin

from cudawheel.builder.pins import Pin, hashed_reference, read_resolution
from cudawheel.errors import InstallError, LockError
from cudawheel.model.progress import Progress
from cudawheel.process import stream

_COMPLETE = "cudawheel-complete.json"
_HASH_MISMATCH = "Hash mismatch"  # as uv says it


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSpec:
    """What an environment is to hold.

    Attributes:
        interpreter: the Python that it is made from.
        requirements: PEP 508 requirements.
        overrides: requirements that replace whatever anybody else asks of the same package.
        hashed: whether everything is resolved to files and hashes first, and then installed from these alone.
        pins: the files and hashes, where they are known already; nothing is resolved then.
    """

    interpreter: Path
    requirements: tuple[str, ...]
    overrides: tuple[str, ...] = ()
    hashed: bool = False
    pins: tuple[Pin, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Name of its folder: 20 hex digits."""
        inputs: list[object] = [str(self.interpreter), sorted(set(self.requirements)), sorted(self.overrides)]
        if self.hashed or self.pins:
            inputs.append([asdict(pin) for pin in self.pins])
        return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:20]


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """An environment that is complete.

    Attributes:
        python: its interpreter.
        site_packages: where its packages lie.
        packages: what was installed, as `name==version`.
        pins: the same with the hashes of what it was installed from; none where nobody asked for them.
    """

    folder: Path
    python: Path
    site_packages: Path
    packages: tuple[str, ...]
    pins: tuple[Pin, ...] = ()

    @property
    def scripts(self) -> Path:
        """Folder of its commands."""
        return self.python.parent

    def version_of(self, package: str) -> str:
        """Give the version of an installed package, or an empty string."""
        wanted = canonicalize_name(package)
        return next((version for name, _, version in (p.partition("==") for p in self.packages) if name == wanted), "")


def provide_environment(spec: EnvironmentSpec, cache: Path, log: Path, progress: Progress) -> Environment:
    """Give the environment of a spec, making it if the cache does not hold it.

    Raises:
        InstallError: the requirements cannot be resolved or downloaded.
    """
    folder = cache / spec.fingerprint
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        kept = _read(folder)
        if kept is not None:
            return kept
        shutil.rmtree(folder, ignore_errors=True)
        progress.phase("environment", f"{len(spec.requirements)} requirements")
        return make_environment(spec, folder, log)


def make_environment(spec: EnvironmentSpec, folder: Path, log: Path) -> Environment:
    """Make an environment in `folder`, whatever the cache holds; raises as `provide_environment` does."""
    uv = find_uv_bin()
    _run([uv, "venv", "--quiet", "--no-project", "--python", spec.interpreter, folder], log)
    python = folder / "bin" / "python"
    install: list[str | Path] = [uv, "pip", "install", "--no-progress", "--python", python]
    pins = _all_pins(spec, folder, log)
    if pins:
        _run([*install, *_pinned(pins, folder)], log, cwd=folder)
    elif spec.requirements:
        _run([*install, *_overrides(spec, folder), *dict.fromkeys(spec.requirements)], log, cwd=folder)
    site_packages = next(folder.glob("lib/python3*/site-packages"))
    found = {str(canonicalize_name(d.name)): d for d in distributions(path=[str(site_packages)])}
    environment = Environment(
        folder=folder,
        python=python,
        site_packages=site_packages,
        packages=tuple(sorted(f"{name}=={d.version}" for name, d in found.items())),
        pins=tuple(_installed(pin, found) for pin in pins),
    )
    facts = {
        "site_packages": str(site_packages),
        "packages": environment.packages,
        "pins": [asdict(pin) for pin in environment.pins],
    }
    (folder / _COMPLETE).write_text(json.dumps(facts), encoding="utf-8")
    return environment


def resolve(spec: EnvironmentSpec, folder: Path, log: Path) -> tuple[Pin, ...]:
    """Find the files, and their hashes, that a spec comes to today.

    Args:
        spec: what is asked for.
        folder: where files may be written.
        log: receives the output of uv.

    Raises:
        InstallError: the requirements cannot be resolved.
    """
    asked, resolution = folder / "requirements.in", folder / "pylock.toml"
    asked.write_text("\n".join(dict.fromkeys(spec.requirements)) + "\n", encoding="utf-8")
    resolution.unlink(missing_ok=True)
    words = [find_uv_bin(), "pip", "compile", "--no-progress", "--quiet", "--no-header", "--format", "pylock.toml"]
    words += ["--python", str(spec.interpreter), "-o", str(resolution)]
    _run([*words, *_overrides(spec, folder), asked], log, cwd=folder)
    return read_resolution(resolution.read_text(encoding="utf-8"), spec.requirements)


def _all_pins(spec: EnvironmentSpec, folder: Path, log: Path) -> tuple[Pin, ...]:
    """Give the pins of a spec, and of the files on this machine that it names besides."""
    if not spec.pins:
        return resolve(spec, folder, log) if spec.hashed else ()
    known = {pin.name for pin in spec.pins}
    own = (text for text in dict.fromkeys(spec.requirements) if (Requirement(text).url or "").startswith("file:"))
    return (*spec.pins, *(pin for pin in map(hashed_reference, own) if pin.name not in known))


def _pinned(pins: tuple[Pin, ...], folder: Path) -> list[str | Path]:
    """Write pins down for uv, which refuses files with other hashes."""
    file = folder / "requirements.txt"
    file.write_text("".join(f"{pin.line()}\n" for pin in pins), encoding="utf-8")
    # What comes out of a repository has a commit instead of a hash.
    strict = ["--require-hashes"] if all(pin.sha256 for pin in pins) else []
    return ["--no-deps", *strict, "-r", file]


def _overrides(spec: EnvironmentSpec, folder: Path) -> list[str | Path]:
    if not spec.overrides:
        return []
    overrides = folder / "overrides.txt"
    overrides.write_text("\n".join(spec.overrides) + "\n", encoding="utf-8")
    return ["--overrides", overrides]


def _installed(pin: Pin, found: dict[str, Distribution]) -> Pin:
    """Give a pin as it was installed: the file among several, and the version of what named none."""
    distribution = found.get(pin.name)
    if distribution is None:
        return pin
    return replace(pin.narrowed(distribution), version=distribution.version)


def _read(folder: Path) -> Environment | None:
    try:
        facts = json.loads((folder / _COMPLETE).read_text(encoding="utf-8"))
        environment = Environment(
            folder=folder,
            python=folder / "bin" / "python",
            site_packages=Path(facts["site_packages"]),
            packages=tuple(facts["packages"]),
            pins=tuple(_read_pin(pin) for pin in facts.get("pins", ())),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # Its Python is a link to one that may have been uninstalled since.
    return environment if environment.python.exists() else None


def _read_pin(facts: dict[str, Any]) -> Pin:
    return Pin(
        name=facts["name"],
        version=facts["version"],
        sha256=tuple(facts["sha256"]),
        files=tuple(facts["files"]),
        reference=facts["reference"],
    )


def _run(command: list[str | Path], log: Path, cwd: Path | None = None) -> None:
    done = stream(command, log=log, cwd=cwd)
    if not done.ok and _HASH_MISMATCH in done.output:
        raise LockError(
            "a build requirement is not the file that was pinned",
            why="\n".join(done.output.splitlines()[-15:]),
            remedy="The index gives another file under the same name and version than before. If it can be trusted, "
            f"--update-lock pins the new one; otherwise do not build. The whole output is in {log}.",
        )
    if not done.ok:
        raise InstallError(
            "the build environment cannot be installed",
            why="\n".join(done.output.splitlines()[-15:]),
            remedy=f"If the package index is a private one, name it in UV_DEFAULT_INDEX. The whole output is in {log}.",
        )
