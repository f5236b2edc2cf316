"""`cudawheel completion`."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from cudawheel.cli.main import cudawheel

_SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
_PROGRAM = "cudawheel"
# The variable in which click expects to be asked by the script; its name follows from the program's.
_VARIABLE = "_CUDAWHEEL_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(list(_SHELLS)))
def command(shell: str) -> None:
    """Print the script that lets a SHELL complete commands, options, recipes and wheels.

    It goes into a file that the shell reads: docs/completion.md says which.
    """
    click.echo(_SHELLS[shell](cudawheel, {}, _PROGRAM, _VARIABLE).source())
