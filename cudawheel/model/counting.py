"""How many there are of a thing, in words."""

from __future__ import annotations


def count(number: int, thing: str, things: str = "") -> str:
    """Say how many there are of a thing: `1 wheel`, `2 wheels`; `things` where the plural has no s at its end."""
    return f"{number} {thing if number == 1 else things or f'{thing}s'}"
