"""`cudawheel doctor`."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from platformdirs import user_cache_path, user_config_path

from cudawheel.cli import suggestions
from cudawheel.cli.console import err, out
from cudawheel.cli.doctor_display import show_checklist, show_findings, show_repairs
from cudawheel.cli.environments import path_of, this_world
from cudawheel.data import capability_names, capability_spans, known_for
from cudawheel.doctor import trials
from cudawheel.doctor.checklist import checklist
from cudawheel.doctor.diagnosis import diagnose
from cudawheel.doctor.examine import examine
from cudawheel.doctor.finding import Finding, Severity, worst
from cudawheel.doctor.machine import Gpu, Machine
from cudawheel.doctor.repair import apply, repairs
from cudawheel.doctor.sources import recipes_in, usual_addresses
from cudawheel.doctor.world import World
from cudawheel.errors import CapabilityError, ProblemFoundError, UsageError, WarningFoundError
from cudawheel.model.capability_request import CapabilityContext, CapabilityRequest
from cudawheel.model.counting import count
from cudawheel.model.version import PythonVersion

_EXIT_CODES = {
    Severity.GOOD: 0,
    Severity.NOTE: 0,
    Severity.WARNING: WarningFoundError.exit_code,
    Severity.PROBLEM: ProblemFoundError.exit_code,
}
_INSTALLED = {"torch", "extensions"}


@click.command("doctor")
@click.option(
    "--python",
    metavar="PATH",
    shell_complete=suggestions.any_file,
    help="The environment to look into: a Python, or the folder of an environment.",
)
@click.option(
    "--gpu", "gpu_text", metavar="NAME", help="Judge for this GPU instead of this machine's: 'RTX 5070 Ti', 12.0."
)
@click.option(
    "--for",
    "recipe",
    type=click.Path(path_type=Path),
    metavar="RECIPE",
    shell_complete=suggestions.recipes,
    help="Can it be built here, and how?",
)
@click.option("--installed", is_flag=True, help="Only what is installed, CUDA's own libraries included.")
@click.option(
    "--checklist", "seven", is_flag=True, help="Seven lines, from memory to a mesh; imports and reconstructs."
)
@click.option(
    "--import", "importing", is_flag=True, help="Import torch and the extensions as well, which takes seconds."
)
@click.option("--offline", is_flag=True, help="Do not try the network.")
@click.option("--fix", is_flag=True, help="Make what is missing of cudawheel's own folders; shown first.")
@click.option("--yes", is_flag=True, help="Do not ask before --fix.")
@click.option(
    "--cache", type=click.Path(path_type=Path), envvar="CUDAWHEEL_CACHE", help="Folder for all that outlives a build."
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def command(  # noqa: PLR0913, PLR0917 - click passes options by name
    context: click.Context,
    /,
    python: str | None,
    gpu_text: str | None,
    recipe: Path | None,
    installed: bool,  # noqa: FBT001 - click passes flags by name
    seven: bool,  # noqa: FBT001
    importing: bool,  # noqa: FBT001
    offline: bool,  # noqa: FBT001
    fix: bool,  # noqa: FBT001
    yes: bool,  # noqa: FBT001
    cache: Path | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Say what keeps this machine from building or running CUDA code, and what to do about it.

    Ends with exit code 60 where there is a problem, 61 where there is a warning at most, and 0 otherwise. Nothing is
    changed unless --fix is given.
    """
    if seven and installed:
        raise UsageError("--checklist and --installed exclude each other", remedy="Leave one of them out.")
    world = this_world()
    asked = _gpus(gpu_text) if gpu_text is not None else ()
    folders = _folders(cache)
    fetching = not (offline or installed or seven)
    machine = examine(
        world,
        python=path_of(python),
        folders=folders,
        addresses=_addresses(world, recipe) if fetching else None,
        all_packages=installed,
        importing=importing or seven,
    )
    findings = _judge(
        world, machine, asked, recipe, cache=Path(folders["cache"]), importing=importing or seven, seven=seven
    )
    if installed:
        findings = tuple(finding for finding in findings if finding.section in _INSTALLED)
    if as_json:
        _print_json(world, machine, findings, seven=seven)
    elif seven:
        show_checklist(out, checklist(findings))
    else:
        show_findings(out, findings, title=_title(world, machine))
    if fix:
        _fix(folders["cache"], yes=yes, as_json=as_json)
    shown = [item.answer for item in checklist(findings)] if seven else findings
    context.exit(_EXIT_CODES[worst(shown)])


