"""`cudawheel schema`."""

from __future__ import annotations

import click

from cudawheel.recipe.schema import json_schema


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of recipes, for editors."""
    click.echo(json_schema(), nl=False)
