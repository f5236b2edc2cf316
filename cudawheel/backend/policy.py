"""The policy of a project: `[tool.cudawheel]`, then config-settings, then the environment of a surrounding build."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from cudawheel.data import capability_names, torch_releases
from cudawheel.errors import Fault, RecipeError
from cudawheel.model.capability_request import CapabilityRequest
from cudawheel.model.version import CudaVersion, TorchVersion

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ENVIRONMENT_HOME = "CUDAWHEEL_CUDA_HOME"


class ToolTable(BaseModel):
    """`[tool.cudawheel]` of an extension's pyproject.toml.

    Attributes:
        capabilities: any spelling that recipes take.
        torch: the release to build against, `2.11`; the wheel's own requirement stands in `project.dependencies`.
        toolchain: where nvcc comes from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    capabilities: str
    torch: str
    toolchain: Literal["package", "system"] = "package"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a build by the backend goes by.

    Attributes:
        project: its name, as `[project]` gives it.
        capabilities: from `[tool.cudawheel]`, or from config-setting `cudawheel.capabilities`.
        torch: likewise; `cuda` is the one it was built with.
        environ: the environment that the hook was called in.
        prepared_home: a toolkit that a surrounding `cudawheel build` has laid ready, or None.
    """

    project: str
    capabilities: CapabilityRequest
    torch: TorchVersion
    cuda: CudaVersion
    toolchain: Literal["package", "system"]
    environ: Mapping[str, str]
    prepared_home: Path | None = None


def read_policy(config_settings: Mapping[str, Any] | None, project: Path | None = None) -> Policy:
    """Read the policy of the project in the current folder, where PEP 517 calls hooks.

    Args:
        config_settings: `cudawheel.capabilities`, `cudawheel.torch` and `cudawheel.toolchain` override the table.

    Raises:
        RecipeError: `[tool.cudawheel]` or a setting has faults.
        CapabilityError: the capabilities cannot be read.
        UsageError: the torch version cannot be read.
    """
    path = (project or Path()) / "pyproject.toml"
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    table = document.get("tool", {}).get("cudawheel", {})
    for name, value in (config_settings or {}).items():
        if name.startswith("cudawheel."):
            table[name.removeprefix("cudawheel.")] = value
    checked = _check(table, path)
    torch = TorchVersion.parse(checked.torch)
    release = torch_releases().get(torch)
    if release is None:
        fault = Fault(
            path="tool.cudawheel.torch",
            found=repr(checked.torch),
            allowed=f"allowed are {', '.join(map(str, torch_releases()))}",
        )
        raise RecipeError(f"{path} asks for a torch that is not known here", faults=(fault,))
    prepared = os.environ.get(ENVIRONMENT_HOME)
    return Policy(
        project=document.get("project", {}).get("name", path.absolute().parent.name),
        capabilities=CapabilityRequest.parse(checked.capabilities, capability_names()),
        torch=torch,
        cuda=release.cuda,
        toolchain=checked.toolchain,
        environ=dict(os.environ),
        prepared_home=Path(prepared) if prepared else None,
    )


def _check(table: dict[str, Any], path: Path) -> ToolTable:
    try:
        return ToolTable.model_validate(table)
    except ValidationError as error:
        faults = tuple(
            Fault(
                path=".".join(("tool.cudawheel", *map(str, detail["loc"]))),
                found="nothing" if detail["type"] == "missing" else repr(detail["input"]),
                allowed=detail["msg"],
            )
            for detail in error.errors()
        )
        raise RecipeError(f"{path} has faults in [tool.cudawheel]", faults=faults) from error
