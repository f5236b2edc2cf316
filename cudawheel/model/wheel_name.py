"""Naming of wheels: local versions that sort right, and the label of a fallback source."""

from __future__ import annotations

from cudawheel.model.abi import TorchAbi
from cudawheel.model.version import CudaVersion, TorchVersion


def local_version(*, cuda: CudaVersion, torch: TorchVersion | None, abi: TorchAbi | None, fallback: str = "") -> str:
    """Write the local version of a wheel, `cu.13.0.torch.2.11`, or `cu.13.0` without torch.

    Dotted numeric segments compare as numbers, so torch 2.11 sorts above 2.9 (PEP 440). A wheel from a fallback
    source is marked in front, because anything behind would make it sort above the genuine one.

    Args:
        cuda: the CUDA it is built with.
        torch: the torch it is built against, or None.
        abi: what it promises; a promise from an earlier torch on names that one. None without torch.
        fallback: the label of the source when it is not the recipe's first; it must sort below `cu`.
    """
    prefix = f"{fallback}." if fallback else ""
    suffix = "" if torch is None or abi is None else f".torch.{abi.promised(torch)}"
    return f"{prefix}cu.{cuda}{suffix}"
