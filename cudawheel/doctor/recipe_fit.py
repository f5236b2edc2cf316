"""Whether a machine can build a recipe, how long that takes, and with how much memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cudawheel.builder.costs import COSTS, cost_key
from cudawheel.data import capability_names
from cudawheel.doctor.diagnoses.words import gib, gpus_of, listing, torch_to_build_against, why_not
from cudawheel.doctor.finding import Finding, Severity
from cudawheel.doctor.machine import Gpu, Machine
from cudawheel.errors import CudawheelError
from cudawheel.model.capability import Support
from cudawheel.model.capability_request import CapabilityRequest
from cudawheel.model.variant import Variant
from cudawheel.model.version import PythonVersion
from cudawheel.plan.plan import Machine as PlannedFor
from cudawheel.plan.plan import Selection, make_plan
from cudawheel.recipe.loading import LoadedRecipe
from cudawheel.recipe.sources import GitSource, UrlSource
from cudawheel.schedule.budget import Budget, slots_for
from cudawheel.schedule.forecast import forecast
from cudawheel.schedule.history import History
from cudawheel.toolchain.compiler_limits import compiler_limits

_MINUTE = 60


def addresses_of(loaded: LoadedRecipe) -> tuple[tuple[str, str], ...]:
    """Give the sources of a recipe that lie on the network, as `probe_network` takes them."""
    fetched = [source for source in loaded.recipe.sources if isinstance(source, GitSource | UrlSource)]
    return tuple((f"source {source.label}", source.url) for source in fetched)


def fit(
    machine: Machine, loaded: LoadedRecipe, *, python: PythonVersion, cache: Path, asked: tuple[Gpu, ...] = ()
) -> tuple[Finding, ...]:
    """Judge a machine by one recipe.

    Args:
        machine: what was found.
        loaded: the recipe.
        python: what a build without options is for.
        cache: where the costs of earlier builds are kept.
        asked: GPUs to judge for instead of the machine's own.
    """
    recipe = loaded.recipe
    settings = recipe.settings_for(recipe.sources[0])
    gpus = gpus_of(machine, asked)
    planned = PlannedFor(
        machine=machine.processor, python=python, gpus=tuple(gpu.capability for gpu in gpus if gpu.capability)
    )
    try:
        variant = make_plan(recipe, settings, Selection(), planned).choose(planned).variant
    except CudawheelError as error:
        return (
            Finding(
                section="recipe",
                code="recipe-no-variant",
                severity=Severity.PROBLEM,
                found=f"{error.what}: {error.why.splitlines()[0] if error.why else ''}".rstrip(": "),
                remedy=tuple(error.remedy.splitlines()),
            ),
        )
    if variant is None:
        return ()
    budget, history = _budget(machine), History(cache / COSTS)
    key = cost_key(recipe, settings, variant, "")
    expected = forecast(key, variant.capabilities.device_passes, budget, history)
    return (
        *_variant(variant, gpus, loaded, planned),
        *_needs(machine, variant),
        _cost(expected.largest, expected.seconds, expected.decision, budget),
    )


def _budget(machine: Machine) -> Budget:
    """Give what builds may take, out of what was found."""
    memory = machine.memory
    tightest = min(memory.limits, key=lambda limit: limit.room, default=None)
    return Budget(
        memory=max(0, tightest.room) if tightest else 0,
        reserve=tightest.reserve if tightest else 0,
        cores=memory.cores,
        slots=slots_for(memory.cores),
        limited_by=f"{gib(tightest.available)} free within {tightest.name}" if tightest else "memory is unknown",
    )


def _variant(variant: Variant, gpus: tuple[Gpu, ...], loaded: LoadedRecipe, planned: PlannedFor) -> Iterator[Finding]:
    carries = variant.capabilities
    left_out = [gpu for gpu in gpus if gpu.capability and carries.support(gpu.capability) is Support.NONE]
    found = f"{variant.identifier} would carry {carries}"
    if left_out:
        reasons = [why for gpu in left_out if gpu.capability and (why := why_not(gpu.capability, variant.cuda))]
        yield Finding(
            section="recipe",
            code="recipe-leaves-out-gpu",
            severity=Severity.WARNING,
            found=f"{found}, and nothing for {listing(left_out)}" + (f": {reasons[0]}" if reasons else ""),
            remedy=(_with_them(gpus, loaded, planned, another_cuda=bool(reasons)),),
        )
    else:
        yield Finding(section="recipe", code="recipe-variant", severity=Severity.GOOD, found=found)


def _with_them(gpus: tuple[Gpu, ...], loaded: LoadedRecipe, planned: PlannedFor, *, another_cuda: bool) -> str:
    """Give the options that build for every GPU: as a plan accepts them, or why there are none."""
    capabilities = [gpu.capability for gpu in gpus if gpu.capability]
    wanted = ";".join(map(str, capabilities))
    if not another_cuda:
        return f'Build with --capabilities "{wanted}"'
    torch = torch_to_build_against(capabilities)
    recipe = loaded.recipe
    if torch is not None:
        request = CapabilityRequest.parse(wanted, capability_names())
        selection = Selection(torch=torch, toolchain="redist", capabilities=request)
        plan = make_plan(recipe, recipe.settings_for(recipe.sources[0]), selection, planned)
        if plan.variants:
            options = f'--torch {torch} --toolchain redist --capabilities "{wanted}"'
            return f"Build against another torch and its CUDA: {options}"
    return f"No torch of the package index is built with a CUDA that compiles for {listing(gpus)}."


def _needs(machine: Machine, variant: Variant) -> Iterator[Finding]:
    """Judge the Python and the compiler that the build would take."""
    version = str(variant.python)
    if not any(python.version == version and python.headers for python in machine.pythons):
        yield Finding(
            section="recipe",
            code="recipe-python",
            severity=Severity.WARNING,
            found=f"it is for Python {version}, of which no headers were found here",
            remedy=(f"uv python install {version}",),
        )
    limits = compiler_limits(variant.cuda)
    if not any(compiler.accepted_by(limits) for compiler in machine.compilers):
        yield Finding(
            section="recipe",
            code="recipe-compiler",
            severity=Severity.PROBLEM,
            found=f"CUDA {variant.cuda} takes {limits}, and no such compiler is here",
            remedy=(f"apt install g++-{limits.gcc.high}",),
        )


def _cost(largest: int, seconds: float | None, decision: str, budget: Budget) -> Finding:
    fits = budget.memory >= largest
    if seconds is None:
        time = "how long it takes is not known yet"
    else:
        time = f"compiling takes about {_say_time(seconds)}"
        # In minutes, and once.
        decision = decision.replace(f", about {seconds:.0f} s", "")
    return Finding(
        section="recipe",
        code="recipe-cost" if fits else "recipe-memory",
        severity=Severity.GOOD if fits else Severity.PROBLEM,
        found=f"{time}; {decision}",
        remedy=()
        if fits
        else (
            f"One compiler takes {gib(largest)}, {gib(budget.memory)} may be used: see memory above, or try --force",
        ),
    )


def _say_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), _MINUTE)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
