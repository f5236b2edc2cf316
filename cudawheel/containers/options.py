"""A recipe as cibuildwheel's options: what it asks of a build, said in the words of another tool.

The options and what they mean: cibuildwheel's documentation, "Options".
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cudawheel.audit.policy import load_policy
from cudawheel.builder.requirements import wheel_requirements
from cudawheel.builder.variables import flag_variables, job_variables
from cudawheel.containers.toolkit import FOLDER
from cudawheel.model.variant import Variant
from cudawheel.plan.variables import capability_variables
from cudawheel.recipe.recipe import Recipe
from cudawheel.recipe.settings import BuildSettings
from cudawheel.toolchain.environment import SOURCE_DATE_EPOCH
from cudawheel.toolchain.toolchain import ToolchainKind

REQUIREMENTS, OVERRIDES, CHECK = "requirements.txt", "overrides.txt", "check.py"
"""Files beside the source: what the build requirements are installed from, and the recipe's check."""

NOTHING_TO_COMPUTE = 77
"""Exit status of a check that could not try; the factory's own import check has the same."""

BESIDE = "cudawheel"
"""Their folder within `{project}`, which is where cibuildwheel is started."""

TOOLKIT_REQUIRES = ("filelock", "typing-extensions")
"""What of cudawheel's own requirements composing a toolkit needs."""

# Where NVIDIA's images have their toolkit.
_IMAGE_CUDA = "/usr/local/cuda"
_SPECIAL = re.compile(r'([\\"$`])')

Options = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRun:
    """One run of cibuildwheel: every Python of one torch and one CUDA.

    Attributes:
        name: `torch2.13-cu130`, short for what is common to its cells.
        variants: by the name that cibuildwheel has for each, such as `cp312-manylinux_x86_64`.
        image: the container image.
    """

    name: str
    variants: Mapping[str, Variant]
    image: str

    @property
    def first(self) -> Variant:
        """One of the variants; all have torch, CUDA and capabilities in common."""
        return next(iter(self.variants.values()))


def build_identifier(variant: Variant) -> str:
    """Give the name that cibuildwheel has for a variant: its Python and platform, since it knows of no torch."""
    return f"{variant.python.tag}-manylinux_{variant.machine}"


def group(variants: Sequence[Variant]) -> tuple[tuple[str, dict[str, Variant]], ...]:
    """Put variants into runs of cibuildwheel, in their order: name, and variants by cibuildwheel's names."""
    runs: dict[str, dict[str, Variant]] = {}
    for variant in variants:
        name = variant.identifier.removeprefix(f"{variant.python.tag}-").removesuffix(f"-{variant.machine}")
        runs.setdefault(name, {})[build_identifier(variant)] = variant
    return tuple(runs.items())


def options_for(
    recipe: Recipe, settings: BuildSettings, run: ContainerRun, *, toolchain: ToolchainKind, jobs: int
) -> Options:
    """Write a recipe's build as cibuildwheel's options.

    Args:
        recipe: what is built.
        settings: `[build]` as it holds for the source.
        run: for which variants, in which image.
        toolchain: `package` for the toolkit out of the package index, `system` for the image's own.
        jobs: compilers at once; cibuildwheel has no jobserver.

    Raises:
        CapabilityError: the package's way of taking capabilities cannot express them.
    """
    machine, torch = run.first.machine, run.first.torch
    pinned = () if torch is None else (f"torch=={torch}.*",)
    options: Options = {
        "build": list(run.variants),
        "archs": [machine],
        f"manylinux-{machine}-image": run.image,
        # What is built with is installed by before-build, and nothing else: as on this machine.
        "build-frontend": {"name": "build", "args": ["--no-isolation", "--skip-dependency-check"]},
        "before-build": _before_build(run.first, settings, toolchain),
        "environment": _environment(settings, run.first, toolchain, jobs),
        "repair-wheel-command": _repair(recipe.wheel.external_libraries),
        "test-requires": list(dict.fromkeys((*wheel_requirements(recipe, run.first), *pinned))),
        "test-command": _tests(recipe, run.first),
    }
    if settings.config_settings:
        options["config-settings"] = {
            name: list(value) if isinstance(value, tuple) else value for name, value in settings.config_settings.items()
        }
    return options


