"""The option that names the file or folder to write has the same names at every command that has one."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from cudawheel.cli import main

NAMES = {"-o", "--out", "--output"}


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def with_output() -> dict[str, set[str]]:
    return {
        " ".join(path): set(option.opts)
        for path, command in commands(main.cudawheel)
        for option in command.params
        if isinstance(option, click.Option) and NAMES & set(option.opts)
    }


def test_the_commands_that_write_a_file_are_known() -> None:
    assert set(with_output()) >= {"ci github", "ci gitlab", "recipe new", "report", "verify", "reconstruct"}


@pytest.mark.parametrize("command", sorted(with_output()))
def test_every_name_is_understood_everywhere(command: str) -> None:
    assert with_output()[command] >= NAMES
