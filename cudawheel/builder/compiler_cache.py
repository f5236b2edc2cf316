"""sccache in front of the compilers, for those who ask for it: brought along, and held within the build's limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cudawheel.builder.environment import EnvironmentSpec, provide_environment
from cudawheel.model.progress import Progress

# 0.16 understands nvcc 13, and takes a socket instead of a port that somebody else may have.
_REQUIREMENT = "sccache>=0.16"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompilerCache:
    """An sccache that is ready to be started; its server starts with the first compiler, below it, and so is held too.

    Attributes:
        program: to be put in front of a compiler.
        variables: what it reads.
    """

    program: Path
    variables: dict[str, str]


def provide_compiler_cache(
    *, interpreter: Path, cache: Path, socket: Path, log: Path, progress: Progress
) -> CompilerCache:
    """Bring sccache, with a store of its own below `cache`.

    Args:
        interpreter: the Python that its environment is made from.
        cache: folder of all that outlives a build.
        socket: where its server is to listen, so that two builds have two servers.
        log: receives the output of the installer.
        progress: told what goes on.

    Raises:
        InstallError: the package index has no sccache for this machine.
    """
    spec = EnvironmentSpec(interpreter=interpreter, requirements=(_REQUIREMENT,))
    environment = provide_environment(spec, cache / "environments", log, progress)
    variables = {
        "SCCACHE_DIR": str(cache / "sccache"),
        "SCCACHE_SERVER_UDS": str(socket),
        # It ends with the build; until then it is not to go by itself.
        "SCCACHE_IDLE_TIMEOUT": "0",
    }
    return CompilerCache(program=environment.scripts / "sccache", variables=variables)
