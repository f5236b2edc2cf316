"""The container engine of this machine: docker or podman, and whether it answers."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from cudawheel.errors import ContainerEngineError
from cudawheel.process import capture

_ENGINES = ("docker", "podman")
_SECONDS = 30.0


def find_engine(environ: Mapping[str, str]) -> str:
    """Find an engine that runs containers; the one of CIBW_CONTAINER_ENGINE alone, where a person names it.

    Args:
        environ: the person's environment.

    Raises:
        ContainerEngineError: there is none, or none answers.
    """
    named = environ.get("CIBW_CONTAINER_ENGINE", "").partition(";")[0].strip()
    tried = []
    for engine in (named,) if named else _ENGINES:
        program = shutil.which(engine, path=environ.get("PATH", ""))
        if program is None:
            tried.append(f"{engine}: not installed")
            continue
        done = capture([program, "info"], env=environ, timeout=_SECONDS)
        if done.ok:
            return engine
        lines = [line for line in done.output.splitlines() if line.strip()]
        tried.append(f"{engine}: {lines[-1].strip() if lines else f'exit status {done.code}'}")
    raise ContainerEngineError(
        "no container engine is to be had on this machine",
        why="\n".join(tried),
        remedy="Install docker or podman and let this account use it, or build without --container: the wheel's "
        "platform tag is then as old as its symbols allow on this machine.",
    )