def _before_build(variant: Variant, settings: BuildSettings, toolchain: ToolchainKind) -> list[str]:
    """Install what the build needs by uv, as on this machine, and compose the toolkit out of it."""
    place = f"{{project}}/{BESIDE}"
    overrides = f" --overrides {place}/{OVERRIDES}" if settings.overrides else ""
    commands = [
        "python -m pip install --quiet build uv",
        f"python -m uv pip install --system{overrides} -r {place}/{REQUIREMENTS}",
    ]
    if toolchain == "package":
        commands += [
            f"python -m uv pip install --system --no-deps {' '.join(TOOLKIT_REQUIRES)} {place}/*.whl",
            f"python -m cudawheel.containers.toolkit {variant.cuda}",
        ]
    return commands


def _tests(recipe: Recipe, variant: Variant) -> list[str]:
    """Import the wheel, its torch first, and have the recipe's check compute with it."""
    first = () if variant.torch is None else ("torch",)
    commands = [f'python -c "{"; ".join(f"import {module}" for module in (*first, *recipe.wheel.imports))}"']
    if recipe.wheel.check is not None:
        # A check that finds nothing to compute with, as for want of a GPU, says so by this exit status.
        commands.append(f"python {{project}}/{BESIDE}/{CHECK} || test $? -eq {NOTHING_TO_COMPUTE}")
    return commands


def _environment(settings: BuildSettings, variant: Variant, toolchain: ToolchainKind, jobs: int) -> dict[str, str]:
    """Write the variables of a build; cibuildwheel reads each value as bash reads what stands in double quotes."""
    home = f"$(python -c 'import sys; print(sys.prefix)')/{FOLDER}" if toolchain == "package" else _IMAGE_CUDA
    plain = {
        **capability_variables(settings, variant.capabilities),
        **job_variables(jobs),
        **settings.environment,
        **flag_variables(settings.environment),
        "SOURCE_DATE_EPOCH": SOURCE_DATE_EPOCH,
    }
    site_packages = "$(python -c 'import site; print(site.getsitepackages()[0])')"
    torch = {} if variant.torch is None else {"CMAKE_PREFIX_PATH": f"{site_packages}/torch/share/cmake"}
    return {
        **{name: _SPECIAL.sub(r"\\\1", value) for name, value in plain.items()},
        **torch,
        "CUDA_HOME": home,
        "CUDA_PATH": home,
        "CUDAToolkit_ROOT": home,
        "CUDACXX": f"{home}/bin/nvcc",
        "CUDAWHEEL_CUDA_HOME": home,
        "PATH": f"{home}/bin:$PATH",
    }


def _repair(external: Sequence[str]) -> str:
    """Write the repair: every library that torch, CUDA, the driver or the user brings stays outside."""
    excluded = dict.fromkeys((*load_policy().runtime_patterns, *external))
    words = ["auditwheel", "repair", "-w", "{dest_dir}", *(f"--exclude={pattern}" for pattern in excluded), "{wheel}"]
    return " ".join(word if word.startswith("{") else shlex.quote(word) for word in words)


def to_toml(options: Mapping[str, object]) -> str:
    """Write options as a configuration file of cibuildwheel; equal options give equal bytes."""
    return "[tool.cibuildwheel]\n" + "".join(f"{name} = {_value(value)}\n" for name, value in options.items())


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_value(name)} = {_value(item)}" for name, item in value.items()) + " }"
    if isinstance(value, str):
        # TOML's basic strings are JSON's, but for DEL, which TOML wants escaped (TOML 1.0, "String").
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Sequence):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return json.dumps(value)
