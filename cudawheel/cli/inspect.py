"""`cudawheel inspect`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from cudawheel.audit.inspection import Inspection, inspect
from cudawheel.cli import suggestions
from cudawheel.cli.console import out, print_block
from cudawheel.cli.environments import path_of, this_world
from cudawheel.cli.options import this_machine
from cudawheel.data import capability_names, capability_spans, known_for, machines_of
from cudawheel.doctor.probes.installed import ask_where_packages_are, environment_python
from cudawheel.doctor.world import World
from cudawheel.errors import CapabilityError, GpuNotSupportedError, UsageError
from cudawheel.model.capability import ComputeCapability, Support
from cudawheel.model.capability_request import CapabilityContext, CapabilityRequest

_WORDS = {
    Support.NATIVE: "[green]runs natively[/]",
    Support.PTX: "[yellow]runs through PTX, compiled at first use[/]",
    Support.NONE: "[red]does not run: no kernel image for it[/]",
    None: "[dim]no device code: runs on the CPU alone[/]",
}

_WHICH = {False: "That one is active.", True: "None is active but the one in which cudawheel runs."}


@click.command("inspect")
@click.argument("subject", metavar="WHEEL|FILE.so|FOLDER|PACKAGE", shell_complete=suggestions.wheels)
@click.option(
    "--gpu",
    "gpu_text",
    metavar="NAME",
    help="A GPU by name or capability, or `native`; exit 20 if it does not run there.",
)
@click.option(
    "--python",
    metavar="PATH",
    shell_complete=suggestions.any_file,
    help="The environment that holds PACKAGE: a Python, or a folder. Otherwise the active one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.pass_context
def command(
    context: click.Context,
    subject: str,
    gpu_text: str | None,
    python: str | None,
    as_json: bool,  # noqa: FBT001 - click passes flags by name
) -> None:
    """Show the capabilities that a wheel, shared object, folder or installed package carries, and who can run it.

    A PACKAGE is looked for in the active environment (VIRTUAL_ENV, CONDA_PREFIX), or else in cudawheel's own; --python
    names another one.
    """
    path = Path(subject)
    inspection = _inspect(path if subject and path.exists() else _installed(subject, this_world(), path_of(python)))
    asked = _gpus(gpu_text) if gpu_text is not None else ()
    elsewhere = _out_of_reach(inspection)
    supports = {
        gpu: Support.NONE if gpu in elsewhere else inspection.support(gpu)
        for gpu in asked or (gpu for gpu in known_for() if gpu not in elsewhere)
    }
    if as_json:
        click.echo(json.dumps(_as_json(inspection, supports), indent=2))
    else:
        _show(inspection, supports, gpu_text)
    if asked and not all(supports[gpu] in (Support.NATIVE, Support.PTX) for gpu in asked):
        context.exit(GpuNotSupportedError.exit_code)


def _inspect(path: Path) -> Inspection:
    """Inspect what was found; raises UsageError where there is nothing that could hold device code."""
    inspection = inspect(path)
    if inspection.objects or path.suffix == ".whl":
        return inspection
    wheels = sorted(path.glob("*.whl"))
    raise UsageError(
        f"there is no shared object below {path}",
        why=f"It holds wheels, {len(wheels)} of them." if wheels else "",
        remedy=f"Name one: cudawheel inspect {wheels[0]}"
        if wheels
        else "Some packages keep theirs beside their folder: name the package instead.",
    )


def _out_of_reach(inspection: Inspection) -> frozenset[ComputeCapability]:
    """Give the GPUs that never meet this binary, because their machines have another processor."""
    built_for = {item.machine for item in inspection.objects}
    return machines_of("aarch64") if built_for == {"x86_64"} else frozenset()


def _installed(name: str, world: World, chosen: str | None) -> Path:
    """Find the shared objects of an installed package.

    Args:
        name: of the distribution.
        world: where environments are.
        chosen: the environment that a person named; None is the active one.

    Raises:
        UsageError: it is not in that environment, or that cannot be looked into.
    """
    python = environment_python(world, chosen)
    _version, sites, fault = ask_where_packages_are(world, python)
    if fault:
        raise UsageError(
            f"{python} does not answer", why=fault, remedy="Name another one with --python: a Python, or a folder."
        )
    installed = _distribution(name, sites)
    if installed is None:
        raise UsageError(
            f"there is no file or folder {name!r}, and no package of that name in the environment of {python}",
            why="" if chosen else _WHICH[python == world.running],
            remedy="Name the environment that has it: --python PATH (a Python, or the folder of an environment).\n"
            "Or name what is to be inspected: a .whl, a .so, or a folder of shared objects.",
        )
    names = [str(file) for file in installed.files or () if ".so" in file.name]
    tops = {Path(name).parts[0] for name in names}
    # One folder or file is inspected by itself; anything more is found through the folder that holds it.
    return Path(str(installed.locate_file(tops.pop() if len(tops) == 1 else "")))


def _distribution(name: str, sites: Iterable[Path]) -> Distribution | None:
    """Give a package by its name; of one that lies in several folders the first, as an interpreter takes it."""
    path = [str(site) for site in sites]
    # Without a name every distribution would be found.
    return next(iter(distributions(name=name, path=path)), None) if name else None


def _gpus(text: str) -> tuple[ComputeCapability, ...]:
    request = CapabilityRequest.parse(text, capability_names())
    machine = this_machine(request)
    context = CapabilityContext(known=tuple(sorted(known_for())), native=machine.gpus)
    gpus = request.expand(context).cubins
    unknown = [gpu for gpu in gpus if gpu.base not in capability_spans()]
    if unknown:
        raise CapabilityError(
            f"there is no GPU of compute capability {unknown[0]}",
            remedy=f"Known are {', '.join(map(str, known_for()))}.",
        )
    return gpus


def _as_json(inspection: Inspection, supports: dict[ComputeCapability, Support | None]) -> dict[str, Any]:
    return {
        "subject": str(inspection.path),
        "capabilities": {
            "cubins": [str(capability) for capability in inspection.capabilities.cubins],
            "ptx": [str(capability) for capability in inspection.capabilities.ptx],
        },
        "objects": [
            {
                "name": item.name,
                "cubins": [str(capability) for capability in item.device_code.capabilities.cubins],
                "ptx": [str(capability) for capability in item.device_code.capabilities.ptx],
                "needed": list(item.linkage.needed),
            }
            for item in inspection.objects
        ],
        "gpus": {str(gpu): support.value if support else None for gpu, support in supports.items()},
    }


def _show(inspection: Inspection, supports: dict[ComputeCapability, Support | None], asked: str | None) -> None:
    out.print(
        f"[bold]{escape(inspection.path.name)}[/]  {inspection.capabilities if inspection.coded else 'no device code'}"
    )
    if len(inspection.coded) > 1:
        for item in inspection.coded:
            out.print(f"  {escape(item.name)}  [dim]{item.device_code.capabilities}[/]")
    table = Table.grid(padding=(0, 2))
    for gpu, support in supports.items():
        # Where several objects differ, the weakest one decides: it is what the reader has to know.
        culprit = f" [dim]({escape(_weakest(inspection, gpu))})[/]" if support in (Support.NONE, Support.PTX) else ""
        table.add_row(str(gpu), escape(asked) if asked else known_for().get(gpu, ""), f"{_WORDS[support]}{culprit}")
    print_block(out, table)


def _weakest(inspection: Inspection, gpu: ComputeCapability) -> str:
    """Say why a GPU does not run everything natively: which object holds it back, or which processor it sits beside."""
    if gpu in _out_of_reach(inspection):
        return "its machines have an Arm processor"
    levels = {item.name: item.device_code.capabilities.support(gpu) for item in inspection.coded}
    overall = inspection.support(gpu)
    held_back = [name for name, level in levels.items() if level is overall]
    return held_back[0] if len(held_back) < len(levels) else "all of it"
