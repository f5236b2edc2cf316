"""`cudawheel key`: the keys that provenance is signed with."""

from __future__ import annotations

from pathlib import Path

import click

from cudawheel.cli.options import keys_folder
from cudawheel.errors import UsageError
from cudawheel.provenance.keys import DEFAULT_NAME, PRIVATE, PUBLIC, load_public_key, new_key

_folder = click.option(
    "--folder", type=click.Path(path_type=Path), help="Where keys lie, instead of this user's configuration."
)


@click.group("key")
def command() -> None:
    """The keys that the provenance of wheels is signed with.

    Whoever has the private key can sign in your name, so it stays where it is. The public key goes to those who are to
    check your wheels.
    """


@command.command("new")
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="What the key is to be called.")
@_folder
def new(name: str, folder: Path | None) -> None:
    """Make an ed25519 key: the private half readable by you alone, the public half beside it."""
    if not name or Path(name).name != name:
        raise UsageError(f"{name!r} is no name of a key", remedy="Use a word that can be the name of a file.")
    key = new_key(folder or keys_folder(), name)
    click.echo(f"private  {key.path}  (keep it to yourself)")
    click.echo(f"public   {key.path.with_suffix(PUBLIC)}  (give it to those who check your wheels)")
    click.echo(f"id       {key.public.identifier}")
    click.echo(f"use      cudawheel build --sign {name if folder is None else key.path} RECIPE")


@command.command("show")
@click.argument("name", required=False)
@_folder
def show(name: str | None, folder: Path | None) -> None:
    """Show the public keys, all or the one of a NAME or file, with the text that others need."""
    place = folder or keys_folder()
    paths = [_named(name, place)] if name else sorted(place.glob(f"*{PUBLIC}"))
    if not paths:
        raise UsageError(f"there is no key in {place}", remedy="Make one: cudawheel key new.")
    for path in paths:
        key = load_public_key(path)
        mine = path.with_suffix(PRIVATE).is_file()
        click.echo(f"{path}  {key.identifier}{'' if mine else '  (the private half is not here)'}")
        click.echo(path.read_text(encoding="ascii").rstrip())


def _named(name: str, folder: Path) -> Path:
    return Path(name) if "/" in name or Path(name).is_file() else folder / f"{name}{PUBLIC}"
