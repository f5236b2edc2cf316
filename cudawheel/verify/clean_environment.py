"""The environment in which a wheel is verified: itself, its torch, what the suite needs, and nothing else."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cudawheel
from cudawheel.builder.environment import EnvironmentSpec, make_environment
from cudawheel.errors import VerificationSetupError
from cudawheel.process import stream
from cudawheel.verify.candidate import Candidate

# What runs there of cudawheel itself: it is copied, since the environment is to hold nothing that the wheel does not
# ask for.
_COPIED = ("__init__.py", "errors", "files.py", "verify", "triposr")
# Whether there is a torch is told without importing it, which takes seconds; one that is broken is a finding later.
_HAS_TORCH = """
import importlib.util, sys
found = importlib.util.find_spec("torch")
sys.exit("No module named 'torch'" if found is None or found.origin is None else 0)
"""
_START = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module({module!r}, run_name='__main__')"


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanEnvironment:
    """Where a suite runs.

    Attributes:
        python: its interpreter.
        code: folder that the rooms of cudawheel lie in that run there.
        isolated: whether it sees nothing of the environment around it.
    """

    python: Path
    code: Path
    isolated: bool = True

    def command(self, module: str, *arguments: str | Path) -> list[str | Path]:
        """Give the command that runs a module of cudawheel there."""
        switches = ["-I"] if self.isolated else ["-s"]
        return [self.python, *switches, "-c", _START.format(module=module), self.code, *arguments]


def make_clean_environment(
    candidate: Candidate, requirements: Sequence[str], folder: Path, *, interpreter: Path, log: Path
) -> CleanEnvironment:
    """Install a wheel with its torch and a suite's requirements into a new environment.

    Raises:
        InstallError: they do not install together.
    """
    torch = (f"torch=={candidate.torch}.*",) if candidate.torch else ()
    spec = EnvironmentSpec(
        interpreter=interpreter, requirements=(str(candidate.wheel.path.absolute()), *torch, *requirements)
    )
    environment = make_environment(spec, folder / "environment", log)
    return CleanEnvironment(python=environment.python, code=_copy_code(folder / "code"))


def use_installed(candidate: Candidate, folder: Path, *, log: Path) -> CleanEnvironment:
    """Unpack a wheel beside the packages of the running Python, which has to have its torch already.

    For machines that nothing can be installed on. What such a verdict says holds for this one environment.

    Raises:
        VerificationSetupError: the running Python has no torch.
        WheelError: the wheel cannot be unpacked.
    """
    asked = stream([sys.executable, "-s", "-c", _HAS_TORCH], log=log)
    if not asked.ok:
        raise VerificationSetupError(
            "the running Python has no torch",
            why=asked.output.splitlines()[-1] if asked.output else "",
            remedy="Leave --installed away, so that an environment is made; or install torch here.",
        )
    code = _copy_code(folder / "code")
    candidate.wheel.extract(code)
    return CleanEnvironment(python=Path(sys.executable), code=code, isolated=False)


def _copy_code(folder: Path) -> Path:
    package, copy = Path(cudawheel.__file__).parent, folder / "cudawheel"
    copy.mkdir(parents=True)
    for name in _COPIED:
        source = package / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, copy / name)
    return folder