def _gpus(text: str) -> tuple[Gpu, ...]:
    """Read the GPUs that a person asks about.

    Raises:
        CapabilityError: there is none of that name or capability.
    """
    CapabilityRequest.parse(text, capability_names())
    return tuple(gpu for words in re.split("[;,]", text) if words.strip() for gpu in _named_gpus(words.strip()))


def _named_gpus(words: str) -> Iterator[Gpu]:
    """Give the GPUs of one name, generation or capability; a capability is called by the GPUs that have it."""
    context = CapabilityContext(known=tuple(sorted(known_for())))
    capabilities = CapabilityRequest.parse(words, capability_names()).expand(context).cubins
    named = len(capabilities) == 1 and words.casefold() != str(capabilities[0])
    for capability in capabilities:
        if capability.base not in capability_spans():
            raise CapabilityError(
                f"there is no GPU of compute capability {capability}",
                remedy=f"Known are {', '.join(map(str, known_for()))}, and names such as 'RTX 5070 Ti'.",
            )
        yield Gpu(name=words if named else known_for().get(capability.base, "a GPU"), capability=capability.base)
    if not capabilities:
        raise CapabilityError(f"{words!r} names no GPU", remedy="Name one: 'RTX 5070 Ti', or 12.0.")


def _folders(cache: Path | None) -> dict[str, str]:
    return {
        "cache": str((cache or user_cache_path("cudawheel")).absolute()),
        "wheelhouse": str(Path("wheelhouse").absolute()),
        "temporary files": _temporary_folder(),
    }


def _temporary_folder() -> str:
    """Give the folder of temporary files, even where none can be written."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        return os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - it is only looked at


def _addresses(world: World, recipe: Path | None) -> tuple[tuple[str, str], ...]:
    usual = usual_addresses(world.environ)
    if recipe is None:
        return usual
    from cudawheel.doctor.recipe_fit import addresses_of  # noqa: PLC0415 - reading recipes is slow to import
    from cudawheel.recipe.loading import load_recipe  # noqa: PLC0415

    return (*usual, *addresses_of(load_recipe(recipe)))


def _judge(
    world: World,
    machine: Machine,
    asked: tuple[Gpu, ...],
    recipe: Path | None,
    *,
    cache: Path,
    importing: bool,
    seven: bool,
) -> tuple[Finding, ...]:
    """Try what is to be tried, and judge all of it."""
    imported: tuple[trials.Trial, ...] = ()
    if importing:
        imported = trials.try_extensions(world, machine.environment)
    findings = [*diagnose(machine, asked, recipes=recipes_in(Path("recipes")))]
    findings += trials.diagnose_imports(imported, machine.environment)
    if seven:
        findings.append(trials.diagnose_reconstruction(trials.try_reconstruction(world, machine.environment)))
    if recipe is not None:
        from cudawheel.doctor.recipe_fit import fit  # noqa: PLC0415 - as above
        from cudawheel.recipe.loading import load_recipe  # noqa: PLC0415

        running = PythonVersion(sys.version_info.major, sys.version_info.minor)
        findings += fit(machine, load_recipe(recipe), python=running, cache=cache, asked=asked)
    # What belongs together stands together.
    sections = list(dict.fromkeys(finding.section for finding in findings))
    return tuple(sorted(findings, key=lambda finding: sections.index(finding.section)))


def _title(world: World, machine: Machine) -> str:
    return f"{world.system}, {world.processor}, {count(machine.memory.cores, 'core')}"


def _print_json(world: World, machine: Machine, findings: tuple[Finding, ...], *, seven: bool) -> None:
    answer: dict[str, Any] = {
        "system": _title(world, machine),
        "environment": machine.environment.python,
        "worst": worst(findings).name.lower(),
        "findings": [finding.to_json() for finding in findings],
    }
    if seven:
        answer["checklist"] = [{"question": item.question, **item.answer.to_json()} for item in checklist(findings)]
    click.echo(json.dumps(answer, indent=2))


def _fix(cache: str, *, yes: bool, as_json: bool) -> None:
    """Show what would be made, ask, and make it."""
    own = {
        "cache": Path(cache),
        "settings": user_config_path("cudawheel"),
        "keys": user_config_path("cudawheel") / "keys",
    }
    home = Path.home()
    wanted = repairs(own, home)
    # Where standard output is JSON, what is said about repairs goes beside it.
    console = err if as_json else out
    show_repairs(console, wanted)
    if wanted and not yes and not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask at whether to make them", remedy="Add --yes to --fix.")
    if wanted and (yes or click.confirm("Make them?", err=as_json)):
        for path in apply(wanted, home):
            console.print(f"[green]✓[/] made {path}", markup=True)
