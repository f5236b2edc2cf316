"""What pip or uv has to put into an isolated build environment for a CUDA build."""

from __future__ import annotations

from cudawheel.backend.policy import Policy
from cudawheel.toolchain.provide import requirements


def build_requires(policy: Policy, wrapped: list[str]) -> list[str]:
    """Name all requirements of a build.

    Args:
        wrapped: what scikit-build-core asks for; it leaves CMake and ninja out where the system has them, but a
            build is to be the same everywhere.

    Raises:
        ToolchainError: the package index has no nvcc for this torch's CUDA.
    """
    named = {text.split(">")[0].split("=")[0].strip() for text in wrapped}
    always = [tool for tool in ("cmake>=3.26", "ninja>=1.11") if tool.split(">")[0] not in named]
    if policy.prepared_home is not None:
        return [*wrapped, *always]
    toolkit = requirements(policy.toolchain, policy.cuda)
    return [*wrapped, *always, f"torch=={policy.torch}.*", *toolkit]
