"""The parts that a toolkit must have before a build may start with it.

Build scripts that meet half a toolkit turn to a CPU-only build in silence, so its absence has to be said up front.
"""

from __future__ import annotations

from pathlib import Path

# Component, as NVIDIA names it, and where it may lie: in a toolkit of one platform, of several (`targets`), and by
# CUDA release (CCCL moved from `include` to `include/cccl` with CUDA 13). Source: nvcc.profile of 12.8 and 13.0.
PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("nvcc", ("bin/nvcc",)),
    ("nvcc", ("bin/cudafe++",)),
    ("nvcc", ("bin/ptxas",)),
    ("nvvm", ("nvvm/bin/cicc",)),
    ("nvvm", ("nvvm/libdevice/libdevice.10.bc",)),
    ("crt", ("include/crt/host_config.h", "targets/*/include/crt/host_config.h")),
    ("cudart", ("include/cuda_runtime.h", "targets/*/include/cuda_runtime.h")),
    ("cudart", ("lib64/libcudart_static.a", "lib/libcudart_static.a", "targets/*/lib/libcudart_static.a")),
    ("cccl", ("include/cccl/cub/cub.cuh", "include/cub/cub.cuh", "targets/*/include/*/cub.cuh")),
)


def missing_parts(home: Path) -> tuple[str, ...]:
    """Name the parts that `home` lacks, as `cudart (include/cuda_runtime.h)`."""
    return tuple(
        f"{component} ({places[0]})"
        for component, places in PARTS
        if not any(any(home.glob(place)) for place in places)
    )
