"""The entry point: finds the command, and turns errors into text and exit codes."""

from __future__ import annotations

import importlib
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from cudawheel.cli.streams import write_anything
from cudawheel.errors import CudawheelError, DiskFullError, InterruptedBuildError

# Modules are named, not imported: `--help` and a cache hit should not wait for what they do not use.
_COMMANDS = {
    "build": ("cudawheel.cli.build", "Build the wheel of a recipe, prove it and put it into the wheelhouse."),
    "cache": ("cudawheel.cli.cache", "List, check and prune the store of wheels, and exchange them with others."),
    "ci": ("cudawheel.cli.ci", "Write a CI workflow that builds, audits and shares the wheels of recipes."),
    "completion": ("cudawheel.cli.completion", "Print the script that lets bash, zsh or fish complete commands."),
    "doctor": ("cudawheel.cli.doctor", "Say what keeps CUDA code from building or running here, and what helps."),
    "explain": ("cudawheel.cli.explain", "Name the cause of a failure from its log, and the remedy."),
    "farm": ("cudawheel.cli.farm", "Start workers for `build --scheduler`, and look at those that are there."),
    "inspect": ("cudawheel.cli.inspect", "Show which GPUs a wheel, shared object or installed package runs on."),
    "key": ("cudawheel.cli.key", "Make and show the keys that provenance is signed with."),
    "plan": ("cudawheel.cli.plan", "Show every variant and capability of a recipe, accepted or rejected and why."),
    "recipe": ("cudawheel.cli.recipe", "Draft the recipe of a package, or check one without building it."),
    "reconstruct": ("cudawheel.cli.reconstruct", "Make a mesh of a picture with TripoSR, or of a fitted scene."),
    "report": ("cudawheel.cli.report", "Write all that is known of the wheels of a wheelhouse onto one HTML page."),
    "verify": ("cudawheel.cli.verify", "Prove what a wheel computes, against references that are independent of it."),
    "index": ("cudawheel.cli.index", "Export the index of a wheelhouse as static files; withdraw wheels from it."),
    "serve": ("cudawheel.cli.serve", "Serve a wheelhouse to pip and uv, a channel for each CUDA."),
    "watch": ("cudawheel.cli.watch", "Run any command under the memory guard, such as a bare pip install."),
    "schema": ("cudawheel.cli.schema", "Print the JSON Schema of recipes."),
}


class _LazyGroup(click.Group):
    """A group of commands that are imported when they are called."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(_COMMANDS[name][0]).command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """Offer commands out of the table: importing all of them would be felt at each press of Tab."""
        commands = [
            CompletionItem(name, help=summary)
            for name, (_module, summary) in _COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_module, summary) in _COMMANDS.items()])


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="cudawheel", message="cudawheel %(version)s")
def cudawheel() -> None:
    """Wheel factory for CUDA extensions of PyTorch: recipe in, proven wheel out."""


def run() -> NoReturn:
    """Run the command line and exit with its code."""
    write_anything()
    # Ended from outside is handled as Ctrl-C is: compilers ended, nothing half-written.
    signal.signal(signal.SIGTERM, _terminated)
    try:
        code = cudawheel.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as wrong:
        wrong.show()
        sys.exit(wrong.exit_code)
    except (KeyboardInterrupt, click.Abort):
        error: CudawheelError = InterruptedBuildError(
            "stopped before the end",
            why="What this command had started here was ended, and nothing half-written was left.",
            remedy="The same command starts again; what was fetched, built and installed is kept.",
        )
        sys.exit(_report(error))
    except CudawheelError as known:
        sys.exit(_report(known))
    except OSError as error:
        full = DiskFullError.from_os_error(error)
        if full is None:
            raise
        sys.exit(_report(full))
    sys.exit(code if isinstance(code, int) else 0)


def _report(error: CudawheelError) -> int:
    from cudawheel.cli.console import show_error  # noqa: PLC0415 - rich is slow to import, and rarely wanted here

    show_error(error)
    return error.exit_code


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
