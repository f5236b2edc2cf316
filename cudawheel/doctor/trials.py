"""What only trying shows: importing torch and extensions, and a reconstruction that writes a mesh.

Each runs in a process of its own, with the environment's own Python, so that one that crashes takes nothing with it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cudawheel.doctor.diagnoses.words import install_missing
from cudawheel.doctor.finding import Finding, Severity
from cudawheel.doctor.machine import Environment, Extension, TorchTrial
from cudawheel.doctor.world import World
from cudawheel.errors import install_command
from cudawheel.process import Finished

_ASK_TORCH = (
    "import json, torch; c = torch.cuda; ok = c.is_available(); "
    "print(json.dumps([ok, [c.get_device_name(i) for i in range(c.device_count())] if ok else [], c.get_arch_list()]))"
)
_IMPORT = (
    "import importlib, importlib.util, sys\n"
    # Extensions link to torch's libraries, which only torch itself finds.
    "if importlib.util.find_spec('torch'): import torch\n"
    "for name in sys.argv[1:]: importlib.import_module(name)\n"
)
_SECONDS, _RECONSTRUCTION_SECONDS = 60.0, 300.0
# An import keeps about one core busy and loads torch again, most of a GiB.
_AT_ONCE = min(8, max(2, (os.cpu_count() or 1) // 2))
# The gyroid is small and has handles: a mesh of it that comes out has been through every stage.
_SCENE, _RESOLUTION = "gyroid", "64"
_MESH = "mesh.obj"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One thing that was tried: `fault` is the last line that was said where it failed."""

    name: str
    detail: str = ""
    fault: str = ""


def try_torch(world: World, python: str) -> TorchTrial:
    """Import torch in an environment; where there is none, that is the error."""
    answer = world.run([python, "-c", _ASK_TORCH], timeout=_SECONDS)
    # Libraries may have something to say before the answer, and after it while they are unloaded.
    for line in reversed(answer.output.splitlines()) if answer.ok else ():
        try:
            available, devices, architectures = json.loads(line)
        except (ValueError, TypeError):
            continue
        return TorchTrial(
            available=bool(available),
            devices=tuple(map(str, devices)),
            architectures=tuple(map(str, architectures)),
            seconds=answer.seconds,
        )
    return TorchTrial(error=last_line(answer), seconds=answer.seconds)


def try_extensions(world: World, environment: Environment) -> tuple[Trial, ...]:
    """Import every extension with device code, each in a process of its own."""

    def attempt(extension: Extension) -> Trial:
        answer = world.run([environment.python, "-c", _IMPORT, *extension.modules], timeout=_SECONDS)
        fault = "" if answer.ok else last_line(answer)
        return Trial(name=extension.name, detail=", ".join(extension.modules), fault=fault)

    importable = [extension for extension in environment.extensions if extension.modules]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return tuple(pool.map(attempt, importable))


def try_reconstruction(world: World, environment: Environment) -> Trial:
    """Make a mesh of a fitted scene, which needs no download, in a folder that is removed again."""
    try:
        with tempfile.TemporaryDirectory(prefix="cudawheel-doctor-") as folder:
            return _reconstruct(world, environment, Path(folder))
    except OSError as error:
        return Trial(name=_MESH, fault=f"there is no folder to write it to: {error.strerror or error}")


def _reconstruct(world: World, environment: Environment, folder: Path) -> Trial:
    words = ("--scene", _SCENE, "--resolution", _RESOLUTION, "--output", str(folder), "--no-picture")
    command = [environment.python, "-m", "cudawheel", "reconstruct", *words]
    answer = world.run(command, timeout=_RECONSTRUCTION_SECONDS)
    if not answer.ok:
        return Trial(name=_MESH, fault=_what_failed(answer))
    vertices = sum(map(_count_vertices, sorted(folder.rglob(_MESH))))
    if vertices == 0:
        return Trial(name=_MESH, fault=f"no {_MESH} with a vertex was written")
    return Trial(name=_MESH, detail=f"{vertices} vertices in {answer.seconds:.1f} s")


def _count_vertices(mesh: Path) -> int:
    with mesh.open(encoding="utf-8", errors="replace") as lines:
        return sum(line.startswith("v ") for line in lines)


def _what_failed(answer: Finished) -> str:
    """Give the line of an error of ours, or else the last line."""
    lines = [line for line in answer.output.splitlines() if line.startswith("error: ")]
    return lines[-1].removeprefix("error: ") if lines else last_line(answer)


def last_line(answer: Finished) -> str:
    """Give the last line that a program said, or its exit status where it said nothing."""
    lines = answer.output.strip().splitlines()
    return lines[-1].strip() if lines else f"exit status {answer.code}"


def diagnose_imports(trials: tuple[Trial, ...], environment: Environment) -> Iterator[Finding]:
    """Judge the imports of extensions."""
    for trial in trials:
        if trial.fault:
            yield Finding(
                section="extensions",
                code="extension-import-fails",
                severity=Severity.PROBLEM,
                found=f"{trial.name} cannot be imported: {trial.fault}",
                remedy=_mend(trial, environment),
            )
    names = [trial.name for trial in trials if not trial.fault]
    if names:
        found = f"{', '.join(names)} import{'s' * (len(names) == 1)}"
        yield Finding(section="extensions", code="extension-imports", severity=Severity.GOOD, found=found)


def _mend(trial: Trial, environment: Environment) -> tuple[str, ...]:
    if command := install_missing(trial.fault, environment):
        return (command,)
    return (
        f"{environment.python} -c 'import torch, {trial.detail}' 2>&1 | cudawheel explain",
        "An undefined symbol, or a library that is not found: it was built for another torch.",
    )


def diagnose_reconstruction(trial: Trial) -> Finding:
    """Judge the reconstruction."""
    if not trial.fault:
        found = f"{trial.name} was written: {trial.detail}"
        return Finding(section="mesh", code="reconstruction", severity=Severity.GOOD, found=found)
    return Finding(
        section="mesh",
        code="reconstruction-fails",
        severity=Severity.PROBLEM,
        found=f"no {trial.name}: {trial.fault}",
        remedy=(
            f"{install_command('triposr')}, and the wheel with the marching cubes; then:",
            f"cudawheel reconstruct --scene {_SCENE}",
        ),
    )
