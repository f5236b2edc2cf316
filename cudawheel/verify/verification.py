"""From a wheel to a verdict: a clean environment, a suite in a process of its own, and what came back."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cudawheel.errors import VerificationError, VerificationSetupError, VoidVerdictError
from cudawheel.files import write_atomically
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.progress import Progress
from cudawheel.model.version import PythonVersion
from cudawheel.process import stream
from cudawheel.recipe.loading import load_recipe
from cudawheel.recipe.verification import KnownDefect
from cudawheel.toolchain.interpreter import find_python
from cudawheel.verify.candidate import Candidate
from cudawheel.verify.clean_environment import CleanEnvironment, make_clean_environment, use_installed
from cudawheel.verify.suite import requirements_of
from cudawheel.verify.verdict import Verdict

_CHILD = "cudawheel.verify.child"
_VERDICT = "verdict.json"
_TAIL = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRequest:
    """What is asked for.

    Attributes:
        wheel: the file.
        recipe: the recipe that chooses the suite and knows the source's defects; None is the one that the wheel names,
            looked for in `recipes`.
        recipes: folder of recipes.
        out: folder that receives the verdict and its pictures.
        gpus: capabilities of the GPUs that are visible here.
        require_gpu: whether a run without a GPU proves too little.
        installed: use the running Python's own packages.
        quick: leave the slow checks out.
        environ: the person's environment.
    """

    wheel: Path
    recipe: Path | None
    recipes: Path
    out: Path
    gpus: tuple[ComputeCapability, ...]
    require_gpu: bool
    installed: bool
    quick: bool
    environ: Mapping[str, str]


class StoppedError(KeyboardInterrupt):
    """An interruption of checks of which some had ended.

    Attributes:
        verdict: what they found, marked as unfinished.
    """

    def __init__(self, verdict: Verdict) -> None:
        super().__init__("stopped before the end of the checks")
        self.verdict = verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is going to be tried: a suite, and the defects that are known of the source."""

    suite: str
    known_defects: tuple[KnownDefect, ...]
    origin: str


def verify(request: VerifyRequest, progress: Progress) -> Verdict:
    """Verify one wheel; what was found lies in `request.out` as verdict.json, with pictures.

    Raises:
        StoppedError: it was interrupted after something was found.
        KeyboardInterrupt: it was interrupted before that.
        VerificationSetupError: nothing could be tried.
        VerificationError: a GPU is required and none is visible.
        WheelError: the wheel is missing or damaged.
        InstallError: the wheel does not install.
    """
    candidate = Candidate.read(request.wheel)
    plan = find_plan(candidate, request)
    if request.require_gpu and not request.gpus:
        raise VerificationError(
            "no GPU is visible, and --require-gpu asks for one",
            why="Without one the kernels of the wheel are compiled, but never run.",
            remedy="Run it where `nvidia-smi` lists a GPU, or without --require-gpu for what the CPU can prove.",
        )
    request.out.mkdir(parents=True, exist_ok=True)
    log = request.out / "verify.log"
    log.unlink(missing_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="cudawheel-verify-") as name:
            place = _make_place(candidate, plan, request, Path(name), log, progress)
            verdict = _run_suite(place, candidate, plan, request, log, progress)
    except StoppedError as stopped:
        raise StoppedError(_complete(stopped.verdict, candidate, request)) from None
    return _complete(verdict, candidate, request)


def _complete(verdict: Verdict, candidate: Candidate, request: VerifyRequest) -> Verdict:
    """Add to a verdict what the checks cannot know, and write it."""
    left = _left_unproven(candidate, request.gpus)
    verdict = replace(verdict, unproven=tuple(dict.fromkeys((*verdict.unproven, *left))))
    write_atomically(request.out / _VERDICT, (json.dumps(verdict.to_json(), indent=1) + "\n").encode())
    return verdict


def _read(path: Path) -> Verdict | None:
    """Give the verdict in a file, finished or not; None where there is none, or nothing was found yet."""
    try:
        verdict = Verdict.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return verdict if verdict.findings else None


def find_plan(candidate: Candidate, request: VerifyRequest) -> Plan:
    """Choose the suite: by the recipe, else by the package's name.

    Raises:
        RecipeError: the recipe has faults.
        VerificationSetupError: there is neither.
    """
    named = request.recipes / candidate.recipe if candidate.recipe else None
    path = request.recipe or (named if named is not None and named.is_file() else None)
    name = str(candidate.wheel.name)
    if path is None:
        return Plan(suite=name, known_defects=(), origin="the package's name, since no recipe of it is at hand")
    recipe = load_recipe(path).recipe
    if recipe.verify is None:
        raise VerificationSetupError(
            f"{path} names no suite",
            why="What a wheel should compute is known to a suite of checks, and the recipe chooses it.",
            remedy=f'Write one (docs/verifying.md) and add to the recipe: [verify] suite = "{name}"',
        )
    source = next((source for source in recipe.sources if source.label == candidate.source), None)
    return Plan(
        suite=recipe.verify.suite,
        known_defects=source.known_defects if source is not None else (),
        origin=f"{path.name}{f', source {candidate.source}' if source is not None else ''}",
    )


