"""Toolkits of shell scripts: what the room asks of a toolkit, without one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

NVCC = """#!/bin/sh
case "$1" in
--version) echo 'Cuda compilation tools, release {version}, V{version}.88' ;;
--list-gpu-code) printf 'sm_75\\nsm_110\\nsm_90a\\nsm_103\\n' ;;
-v) echo '#$ _SPACE_= '; echo '#$ TOP={home}/bin/..'; exit 1 ;;
*) echo "nvcc of {home}" ;;
esac
"""

# Relative to a toolkit's home; nvcc is written apart.
PARTS = (
    "bin/cudafe++",
    "bin/ptxas",
    "bin/nvcc.profile",
    "nvvm/bin/cicc",
    "nvvm/libdevice/libdevice.10.bc",
    "include/crt/host_config.h",
    "include/cuda_runtime.h",
    "include/cccl/cub/cub.cuh",
    "lib/libcudart_static.a",
    "lib/libcudart.so.13",
)

MakeTree = Callable[..., Path]


def write_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def make_tree(home: Path, version: str = "13.0") -> Path:
    for part in PARTS:
        write_program(home / part, "#!/bin/sh\n")
    write_program(home / "bin" / "nvcc", NVCC.format(version=version, home=home))
    return home


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What the packages of CUDA 13.0 install into a site-packages folder."""
    return make_tree(tmp_path / "site-packages" / "nvidia" / "cu13")


@pytest.fixture
def new_tree() -> MakeTree:
    return make_tree


@pytest.fixture
def new_program() -> Callable[[Path, str], Path]:
    return write_program
