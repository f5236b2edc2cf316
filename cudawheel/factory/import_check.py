"""Trying a wheel the way its user will: installed with its torch into an environment that holds nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cudawheel.builder.environment import Environment, EnvironmentSpec, make_environment
from cudawheel.errors import AuditError, Fault, RecipeError
from cudawheel.files import sha256_of
from cudawheel.process import capture
from cudawheel.recipe.loading import LoadedRecipe

NOTHING_TO_COMPUTE = 77
"""Exit status of a check that finds nothing to compute with, as for want of a GPU; automake's for a skipped test."""

_IMPORT_SECONDS = 300.0
_CHECK_SECONDS = 900.0
_LINES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """What a recipe's check found.

    Attributes:
        program: its file name.
        sha256: of the program.
        result: whether the wheel computed what it should, or nothing could be computed here.
        said: the end of its output.
    """

    program: str
    sha256: str
    result: Literal["right", "nothing to compute with"]
    said: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What became of a wheel in a clean environment.

    Attributes:
        imported: what was imported, as a build record says it.
        computed: what the recipe's check found, where it has one.
    """

    imported: dict[str, str]
    computed: Computed | None = None

    def to_json(self) -> dict[str, Any]:
        """Give both as plain values."""
        found: dict[str, Any] = {"imported": self.imported}
        if self.computed is not None:
            found["computed"] = {
                "program": self.computed.program,
                "sha256": self.computed.sha256,
                "result": self.computed.result,
                "said": list(self.computed.said),
            }
        return found


def find_check(loaded: LoadedRecipe) -> Path | None:
    """Give the check of a recipe, if it has one.

    Raises:
        RecipeError: it names one that is not there.
    """
    name = loaded.recipe.wheel.check
    if name is None:
        return None
    path = loaded.folder / name
    if not path.is_file():
        fault = Fault(
            path="wheel.check", found=repr(name), allowed=f"a program below the recipe's folder, {loaded.folder}"
        )
        raise RecipeError(f"{loaded.path} names a check that is not there", faults=(fault,), remedy="Correct it there.")
    return path


def try_in_clean_environment(
    wheel: Path, modules: Sequence[str], *, interpreter: Path, torch: str, log: Path, check: Path | None = None
) -> Trial:
    """Install a wheel, import its modules, torch first, and have it compute something.

    Args:
        wheel: the file.
        modules: what is imported.
        interpreter: the Python that the environment is made from.
        torch: the exact version that it was built against; empty for a package that uses CUDA without torch.
        log: receives the output of the installer.
        check: a program that computes with it; it ends with 0 where all is right, and with `NOTHING_TO_COMPUTE` where
            it cannot try.

    Raises:
        InstallError: the wheel and its requirements do not install together.
        AuditError: a module does not import, or the wheel computes something wrong.
    """
    with tempfile.TemporaryDirectory(prefix="cudawheel-import-") as name:
        folder = Path(name)
        pinned = (f"torch=={torch}",) if torch else ()
        spec = EnvironmentSpec(interpreter=interpreter, requirements=(str(wheel), *pinned))
        environment = make_environment(spec, folder / "environment", log)
        first = ("import torch",) if torch else ()
        program = "; ".join([*first, *(f"import {module}" for module in modules)])
        done = capture([environment.python, "-I", "-c", program], cwd=folder, timeout=_IMPORT_SECONDS)
        if not done.ok:
            raise AuditError(
                f"{wheel.name} does not import in a clean environment",
                why=_end(done.output),
                remedy="An undefined symbol means another torch than at run time; a missing library of CUDA without "
                "torch, one that `wheel.cuda-libraries` lacks or that no RPATH leads to; a missing module, a "
                "requirement that the package forgot to name, or a name in `wheel.imports` that it does not have.",
            )
        computed = _compute(wheel, check, environment, folder) if check is not None else None
    imported = {"modules": ", ".join(modules), "torch": torch, "python": str(interpreter)}
    return Trial(imported=imported, computed=computed)


def _compute(wheel: Path, check: Path, environment: Environment, folder: Path) -> Computed:
    done = capture([environment.python, "-I", check.absolute()], cwd=folder, timeout=_CHECK_SECONDS)
    if not done.ok and done.code != NOTHING_TO_COMPUTE:
        raise AuditError(
            f"{wheel.name} computes something wrong",
            why=_end(done.output) or f"{check.name} ended with {done.code}",
            remedy=f"Install it and run {check.name} by hand. If the check itself is wrong, correct it.",
        )
    return Computed(
        program=check.name,
        sha256=sha256_of(check),
        result="right" if done.ok else "nothing to compute with",
        said=tuple(done.output.splitlines()[-_LINES:]),
    )


def _end(output: str) -> str:
    return "\n".join(output.splitlines()[-_LINES:])
