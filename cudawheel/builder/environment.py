"""Build environments: made by uv, kept by fingerprint, hard-linked out of uv's cache."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from filelock import FileLock
from packaging.utils import canonicalize_name
from uv import find_uv_bin

from cudawheel.errors import InstallError
from cudawheel.model.progress import Progress
from cudawheel.process import stream

_COMPLETE = "cudawheel-complete.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSpec:
    """What an environment is to hold.

    Attributes:
        interpreter: the Python that it is made from.
        requirements: PEP 508 requirements.
        overrides: requirements that replace whatever anybody else asks of the same package.
    """

    interpreter: Path
    requirements: tuple[str, ...]
    overrides: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Name of its folder: 20 hex digits."""
        inputs = [str(self.interpreter), sorted(set(self.requirements)), sorted(self.overrides)]
        return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:20]


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """An environment that is complete.

    Attributes:
        python: its interpreter.
        site_packages: where its packages lie.
        packages: what was installed, as `name==version`.
    """

    folder: Path
    python: Path
    site_packages: Path
    packages: tuple[str, ...]

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
    if spec.overrides:
        overrides = folder / "overrides.txt"
        overrides.write_text("\n".join(spec.overrides) + "\n", encoding="utf-8")
        install += ["--overrides", overrides]
    _run([*install, *dict.fromkeys(spec.requirements)], log, cwd=folder)
    site_packages = next(folder.glob("lib/python3*/site-packages"))
    pins = tuple(sorted(f"{canonicalize_name(d.name)}=={d.version}" for d in distributions(path=[str(site_packages)])))
    (folder / _COMPLETE).write_text(
        json.dumps({"site_packages": str(site_packages), "packages": pins}), encoding="utf-8"
    )
    return Environment(folder=folder, python=python, site_packages=site_packages, packages=pins)


def _read(folder: Path) -> Environment | None:
    try:
        facts = json.loads((folder / _COMPLETE).read_text(encoding="utf-8"))
        environment = Environment(
            folder=folder,
            python=folder / "bin" / "python",
            site_packages=Path(facts["site_packages"]),
            packages=tuple(facts["packages"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # Its Python is a link to one that may have been uninstalled since.
    return environment if environment.python.exists() else None


def _run(command: list[str | Path], log: Path, cwd: Path | None = None) -> None:
    done = stream(command, log=log, cwd=cwd)
    if not done.ok:
        raise InstallError(
            "the build environment cannot be installed",
            why="\n".join(done.output.splitlines()[-15:]),
            remedy=f"If the package index is a private one, name it in UV_DEFAULT_INDEX. The whole output is in {log}.",
        )
