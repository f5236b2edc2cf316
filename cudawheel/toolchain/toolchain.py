"""The value that this room makes and the builder reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cudawheel.model.capability import ComputeCapability
from cudawheel.model.version import CudaVersion

ToolchainKind = Literal["package", "system", "redist"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """A CUDA toolkit that is known to answer.

    Attributes:
        kind: composed out of Python packages, found on the system, or unpacked from NVIDIA's archives.
        home: what CUDA_HOME is to be.
        nvcc: the compiler driver, always `home/bin/nvcc`.
        version: CUDA's release, as torch names it.
        release: nvcc's own release, such as `13.0.88`.
        gpu_codes: what nvcc says it can make machine code for, lowest first.
        notes: what a reader of the build record should know, such as a minor version that differs from torch's.
        components: names of the archives that it was unpacked from, and their sha256; empty for other kinds.
    """

    kind: ToolchainKind
    home: Path
    nvcc: Path
    version: CudaVersion
    release: str
    gpu_codes: tuple[ComputeCapability, ...]
    notes: tuple[str, ...] = ()
    components: tuple[tuple[str, str], ...] = ()
