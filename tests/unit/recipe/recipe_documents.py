"""A small recipe as TOML text and as a document, to be changed at one place a test."""

from __future__ import annotations

import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TEXT = """
[package]
name = "Demo_Ext"
version = "1.0"

[[sources]]
kind = "git"
label = "upstream"
url = "https://example.org/demo.git"
commit = "0123456789abcdef0123456789abcdef01234567"

[[sources]]
kind = "path"
label = "bundled"
path = "demo"

[sources.build]
abi = "torch-stable >= 2.10"
memory-per-job = 0.5

[matrix]
python = ["3.12", "3.11"]
torch = ["2.11", "2.12"]

[build]
environment = { FORCE_CUDA = "1" }
requires = ["ninja"]

[wheel]
imports = ["demo_ext", "demo_ext._C"]
"""


def document() -> dict[str, Any]:
    return tomllib.loads(TEXT)


def changed(path: str, value: object) -> dict[str, Any]:
    """Give the document with one value put at a path such as `sources.1.label`; `...` takes it away."""
    whole: dict[str, Any] = document()
    here: Any = whole
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in steps:
        here = here[step] if isinstance(step, int) else here.setdefault(step, {})
    if value is ...:
        del here[last]
    else:
        here[last] = value
    return whole
