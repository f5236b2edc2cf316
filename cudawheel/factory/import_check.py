"""Trying a wheel the way its user will: installed with its torch into an environment that holds nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from cudawheel.builder.environment import EnvironmentSpec, make_environment
from cudawheel.errors import AuditError
from cudawheel.process import capture

_IMPORT_SECONDS = 300.0


def import_in_clean_environment(
    wheel: Path, modules: Sequence[str], *, interpreter: Path, torch: str, log: Path
) -> dict[str, str]:
    """Install a wheel and import its modules, torch first.

    Args:
        torch: the exact version that it was built against.

    Returns:
        What was imported, as a build record says it.

    Raises:
        InstallError: the wheel and its requirements do not install together.
        AuditError: a module does not import.
    """
    with tempfile.TemporaryDirectory(prefix="cudawheel-import-") as folder:
        spec = EnvironmentSpec(interpreter=interpreter, requirements=(str(wheel), f"torch=={torch}"))
        environment = make_environment(spec, Path(folder) / "environment", log)
        program = "; ".join(["import torch", *(f"import {module}" for module in modules)])
        done = capture([environment.python, "-I", "-c", program], cwd=Path(folder), timeout=_IMPORT_SECONDS)
    if not done.ok:
        raise AuditError(
            f"{wheel.name} does not import in a clean environment",
            why="\n".join(done.output.splitlines()[-8:]),
            remedy="An undefined symbol means another torch than at run time; a missing module, a requirement that "
            "the package forgot to name, or a name in `wheel.imports` that the package does not have.",
        )
    return {"modules": ", ".join(modules), "torch": torch, "python": str(interpreter)}
