"""PEP 517 and 660 hooks for extension authors: `build-backend = "cudawheel.backend"`.

Wraps scikit-build-core. On top of it come the requirements that a CUDA build has (nvcc, CMake, ninja, the matching
torch) and the environment that makes CMake find them, so that `pip install` of an sdist works on a machine without
any CUDA. The policy is read from `[tool.cudawheel]` of the project's pyproject.toml.

The hooks are a thin door: whatever is heavy is imported when a hook is called.
"""

from __future__ import annotations

from typing import Any

ConfigSettings = dict[str, Any] | None

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]


def get_requires_for_build_wheel(config_settings: ConfigSettings = None) -> list[str]:
    """Name what scikit-build-core needs, and torch, nvcc, CMake and ninja besides."""
    from scikit_build_core import build  # noqa: PLC0415 - a thin door

    from cudawheel.backend.policy import read_policy  # noqa: PLC0415
    from cudawheel.backend.requires import build_requires  # noqa: PLC0415

    return build_requires(read_policy(config_settings), build.get_requires_for_build_wheel(_rest(config_settings)))


def get_requires_for_build_editable(config_settings: ConfigSettings = None) -> list[str]:
    """Name the same for an editable install."""
    from scikit_build_core import build  # noqa: PLC0415

    from cudawheel.backend.policy import read_policy  # noqa: PLC0415
    from cudawheel.backend.requires import build_requires  # noqa: PLC0415

    return build_requires(read_policy(config_settings), build.get_requires_for_build_editable(_rest(config_settings)))


def get_requires_for_build_sdist(config_settings: ConfigSettings = None) -> list[str]:
    """Name what an sdist needs, which is no CUDA."""
    from scikit_build_core import build  # noqa: PLC0415

    return build.get_requires_for_build_sdist(_rest(config_settings))


def build_wheel(
    wheel_directory: str, config_settings: ConfigSettings = None, metadata_directory: str | None = None
) -> str:
    """Build a wheel with the toolkit of the build environment."""
    from scikit_build_core import build  # noqa: PLC0415

    from cudawheel.backend.cuda import cuda_environment  # noqa: PLC0415
    from cudawheel.backend.policy import read_policy  # noqa: PLC0415

    with cuda_environment(read_policy(config_settings)):
        return build.build_wheel(wheel_directory, _rest(config_settings), metadata_directory)


def build_editable(
    wheel_directory: str, config_settings: ConfigSettings = None, metadata_directory: str | None = None
) -> str:
    """Build an editable wheel with the toolkit of the build environment."""
    from scikit_build_core import build  # noqa: PLC0415

    from cudawheel.backend.cuda import cuda_environment  # noqa: PLC0415
    from cudawheel.backend.policy import read_policy  # noqa: PLC0415

    with cuda_environment(read_policy(config_settings)):
        return build.build_editable(wheel_directory, _rest(config_settings), metadata_directory)


def build_sdist(sdist_directory: str, config_settings: ConfigSettings = None) -> str:
    """Build an sdist."""
    from scikit_build_core import build  # noqa: PLC0415

    return build.build_sdist(sdist_directory, _rest(config_settings))


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: ConfigSettings = None) -> str:
    """Write the metadata of the wheel without building it."""
    from scikit_build_core import build  # noqa: PLC0415

    return build.prepare_metadata_for_build_wheel(metadata_directory, _rest(config_settings))


def prepare_metadata_for_build_editable(metadata_directory: str, config_settings: ConfigSettings = None) -> str:
    """Write the metadata of an editable wheel without building it."""
    from scikit_build_core import build  # noqa: PLC0415

    return build.prepare_metadata_for_build_editable(metadata_directory, _rest(config_settings))


def _rest(config_settings: ConfigSettings) -> ConfigSettings:
    """Give the settings that are scikit-build-core's, which refuses names that it does not know."""
    if config_settings is None:
        return None
    return {name: value for name, value in config_settings.items() if not name.startswith("cudawheel.")}
