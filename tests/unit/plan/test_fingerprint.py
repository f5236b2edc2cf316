"""Fingerprints: everything that shapes a wheel counts, and nothing else does."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from cudawheel.model.version import PythonVersion
from cudawheel.plan.fingerprint import fingerprint
from cudawheel.plan.plan import Machine, Selection, make_plan
from cudawheel.recipe.loading import parse_recipe

BASE: dict[str, Any] = {
    "package": {"name": "demo", "version": "1.0"},
    "sources": [
        {"kind": "git", "label": "upstream", "url": "https://example.org/demo.git", "commit": "0" * 40},
        {"kind": "path", "label": "bundled", "path": "demo"},
    ],
    "capabilities": {"request": "8.0;12.0+PTX"},
    "matrix": {"python": ["3.12", "3.11"], "torch": ["2.11", "2.12"]},
    "build": {
        "config-settings": {"a": "1", "b": ["2", "3"]},
        "requires": ["ninja"],
        "environment": {"FORCE_CUDA": "1", "USE_X": "2"},
    },
    "wheel": {"imports": ["demo"]},
}
SOURCE = {"label": "upstream", "kind": "git", "identity": "0" * 40}
TOOLS = {"toolchain": "package", "host_compiler": "gcc 12.2"}


def with_value(path: str, value: object) -> dict[str, Any]:
    whole: dict[str, Any] = deepcopy(BASE)
    *steps, last = path.split(".")
    here: Any = whole
    for step in steps:
        here = here.setdefault(step, {}) if isinstance(here, dict) else here[int(step)]
    here[last] = value
    return whole


def print_of(
    document: dict[str, Any] | None = None,
    *,
    machine: str = "x86_64",
    python: str = "3.12",
    source: dict[str, str] | None = None,
    tools: dict[str, str] | None = None,
) -> str:
    recipe = parse_recipe(document or deepcopy(BASE), Path("demo.toml"))
    here = Machine(machine=machine, python=PythonVersion.parse(python))
    variant = make_plan(recipe, recipe.build, Selection(), here).choose(here).variant
    assert variant is not None
    return fingerprint(recipe, recipe.build, variant, source=source or SOURCE, tools=tools or TOOLS)


def test_a_fingerprint_is_a_sha256_and_stays_the_same() -> None:
    assert print_of() == print_of()
    assert len(bytes.fromhex(print_of())) == 32


MATTERS: list[tuple[str, object]] = [
    ("package.name", "other"),
    ("package.version", "1.1"),
    ("capabilities.request", "8.0;12.0"),
    ("capabilities.request", "8.0;9.0;12.0+PTX"),
    ("capabilities.request", "8.0+PTX;12.0+PTX"),
    ("matrix.torch", ["2.12"]),
    ("matrix.torch", ["2.15"]),
    ("build.cuda", "optional"),
    ("build.abi", "torch-stable >= 2.10"),
    ("build.capability-list", "cmake"),
    ("build.config-settings", {"a": "1"}),
    ("build.requires", ["ninja", "numpy"]),
    ("build.overrides", ["numpy<2"]),
    ("build.environment", {"FORCE_CUDA": "0", "USE_X": "2"}),
    ("build.patches", ["x.patch"]),
    ("build.replacements", [{"file": "setup.py", "old": "a", "new": "b"}]),
    ("wheel.imports", ["demo", "demo._C"]),
    ("wheel.external-libraries", ["libgomp.so.1"]),
]


@pytest.mark.parametrize(("path", "value"), MATTERS, ids=[f"{path}={value}" for path, value in MATTERS])
def test_what_shapes_the_wheel_changes_the_fingerprint(path: str, value: object) -> None:
    assert print_of(with_value(path, value)) != print_of()


def test_how_the_package_is_told_its_capabilities_changes_the_fingerprint() -> None:
    without_ptx = with_value("capabilities.request", "8.0;12.0")
    with_variable = deepcopy(without_ptx)
    with_variable["build"]["capability-list"] = {"variable": "X_CUDA_ARCHS"}
    assert print_of(with_variable) != print_of(without_ptx)


@pytest.mark.parametrize(
    "keywords",
    [
        {"machine": "aarch64"},
        {"python": "3.11"},
        {"source": SOURCE | {"identity": "1" * 40}},
        {"source": SOURCE | {"label": "bundled"}},
        {"source": SOURCE | {"changes": "abc"}},
        {"tools": TOOLS | {"host_compiler": "gcc 13.1"}},
        {"tools": TOOLS | {"toolchain": "system"}},
        {"tools": TOOLS | {"cudawheel": "abc"}},
    ],
    ids=str,
)
def test_machine_source_and_tools_change_the_fingerprint(keywords: dict[str, Any]) -> None:
    assert print_of(**keywords) != print_of()


INDIFFERENT: list[tuple[str, object]] = [
    ("build.memory-per-job", 12.0),
    ("matrix.torch", ["2.11", "2.15", "2.13"]),
    ("matrix.python", ["3.12"]),
    ("capabilities.request", "12.0+PTX, sm_80"),
    ("capabilities.request", "7.0;8.0;12.0+PTX"),
    ("capabilities.unavailable", "fail"),
    ("build.config-settings", {"b": ["2", "3"], "a": "1"}),
    ("build.environment", {"USE_X": "2", "FORCE_CUDA": "1"}),
    ("sources.1.path", "elsewhere"),
    ("sources.0.label", "origin"),
    ("package.name", "Demo"),
]


@pytest.mark.parametrize(("path", "value"), INDIFFERENT, ids=[f"{path}={value}" for path, value in INDIFFERENT])
def test_what_does_not_shape_the_wheel_leaves_the_fingerprint(path: str, value: object) -> None:
    assert print_of(with_value(path, value)) == print_of()


def test_order_within_source_and_tools_makes_no_difference() -> None:
    assert print_of(source=dict(reversed(SOURCE.items())), tools=dict(reversed(TOOLS.items()))) == print_of()
