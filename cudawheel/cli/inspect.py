"""`cudawheel inspect`."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from cudawheel.audit.inspection import Inspection, inspect
from cudawheel.cli.console import out
from cudawheel.cli.options import this_machine
from cudawheel.data import capability_names, known_for
from cudawheel.errors import UsageError
from cudawheel.model.capability import ComputeCapability, Support
from cudawheel.model.capability_request import CapabilityContext, CapabilityRequest

_WORDS = {
    Support.NATIVE: "[green]runs natively[/]",
    Support.PTX: "[yellow]runs through PTX, compiled at first use[/]",
    Support.NONE: "[red]does not run: no kernel image for it[/]",
    None: "[dim]no device code: runs on the CPU alone[/]",
}
_EXIT_NOT_RUNNING = 20


@click.command("inspect")
@click.argument("subject", metavar="WHEEL|FILE.so|FOLDER|PACKAGE")
@click.option(
    "--gpu",
    "gpu_text",
    metavar="NAME",
    help="A GPU by name or capability, or `native`; exit 20 if it does not run there.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.pass_context
def command(
    context: click.Context,
    subject: str,
    gpu_text: str | None,
    as_json: bool,  # noqa: FBT001 - click passes flags by name
) -> None:
    """Show the capabilities that a wheel, shared object, folder or installed package carries, and who can run it."""
    inspection = inspect(_locate(subject))
    asked = _gpus(gpu_text) if gpu_text else ()
    supports = {gpu: inspection.support(gpu) for gpu in asked or known_for()}
    if as_json:
        click.echo(json.dumps(_as_json(inspection, supports), indent=2))
    else:
        _show(inspection, supports, gpu_text)
    if asked and not all(supports[gpu] in (Support.NATIVE, Support.PTX) for gpu in asked):
        context.exit(_EXIT_NOT_RUNNING)


def _locate(subject: str) -> Path:
    """Find what is meant: a path, or a package that is installed beside cudawheel.

    Raises:
        UsageError: it is neither.
    """
    path = Path(subject)
    if path.exists():
        return path
    try:
        installed = distribution(subject)
    except (PackageNotFoundError, ValueError) as error:
        raise UsageError(
            f"there is no file or folder {subject!r}, and no installed package of that name",
            remedy="Name a .whl, a .so, a folder such as site-packages/NAME, or a package of this environment.",
        ) from error
    names = [str(file) for file in installed.files or () if ".so" in file.name]
    tops = {Path(name).parts[0] for name in names}
    # One folder or file is inspected by itself; anything more is found through the folder that holds it.
    return Path(str(installed.locate_file(tops.pop() if len(tops) == 1 else "")))


def _gpus(text: str) -> tuple[ComputeCapability, ...]:
    request = CapabilityRequest.parse(text, capability_names())
    machine = this_machine(request)
    context = CapabilityContext(known=tuple(sorted(known_for())), native=machine.gpus)
    return request.expand(context).cubins


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
        table.add_row(str(gpu), escape(asked) if asked else known_for().get(gpu, ""), _WORDS[support])
    out.print(table)