def require_proven(verdict: Verdict, *, require_gpu: bool) -> None:
    """Let pass a verdict that proves all that was to be proven.

    Raises:
        VoidVerdictError: a kernel that was broken on purpose was not noticed.
        VerificationError: a check failed, not all were run, or nothing ran on a GPU though it had to.
    """
    if verdict.void:
        escaped = [control for control in verdict.controls if not control.caught]
        raise VoidVerdictError(
            f"{len(escaped)} of {len(verdict.controls)} kernels that were broken on purpose passed every check",
            why="\n".join(f"{control.name}: {control.what}" for control in escaped),
            remedy="The suite cannot tell right from wrong here; report it with verdict.json.",
        )
    failed = [finding for finding in verdict.findings if finding.status == "failed"]
    if failed:
        raise VerificationError(
            f"{verdict.wheel} fails {len(failed)} of {len(verdict.findings)} checks",
            why="\n".join(f"{finding.name} on {finding.device}: {finding.detail}" for finding in failed[:_TAIL]),
            remedy="The page beside verdict.json shows each. A defect that upstream has belongs into the recipe, as "
            "`known-defects` of its source.",
        )
    if not verdict.finished:
        raise VerificationError(
            f"the checks of {verdict.wheel} were stopped before the end",
            why="\n".join(verdict.unproven),
            remedy="Run it again; verify.log beside verdict.json says what the checks said last.",
        )
    if require_gpu and not any(
        finding.device == "cuda" and finding.status != "unproven" for finding in verdict.findings
    ):
        raise VerificationError(
            "no check ran on a GPU, and --require-gpu asks for it",
            why="\n".join(verdict.unproven),
            remedy="Look whether the torch of the environment sees the GPU: it has to be a CUDA build.",
        )


def _make_place(  # noqa: PLR0917 - everything of a verification comes together here
    candidate: Candidate, plan: Plan, request: VerifyRequest, folder: Path, log: Path, progress: Progress
) -> CleanEnvironment:
    if request.installed:
        progress.phase("environment", "of the running Python")
        return use_installed(candidate, folder, log=log)
    version = candidate.python(PythonVersion(*sys.version_info[:2]))
    interpreter = find_python(version, environ=request.environ, running=Path(sys.executable))
    torch = f", torch {candidate.torch}" if candidate.torch else ""
    progress.phase("environment", f"Python {version}{torch}")
    requirements = requirements_of(plan.suite)
    return make_clean_environment(candidate, requirements, folder, interpreter=interpreter.path, log=log)


def _run_suite(  # noqa: PLR0917 - as above
    place: CleanEnvironment, candidate: Candidate, plan: Plan, request: VerifyRequest, log: Path, progress: Progress
) -> Verdict:
    progress.phase("checks", f"suite {plan.suite}, chosen by {plan.origin}")
    order = {
        "suite": plan.suite,
        "expected": [
            {"check": known.check, "device": known.device, "evidence": known.evidence, "why": known.why}
            for known in plan.known_defects
        ],
        "gpu": "auto",
        "out": str(request.out.absolute()),
        "wheel": candidate.wheel.path.name,
        "wheel_sha256": candidate.sha256,
        "package": str(candidate.wheel.name),
        "version": str(candidate.wheel.version),
        "quick": request.quick,
    }
    path, written = place.code / "request.json", request.out / _VERDICT
    path.write_text(json.dumps(order), encoding="utf-8")
    written.unlink(missing_ok=True)
    try:
        done = stream(place.command(_CHILD, path), log=log, cwd=place.code, on_line=_teller(progress))
    except KeyboardInterrupt:
        found = _read(written)
        if found is None:
            raise
        raise StoppedError(found) from None
    verdict = _read(written)
    if verdict is None:
        raise VerificationSetupError(
            f"the checks of {candidate.wheel.path.name} ended without a verdict (exit status {done.code})",
            why="\n".join(done.output.splitlines()[-_TAIL:]),
            remedy=f"The whole output is in {log}.",
        )
    return verdict


def _teller(progress: Progress) -> Callable[[str], None]:
    """Give a listener to the child's lines; those that are no reports of it are in the log."""

    def tell(line: str) -> None:
        try:
            said: Any = json.loads(line)
            text = f"{said['status']}: {said['check']} on {said['device']}"
        except (ValueError, KeyError, TypeError):
            return
        # What did not run is said once, below the table.
        if said["status"] != "unproven":
            progress.note(text)

    return tell


def _left_unproven(candidate: Candidate, gpus: tuple[ComputeCapability, ...]) -> tuple[str, ...]:
    """Say which of the wheel's device code did not run, whatever the checks found."""
    ran = {
        max((cubin for cubin in candidate.capabilities.cubins if cubin.cubin_runs_on(gpu)), default=None)
        for gpu in gpus
    }
    idle = [str(cubin) for cubin in candidate.capabilities.cubins if cubin not in ran]
    said = []
    if idle and not gpus:
        said.append(
            f"no GPU is visible: the device code for {', '.join(idle)} was compiled and is there, but never ran"
        )
    elif idle:
        said.append(
            f"the device code for {', '.join(idle)} was compiled and is there, but no such GPU is here to run it"
        )
    if candidate.capabilities.ptx:
        ptx = ", ".join(map(str, candidate.capabilities.ptx))
        said.append(f"the PTX for {ptx} was not compiled by a driver")
    return tuple(said)
